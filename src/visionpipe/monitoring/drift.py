"""Has the world moved? Reference against production predictions, without a single new label."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import pandas as pd

from visionpipe.counting import counted
from visionpipe.errors import VisionpipeError
from visionpipe.monitoring.alignment import align
from visionpipe.monitoring.feature_shift import (
    FeatureTest,
    compare_column,
    compare_embeddings,
    compare_missing,
    histogram,
)
from visionpipe.monitoring.parameters import DriftParameters
from visionpipe.monitoring.tested_rows import choose_rows
from visionpipe.stats.paired import holm

logger = logging.getLogger(__name__)
_NAMED_IN_REASON = 3


@dataclass(frozen=True)
class DriftVerdict:
    """What `detect_drift` found."""

    drifted: bool | None
    """True or False; None if there was too little to judge, which is not "no drift"."""
    reason: str
    """For a person: the verdict in one sentence, then what else one must know of the rows behind it."""
    n_reference: int
    """Rows of the reference that were compared: one of each group."""
    n_current: int
    """Predictions that were compared: one of each photo or group."""
    window: dict[str, str] | None
    """`from` and `to`: ISO 8601 times (UTC) of the oldest and newest prediction in it; None if there is none."""
    model_version: str | None
    """Whose predictions were compared: one version, or several joined by commas; None if there is none."""
    tests: tuple[FeatureTest, ...] = ()
    untested: dict[str, str] = field(default_factory=dict)
    """Columns that could not be tested, and why."""
    refused_rows: dict[str, int] = field(default_factory=dict)
    """Rows that the prediction log refused, by reason."""
    refused_files: dict[str, int] = field(default_factory=dict)
    """Files that it refused whole, by reason."""
    histograms: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    """By numeric feature: `bins` (21 edges), `reference` and `current` (20 densities)."""

    def as_dict(self) -> dict[str, Any]:
        """Return the verdict as a mapping that is safe to write as JSON."""
        fields = asdict(self)
        return {**fields, "tests": list(fields["tests"])}


def detect_drift(
    reference: pd.DataFrame,
    current: pd.DataFrame,
    classes: Sequence[str],
    parameters: DriftParameters,
    *,
    model_version: str | None = None,
    refused_rows: Mapping[str, int] | None = None,
    refused_files: Mapping[str, int] | None = None,
    other_versions: Mapping[str, int] | None = None,
    now: datetime | None = None,
) -> DriftVerdict:
    """Judge whether production differs from what the model was validated on.

    Each numeric feature is compared by Kolmogorov-Smirnov, `predicted_label` and any feature of text by
    chi-squared, the embeddings by maximum mean discrepancy; how often a feature or the embedding is missing, by
    chi-squared too. The p-values are Holm-adjusted over all of them; drift is an adjusted p-value below `alpha`
    together with an effect that reaches its minimum. Rows that belong together count once
    (`visionpipe.monitoring.tested_rows.choose_rows`), and what is a number, and how many of its digits count,
    `visionpipe.monitoring.alignment.align` says.

    Parameters
    ----------
    reference : pandas.DataFrame
        Validation predictions of the model: `predicted_label`, `embedding`, the features and perhaps `group_id`.
    current : pandas.DataFrame
        Sound rows of the prediction log: the same columns, `requested_at`, `model_version` and perhaps
        `image_id` and the column `parameters.group_by`.
    classes : sequence of str
        The K classes of the model.
    parameters : DriftParameters
        Error rate, smallest effects, sizes.
    model_version : str, optional
        Compare this model's predictions only: another model's confidences and embeddings differ from the
        reference of themselves. Without it, all rows count.
    refused_rows, refused_files : mapping of str to int, optional
        Those of `PredictionLog`, handed on in the verdict.
    other_versions : mapping of str to int, optional
        `PredictionLog.other_versions`, named in the verdict if there are too few rows of the model.
    now : datetime, optional
        The present (with a time zone). With it, the verdict says when the newest prediction is older than the window
        is long: the window goes back from that prediction, so a service that fell silent keeps its last verdict.

    Returns
    -------
    DriftVerdict
        With `drifted` None if either side has fewer than `min_rows` rows.

    Raises
    ------
    VisionpipeError
        If a column to test is absent, or the embeddings of the two tables differ in length.
    """
    tested = (*parameters.features, "predicted_label", "embedding")
    _check_columns("reference", reference, tested)
    if len(current):  # an empty log has no attributes yet
        log_only = ["requested_at", "model_version", *([parameters.group_by] if parameters.group_by else [])]
        _check_columns("log", current, [*tested, *log_only])
    rows = choose_rows(reference, current, parameters, model_version=model_version)
    reference, current = rows.reference, rows.current
    about: dict[str, Any] = {
        "n_reference": len(reference),
        "n_current": len(current),
        "window": {"from": rows.times[0].isoformat(), "to": rows.times[1].isoformat()}
        if rows.times
        else None,
        "model_version": model_version
        or ", ".join(sorted(map(str, current["model_version"].unique())))
        or None,
        "refused_rows": dict(refused_rows or {}),
        "refused_files": dict(refused_files or {}),
    }
    silence = _silence(rows.times, parameters.window_days, now)
    if silence:
        logger.warning(silence)
    if min(len(reference), len(current)) < parameters.min_rows:
        whose = f" of model version {model_version}" if model_version else ""
        reason = (
            f"Too few rows to judge drift: {len(reference):,} in the reference and "
            f"{counted(len(current), 'prediction')}{whose} in the window, {parameters.min_rows} of each are needed."
        )
        others = ", ".join(f"{version} ({n:,})" for version, n in sorted((other_versions or {}).items()))
        instead = f"The log has predictions of other model versions: {others}." if others else ""
        reason = _sentences(reason, rows.repeats, instead, silence)
        return DriftVerdict(drifted=None, reason=reason, **about)
    features = {name: align(reference[name], current[name]) for name in parameters.features}
    labels = (reference["predicted_label"], current["predicted_label"])  # names, even where they are digits
    found = {
        name: compare_column(*columns, parameters, classes=classes)
        for name, columns in {**features, "predicted_label": labels}.items()
    }
    found["embedding"] = compare_embeddings(reference["embedding"], current["embedding"], parameters)
    with_gaps = [*features.values(), (reference["embedding"], current["embedding"])]
    missing = [compare_missing(*columns, parameters) for columns in with_gaps]
    untested = {name: result for name, result in found.items() if isinstance(result, str)}
    compared = [result for result in [*found.values(), *missing] if isinstance(result, FeatureTest)]
    tests = _judge(compared, parameters)
    return DriftVerdict(
        drifted=any(test.drifted for test in tests) if tests else None,
        reason=_sentences(_reason(tests, untested, parameters), rows.repeats, silence),
        tests=tests,
        untested=untested,
        histograms={
            test.feature: histogram(*features[test.feature])
            for test in tests
            if test.test == "Kolmogorov-Smirnov"
        },
        **about,
    )


def _check_columns(where: str, table: pd.DataFrame, names: Sequence[str]) -> None:
    absent = [name for name in names if name not in table.columns]
    if absent:
        known = ", ".join(sorted(map(str, table.columns)))
        raise VisionpipeError(
            f"drift: the {where} has no column {', '.join(absent)}; it has {known} "
            "(drift.features, drift.group_by)"
        )


def _sentences(*sentences: str) -> str:
    return " ".join(filter(None, sentences))


def _silence(
    times: tuple[pd.Timestamp, pd.Timestamp] | None, window_days: int | None, now: datetime | None
) -> str:
    if times is None or window_days is None or now is None:
        return ""
    days = (pd.Timestamp(now) - times[1]).days
    return (
        f"The newest prediction is {days} days old, the window {window_days}." if days > window_days else ""
    )


def _judge(tests: list[FeatureTest], parameters: DriftParameters) -> tuple[FeatureTest, ...]:
    adjusted = holm([test.p_value for test in tests])
    return tuple(
        test.judged(float(p_adjusted), alpha=parameters.alpha)
        for test, p_adjusted in zip(tests, adjusted, strict=True)
    )


def _reason(tests: Sequence[FeatureTest], untested: Mapping[str, str], parameters: DriftParameters) -> str:
    left_out = "".join(f"; {name} was not tested: {why}" for name, why in untested.items())
    if not tests:
        return f"Nothing could be tested{left_out}."
    strongest_first = sorted(tests, key=lambda test: test.strength, reverse=True)
    moved = [test.shift for test in strongest_first if test.drifted]
    if moved:
        more = f"; and {len(moved) - _NAMED_IN_REASON} more" if len(moved) > _NAMED_IN_REASON else ""
        return f"Drift: {'; '.join(moved[:_NAMED_IN_REASON])}{more}{left_out}."
    small = [test for test in strongest_first if test.p_adjusted < parameters.alpha]
    if small:
        least = small[0].min_effect
        return f"No drift that matters: {small[0].shift}, below the {least:g} that counts{left_out}."
    n_tests = counted(len(tests), "test")
    return f"No drift: none of {n_tests} found a shift (adjusted p < {parameters.alpha:g}){left_out}."
