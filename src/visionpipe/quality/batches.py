"""Do the newest photos look like those before them? Their own day of arrival against the rest of the store."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from visionpipe.quality.figures import FigureSheet
    from visionpipe.quality.parameters import BatchParameters

_SEED = 0


@dataclass(frozen=True)
class ColumnShift:
    """How one column of the newest batch differs from the earlier images."""

    column: str
    test: str
    effect: float
    """KS distance, or for labels the share of images with another class (total variation): 0 to 1."""
    min_effect: float
    p_adjusted: float
    """By Holm over all columns."""
    drifted: bool
    """A p-value below alpha *and* an effect that counts: a big batch does not fail by its size alone."""
    outside_share: float | None = None
    """Part of the batch outside the reference's range, of one image of each group; None for labels."""
    low: float | None = None
    high: float | None = None
    """The reference's range: outer quantiles of one earlier image of each group."""
    outside_p_adjusted: float | None = None
    """Of that part or more if nothing had changed, by Holm over all columns with numbers."""
    strays: bool = False
    """An `outside_p_adjusted` below alpha *and* a part above the limit: few images leave any range by chance."""


@dataclass(frozen=True)
class BatchComparison:
    """The newest batch against the store."""

    day: str | None
    """Day of arrival (UTC) of the newest batch."""
    n_new: int
    n_earlier: int
    shifts: tuple[ColumnShift, ...] = ()
    reason: str | None = None
    """Why nothing was compared."""
    untested: tuple[str, ...] = ()
    """Columns without a number on either side, or with labels of which most occur once."""
    n_new_groups: int | None = None
    """Groups of near-duplicates, or of `ingestion.split.group_by`, among the new images: one image of each is tested;
    None if nothing was compared."""
    n_earlier_groups: int | None = None
    """The same among the earlier ones."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values; figures of a column stand under its name, as `dvc metrics diff` likes it."""
        columns = {
            shift.column: {key: value for key, value in asdict(shift).items() if key != "column"}
            for shift in self.shifts
        }
        facts = {key: value for key, value in asdict(self).items() if key not in ("shifts", "untested")}
        return {**facts, "untested": list(self.untested), "columns": columns}


def as_numbers(column: pd.Series) -> pd.Series:
    """Read a column as numbers, for attributes of tables are stored as text; what is none becomes NaN."""
    import pandas as pd

    is_text = not pd.api.types.is_numeric_dtype(column)  # a time would turn into its nanoseconds
    return pd.to_numeric(column.astype(str) if is_text else column, errors="coerce")


