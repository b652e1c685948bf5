"""Whether a challenger is good enough: each acceptance limit is met at its confidence bound.

A limit passes when the bound of a one-sided interval at alpha meets it, fails when not even the estimate does, and is
open in between. The worst slice passes when every slice that is large enough to judge meets the limit at its bound
(all must, so no correction is needed), and fails when one of them misses it beyond doubt (Bonferroni): with many
slices some estimate is low by chance alone. Shapes: N test images.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visionpipe.metrics.summary import classification_metrics
from visionpipe.promotion.checks import ScoredImages, images_needed, resamples_for, z_of
from visionpipe.promotion.decision import Check
from visionpipe.promotion.limits import LATENCY, AcceptanceLimit
from visionpipe.promotion.parameters import PromotionParameters
from visionpipe.promotion.wear import Wear
from visionpipe.stats.intervals import Interval, clustered_proportion


def acceptance_checks(
    test: ScoredImages,
    slices: Mapping[str, NDArray[np.int64]],
    parameters: PromotionParameters,
    alpha: float,
    latency_ms_p95: Any = None,
    wear: Wear | None = None,
) -> list[Check]:
    """Return for each acceptance limit whether the challenger meets it.

    Parameters
    ----------
    test
        The test images and what the challenger decided on each.
    slices
        Rows of each slice, by the words that name it ("site is Linz").
    parameters
        Limits and costs.
    alpha
        One-sided error rate of each limit.
    latency_ms_p95
        95th percentile of the time for one image [milliseconds], or a tuple of it and its upper confidence bound (None:
        timed too seldom to tell); None: it was not measured.
    wear
        How often the test images have decided before, for the number of images that would decide an open limit.
    """
    limits = parameters.limits(test.classes)
    if not limits:
        return []
    wanted = {limit.metric for limit in limits}
    metrics: Any = classification_metrics(
        test.labels_N,
        test.challenger_NK,
        test.classes,
        test.group_ids_N,
        resamples=resamples_for(alpha, parameters),
        level=1 - 2 * alpha,
        seed=parameters.seed,
        only=wanted,
        predicted_N=test.challenger_N,
        costs=parameters.costs,
        allow_unseen=True,
    )
    checks = []
    for limit, text in zip(limits, parameters.acceptance, strict=True):
        if limit.metric == "worst_slice":
            checks.append(_worst_slice(limit, text, test, slices, parameters, alpha, wear))
        elif limit.metric == LATENCY:
            checks.append(_latency(limit, text, latency_ms_p95))
        else:
            checks.append(_met(limit, text, metrics[limit.name], len(test.labels_N), alpha, wear))
    return checks


def _met(
    limit: AcceptanceLimit, text: str, entry: dict[str, Any], n_images: int, alpha: float, wear: Wear | None
) -> Check:
    value, bound = entry["estimate"], entry["low" if limit.higher_is_better else "high"]
    passed, needed = None, None
    if value is None or bound is None:
        detail = f"{text}: can't be judged, {entry.get('reason', 'too few images to know its spread')}"
    else:
        detail = f"{text}: {value:.3f}, and {bound:.3f} at its confidence bound"
        passed = True if limit.is_met_by(bound) else (None if limit.is_met_by(value) else False)
        z = abs(value - limit.limit) / max(abs(value - bound), 1e-12) * z_of(alpha)
        needed = images_needed(n_images, z, alpha, wear)
    return Check(
        name=text,
        kind="acceptance",
        value=value,
        low=entry["low"],
        high=entry["high"],
        limit=limit.limit,
        passed=passed,
        detail=detail,
        images_needed=needed,
    )


def _worst_slice(
    limit: AcceptanceLimit,
    text: str,
    test: ScoredImages,
    slices: Mapping[str, NDArray[np.int64]],
    parameters: PromotionParameters,
    alpha: float,
    wear: Wear | None,
) -> Check:
    right_N = (test.challenger_N == test.labels_N).astype(float)
    judged = {name: rows for name, rows in slices.items() if len(rows) >= parameters.min_slice_images}
    small = len(slices) - len(judged)
    aside = f" ({small} smaller slice{'s' if small > 1 else ''} not judged)" if small else ""
    if not judged:
        detail = f"{text}: can't be judged, no slice has {parameters.min_slice_images} test images{aside}"
        return Check(name=text, kind="acceptance", limit=limit.limit, passed=None, detail=detail)

    def accuracies(tail: float) -> dict[str, Interval]:
        return {
            name: clustered_proportion(right_N[rows], test.group_ids_N[rows], 1 - 2 * tail)
            for name, rows in judged.items()
        }

    found, doubtless = accuracies(alpha), accuracies(alpha / len(judged))
    lowest = min(doubtless, key=lambda name: doubtless[name].high)
    failed = doubtless[lowest].high < limit.limit
    worst = lowest if failed else min(found, key=lambda name: found[name].low)
    shown = found[worst]
    passed = False if failed else True if limit.is_met_by(shown.low) else None
    z = (shown.estimate - limit.limit) / max(shown.estimate - shown.low, 1e-12) * z_of(alpha)
    return Check(
        name=text,
        kind="acceptance",
        value=shown.estimate,
        low=shown.low,
        high=shown.high,
        limit=limit.limit,
        passed=passed,
        detail=f"{text}: {shown.estimate:.3f} where {worst}, between {shown.low:.3f} and {shown.high:.3f} "
        f"at its confidence bounds, {len(judged[worst])} test images{aside}",
        images_needed=images_needed(len(test.labels_N), z, alpha, wear),
    )


def _latency(limit: AcceptanceLimit, text: str, latency_ms_p95: Any) -> Check:
    """Judge the measured 95th percentile at the upper end of its interval."""
    measured, high = latency_ms_p95 if isinstance(latency_ms_p95, tuple) else (latency_ms_p95, latency_ms_p95)
    value, bound = _milliseconds(measured), _milliseconds(high)
    detail = f"{text}: can't be judged, the time for one image was not measured (evaluation.examination)"
    passed = None
    if value is not None:
        detail = f"{text}: {value:.1f} ms for 95 of 100 images, "
        detail += (
            "timed too seldom to bound it" if bound is None else f"and {bound:.1f} at its confidence bound"
        )
        passed = None if limit.is_met_by(value) else False
        if bound is not None and limit.is_met_by(bound):
            passed = True
    return Check(
        name=text,
        kind="acceptance",
        value=value,
        high=bound if value is not None else None,
        limit=limit.limit,
        passed=passed,
        detail=detail,
    )


def _milliseconds(told: Any) -> float | None:
    """Return a time that makes sense, else None."""
    try:
        value = float(told) if told is not None else math.nan
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) and value >= 0 else None
