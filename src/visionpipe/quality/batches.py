"""Do the newest photos look like those before them? Their own day of arrival against the rest of the store."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

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
    """Part of the batch outside the reference's range; None for labels."""
    low: float | None = None
    high: float | None = None
    """The reference's range: outer quantiles of the earlier images."""


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


def compare_newest_batch(manifest: pd.DataFrame, parameters: BatchParameters) -> BatchComparison:
    """Compare the images of the newest day of arrival with all earlier ones.

    Numbers by Kolmogorov-Smirnov, labels by chi-squared, each of one image of each group; p-values are
    Holm-adjusted over both. The part of the batch outside the reference's range counts all images.

    Parameters
    ----------
    manifest : DataFrame
        `arrived_at`, `label`, `group_id` and `parameters.columns`; a column that is not there is passed over (an
        expectation on the manifest's columns names it).
    parameters : BatchParameters
        Limits.
    """
    import numpy as np
    import pandas as pd

    from visionpipe.stats.chi_squared import chi_squared
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
        before_N, now_M, before_apart_N, now_apart_M = (
            pd.to_numeric(part[column], errors="coerce").to_numpy(float)
            for part in (earlier, new, earlier_apart, new_apart)
        )
        test = ks(before_apart_N, now_apart_M)
        if test.p_value is None:
            untested.append(column)
            continue
        tail = parameters.outside_quantile
        # an order statistic, not a value between two: it exists for any numbers, infinite ones too
        low, high = np.nanquantile(before_N, [tail, 1 - tail], method="nearest")
        outside = float(((now_M < low) | (now_M > high)).mean())
        found.append(
            (
                column,
                "Kolmogorov-Smirnov",
                test.statistic,
                parameters.min_ks_d,
                test.p_value,
                outside,
                low,
                high,
            )
        )
    labels = chi_squared(
        *(part["label"].astype(str).value_counts().to_dict() for part in (earlier_apart, new_apart))
    )
    if labels.p_value is None:
        untested.append("label")
    else:
        shift = labels.total_variation
        found.append(
            ("label", "chi-squared", shift, parameters.min_label_shift, labels.p_value, None, None, None)
        )
    adjusted = holm([each[4] for each in found])
    shifts = tuple(
        ColumnShift(
            column, test, effect, least, float(p), bool(p < parameters.alpha and effect >= least), outside,
            None if low is None else float(low), None if high is None else float(high),
        )
        for (column, test, effect, least, _, outside, low, high), p in zip(found, adjusted, strict=True)
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


def add_batch(sheet: FigureSheet, batch: BatchComparison, parameters: BatchParameters) -> None:
    """Hold the newest batch to the reference's range, and to the distribution of the earlier images."""
    sheet.add(
        "outside the reference",
        f"of the images of {batch.day}, at most {parameters.max_outside_share:g} may lie outside the range of the "
        "earlier ones (validation.batch.max_outside_share)",
        [(shift.column, shift.outside_share) for shift in batch.shifts if shift.outside_share is not None],
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