def compare_newest_batch(manifest: pd.DataFrame, parameters: BatchParameters) -> BatchComparison:
    """Compare the images of the newest day of arrival with all earlier ones.

    Numbers by Kolmogorov-Smirnov, labels by chi-squared, p-values Holm-adjusted over both; the part of the batch
    outside the reference's range by its exact distribution, Holm-adjusted apart. All of one image of each group.

    Parameters
    ----------
    manifest : DataFrame
        `arrived_at`, `label`, `group_id` and `parameters.columns`; a column that is not there is passed over (an
        expectation on the manifest's columns names it).
    parameters : BatchParameters
        Limits.
    """
    import pandas as pd

    from visionpipe.stats.chi_squared import chi_squared, tables_for
    from visionpipe.stats.independence import one_row_per_group
    from visionpipe.stats.paired import holm
    from visionpipe.stats.two_sample import ks

    days = pd.to_datetime(manifest["arrived_at"], utc=True, errors="coerce").dt.floor("D")
    newest = days.max()
    is_new = days == newest
    new, earlier = manifest[is_new], manifest[days < newest]
    day = None if pd.isna(newest) else newest.date().isoformat()
    if not len(earlier):
        return BatchComparison(day, len(new), 0, reason="all images arrived on one day: nothing to compare")
    if min(len(new), len(earlier)) < parameters.min_images:
        reason = f"{len(new)} new and {len(earlier)} earlier images, {parameters.min_images} of each needed"
        return BatchComparison(day, len(new), len(earlier), reason=reason)
    new_apart, earlier_apart = (
        part.iloc[one_row_per_group(part["group_id"], seed=_SEED)] for part in (new, earlier)
    )

    found, untested = [], []
    for column in [name for name in parameters.columns if name in manifest]:
        before_N, now_M = (
            as_numbers(part[column]).dropna().to_numpy(float) for part in (earlier_apart, new_apart)
        )
        test = ks(before_N, now_M)
        if test.p_value is None:
            untested.append(column)
            continue
        share, p_outside, low, high = _outside(before_N, now_M, parameters.outside_quantile)
        found.append(
            (
                column,
                "Kolmogorov-Smirnov",
                test.statistic,
                parameters.min_ks_d,
                test.p_value,
                share,
                low,
                high,
                p_outside,
            )
        )
    labels = chi_squared(
        *(part["label"].astype(str).value_counts().to_dict() for part in (earlier_apart, new_apart)),
        tables=tables_for(parameters.alpha, len(found) + 1),
    )
    if labels.p_value is None:
        untested.append("label")
    else:
        shift = labels.total_variation
        found.append(
            (
                "label",
                "chi-squared",
                shift,
                parameters.min_label_shift,
                labels.p_value,
                None,
                None,
                None,
                None,
            )
        )
    adjusted = holm([each[4] for each in found])
    ranged = [each for each in found if each[8] is not None]
    p_of = dict(zip([each[0] for each in ranged], holm([each[8] for each in ranged]).tolist(), strict=True))
    shifts = tuple(
        ColumnShift(
            column, test, effect, least, float(p), bool(p < parameters.alpha and effect >= least), share, low, high,
            None if share is None else p_of[column],
            share is not None and p_of[column] < parameters.alpha and share > parameters.max_outside_share,
        )
        for (column, test, effect, least, _, share, low, high, _), p in zip(found, adjusted, strict=True)
    )  # fmt: skip
    return BatchComparison(
        day,
        len(new),
        len(earlier),
        shifts,
        untested=tuple(untested),
        n_new_groups=len(new_apart),
        n_earlier_groups=len(earlier_apart),
    )


def _outside(
    before_N: NDArray[np.float64], now_M: NDArray[np.float64], tail: float
) -> tuple[float, float, float, float]:
    """Return the share of `now_M` outside the range of `before_N`, its p-value, and the range's two ends.

    The ends are order statistics, not values between two: they exist for any numbers, infinite ones too. How much of
    an unchanged distribution they leave outside follows a beta distribution, whatever that distribution is, and so
    how many of M draws from it a beta-binomial one (fewer, where values are tied).
    """
    import numpy as np
    from scipy.stats import betabinom

    ranked_N, n = np.sort(before_N), len(before_N)
    place = round(tail * (n - 1))
    low, high = float(ranked_N[place]), float(ranked_N[n - 1 - place])
    n_outside = int(((now_M < low) | (now_M > high)).sum())
    beyond, within = 2 * (place + 1), n - 1 - 2 * place  # of the n + 1 gaps between the ranked values
    p_value = float(betabinom.sf(n_outside - 1, len(now_M), beyond, within)) if within > 0 else 1.0
    return n_outside / len(now_M), p_value, low, high


def add_batch(sheet: FigureSheet, batch: BatchComparison, parameters: BatchParameters) -> None:
    """Hold the newest batch to the reference's range, and to the distribution of the earlier images."""
    strays = [
        (f"{shift.column} (adjusted p {shift.outside_p_adjusted:.2g})", shift.outside_share)
        for shift in batch.shifts
        if shift.strays
    ]
    sheet.add(
        "outside the reference",
        f"of the images of {batch.day}, at most {parameters.max_outside_share:g} may lie outside the range of the "
        "earlier ones, beyond chance (validation.batch.max_outside_share)",
        strays or [("no column", 0.0)] * bool(batch.shifts),
        high=parameters.max_outside_share,
        severity=parameters.outside_severity,
    )
    drifted = [
        (f"{shift.column} ({shift.test}, adjusted p {shift.p_adjusted:.2g})", shift.effect)
        for shift in batch.shifts
        if shift.drifted
    ]
    sheet.add(
        "drift",
        f"the images of {batch.day} should be distributed like the earlier ones (validation.batch)",
        drifted or [("no column", 0.0)] * bool(batch.shifts),
        high=0,
        severity=parameters.drift_severity,
    )
