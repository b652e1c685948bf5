"""Which rows of the reference and of the prediction log a drift test compares: those that are evidence of their own."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from visionpipe.counting import counted
from visionpipe.monitoring.parameters import DriftParameters
from visionpipe.stats.independence import one_row_per_group


@dataclass(frozen=True)
class TestedRows:
    """The rows that are compared, and what was left out."""

    __test__ = False  # pytest: not a class of tests

    reference: pd.DataFrame
    current: pd.DataFrame
    times: tuple[pd.Timestamp, pd.Timestamp] | None
    """When the oldest and the newest prediction in the window were requested, drawn or not; None without any."""
    repeats: str
    """Which rows were left out as repeats of others: a sentence, or nothing."""


def choose_rows(
    reference: pd.DataFrame,
    current: pd.DataFrame,
    parameters: DriftParameters,
    *,
    model_version: str | None = None,
) -> TestedRows:
    """Take the predictions of one model in the window, and one row of all that belong together.

    Near-duplicates share a `group_id` in the reference, and a photo that is requested again has the `image_id` that
    it had. Rows that share a value of `parameters.group_by` belong together on both sides. Of each group one row,
    drawn at random, is kept.

    Parameters
    ----------
    reference, current : pandas.DataFrame
        As for `visionpipe.monitoring.drift.detect_drift`.
    parameters : DriftParameters
        Window, `group_by` and seed.
    model_version : str, optional
        Take this model's predictions only.
    """
    in_window = _window(current, parameters.window_days, model_version)
    by = [parameters.group_by] if parameters.group_by else []
    kept_reference = _one_of_each(reference, ["group_id", *by], parameters.seed)
    kept_current = _one_of_each(in_window, ["image_id", *by], parameters.seed)
    shares = [
        f"{len(kept):,} of {counted(len(rows), noun)}"
        for kept, rows, noun in [
            (kept_reference, reference, "reference row"),
            (kept_current, in_window, "prediction"),
        ]
        if len(kept) < len(rows)
    ]
    repeats = f"One row of each group or photo counts: {' and '.join(shares)}." if shares else ""
    return TestedRows(kept_reference, kept_current, _times(in_window), repeats)


def _window(current: pd.DataFrame, window_days: int | None, model_version: str | None) -> pd.DataFrame:
    if model_version is not None:
        current = current[current["model_version"].astype("str") == str(model_version)]
    if window_days is not None and len(current):
        start = current["requested_at"].max() - pd.Timedelta(days=window_days)
        current = current[current["requested_at"] > start]
    return current


def _times(in_window: pd.DataFrame) -> tuple[pd.Timestamp, pd.Timestamp] | None:
    if in_window.empty:
        return None
    return in_window["requested_at"].min(), in_window["requested_at"].max()


def _one_of_each(rows: pd.DataFrame, keys: list[str], seed: int) -> pd.DataFrame:
    for key in keys:
        if key in rows.columns:
            kept_M = one_row_per_group(rows[key], seed=seed)
            rows = rows if len(kept_M) == len(rows) else rows.iloc[kept_M]
    return rows
