"""What counts as drift: the parameters of `visionpipe.monitoring.drift`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator


class DriftParameters(BaseModel):
    """Error rate, smallest shifts that matter, and sizes of the drift tests.

    A test says "drift" only if its Holm-adjusted p-value is below `alpha` *and* its effect reaches the least
    that matters: with a million rows every p-value is tiny, and a shift nobody feels must not retrain it.

    Examples
    --------
    >>> DriftParameters(features=["brightness"], window_days=90).window_days
    90
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    alpha: float = Field(default=0.01, gt=0, lt=0.5)
    """Family-wise error rate of one run's tests (0-0.5): how often drift is called where there is none."""

    min_rows: int = Field(default=50, ge=20)
    """Fewest rows (>= 20) that the reference and the window must each have, one of each group of near-duplicates
    or repeated photos; below it there is no verdict."""

    window_days: int | None = Field(default=None, ge=1)
    """Length of the window in days (>= 1), back from the newest prediction; null takes the whole log."""

    features: tuple[str, ...] = ("confidence", "brightness", "contrast", "sharpness")
    """Columns to test besides the predicted label and the embeddings: numbers, also those written as text, by KS,
    text by chi-squared."""

    group_by: str | None = None
    """Column of the log whose value several rows share because they belong together (sender, patient, machine):
    one row of each counts, in the log and in a reference that has the column too. The log's near-duplicates are not
    searched for: where no column tells them apart, ten photos of one scene count as ten."""

    permutations: int = Field(default=2000, ge=20, le=100_000)
    """Permutations of the MMD test (20-100,000); its smallest p-value is 1 / (permutations + 1)."""

    max_mmd_rows: int = Field(default=1000, ge=50, le=20_000)
    """Most embeddings (rows, 50-20,000) taken from either side for MMD; cost grows with the square."""

    min_ks_d: float = Field(default=0.1, ge=0, le=1)
    """Smallest Kolmogorov-Smirnov distance D (0-1) that matters; 0.1 is a normal's mean moved by 0.25 sd."""

    min_cramers_v: float = Field(default=0.1, ge=0, le=1)
    """Smallest Cramer's V (0-1, at equal sample sizes, less what chance adds) that matters; 0.1 is a share moved
    from 45 to 55 %."""

    min_mmd: float = Field(default=0.1, ge=0, le=1)
    """Smallest MMD (0-1.41, kernel up to 1) that matters; 0.1 is every embedding axis moved by 0.2 sd."""

    seed: int = Field(default=0, ge=0)
    """Seed of the row drawn of each group, and of the MMD test's subsample and permutations (>= 0)."""

    @property
    def n_tests(self) -> int:
        """Most tests of one run: features, predicted label, embeddings, and how often a feature or they are missing."""
        return 2 * len(self.features) + 3

    @model_validator(mode="after")
    def _embedding_drift_must_be_reachable(self) -> DriftParameters:
        # Holm multiplies the smallest p-value by the number of tests, so too few never get below alpha.
        if self.n_tests / (self.permutations + 1) >= self.alpha:
            raise ValueError(
                f"permutations: {self.permutations} can never show embedding drift: {self.n_tests} tests at "
                f"alpha={self.alpha:g} need at least {int(self.n_tests / self.alpha)}; raise permutations or alpha"
            )
        named = [*self.features, "predicted_label", "embedding"]
        if len(set(named)) < len(named):
            raise ValueError(
                f"features: {list(self.features)} tests a column twice; name each once, and leave out "
                "predicted_label and embedding, which are always tested"
            )
        return self
