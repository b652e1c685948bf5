"""Every metric of a model on its test images, each with its confidence interval.

Shapes: N images, K classes, B resamples. Labels and predictions are class codes, 0 to K - 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from visionpipe.metrics.calibration import brier_of_images, nll_of_images, probability_problems
from visionpipe.metrics.calibration_interval import calibration_interval
from visionpipe.metrics.classification import Floats, auroc, average_precision, macro_f1
from visionpipe.metrics.costs import cost_matrix, expected_cost
from visionpipe.metrics.selective import aurc
from visionpipe.metrics.weighting import Scores
from visionpipe.stats.bootstrap_t import clustered_mean
from visionpipe.stats.intervals import (
    Interval,
    clopper_pearson,
    cluster_bootstrap_many,
    cluster_index,
    clustered_proportion,
)

CALIBRATION_ERRORS = ("ece", "classwise_ece")


def classification_metrics(
    labels_N: ArrayLike,
    probabilities_NK: ArrayLike,
    classes: Sequence[str],
    group_ids_N: ArrayLike,
    *,
    resamples: int,
    level: float,
    seed: int,
    only: Collection[str] | None = None,
    predicted_N: ArrayLike | None = None,
    costs: Mapping[str, Mapping[str, float]] | None = None,
) -> dict[str, object]:
    """Return every metric of a model on its test images, each with its confidence interval.

    Accuracy and per-class recall, precision and false-positive rate have exact intervals: Clopper-Pearson, on the
    effective number of images when groups hold several (Korn and Graubard 1998). Balanced accuracy combines those of
    the recalls (MOVER, Zou and Donner 2008), so that a class with three images widens it as it should; the expected
    cost those of its steps. The others have a cluster bootstrap over groups: studentised for log loss and Brier score,
    which a few images can make, BCa else, and for the calibration errors, which noise can only raise,
    `calibration_interval`. A model without any mistake has nothing to resample; its bounds
    are exact ones. No interval leaves its metric's range.

    Parameters
    ----------
    labels_N, classes
        Class codes, 0 to K - 1, and the K >= 2 names.
    probabilities_NK
        Rows that sum to 1, columns in the order of ``classes``.
    group_ids_N
        Images of one group (near-duplicates) are not independent evidence.
    resamples, level, seed
        As in `visionpipe.stats.cluster_bootstrap`.
    only
        The bootstrapped metrics that are wanted: they take the time. None: all.
    predicted_N
        Class codes that were decided on, where the likeliest class is not always given. None: the likeliest.
    costs
        True class -> given class -> cost; unnamed mistakes cost 1, right answers 0.

    Returns
    -------
    dict
        ``n`` (images) and, by name (``accuracy``, ``balanced_accuracy``, ``macro_f1``, ``auroc``,
        ``average_precision``, ``log_loss``, ``brier``, ``ece``, ``classwise_ece``, ``aurc``, ``expected_cost``,
        ``recall[CLASS]``, ``precision[CLASS]``, ``false_positive_rate[CLASS]``), a mapping ``estimate, low, high,
        level, n``, JSON-safe: None and a ``reason`` where it does not exist. ``aurc`` orders the images by the
        probability of the class that was given.

    Raises
    ------
    ValueError
        When there is no image, shapes don't line up, labels or probabilities are out of range, or a cost names an
        unknown class.
    """
    labels, probabilities = _checked(labels_N, probabilities_NK, classes)
    groups, n_classes = cluster_index(group_ids_N)[0], len(classes)
    predicted = probabilities.argmax(axis=1) if predicted_N is None else np.asarray(predicted_N)
    right = (predicted == labels).astype(float)
    metrics: dict[str, object] = {"n": len(labels)}

    recalls = [clustered_proportion(right[labels == k], groups[labels == k], level) for k in range(n_classes)]
    precisions = [
        clustered_proportion(right[predicted == k], groups[predicted == k], level) for k in range(n_classes)
    ]
    false_positives = [
        clustered_proportion((predicted == k)[labels != k].astype(float), groups[labels != k], level)
        for k in range(n_classes)
    ]
    accurate = clustered_proportion(right, groups, level)
    metrics["accuracy"] = _entry(accurate, len(labels))
    metrics["balanced_accuracy"] = _entry(_mean_interval(recalls, level), len(labels))
    costs_KK = cost_matrix(costs or {}, classes)
    metrics["expected_cost"] = _entry(expected_cost(labels, predicted, costs_KK, groups, level), len(labels))

    functions: dict[str, Callable[[Floats], Scores]] = {
        "macro_f1": partial(macro_f1, labels, predicted, n_classes),
        "auroc": partial(auroc, labels, probabilities),
        "average_precision": partial(average_precision, labels, probabilities),
        "aurc": partial(aurc, right, probabilities[np.arange(len(labels)), predicted]),
    }
    wanted = {name: function for name, function in functions.items() if only is None or name in only}
    intervals = cluster_bootstrap_many(
        lambda w_BN: np.column_stack([np.empty((len(w_BN), 0)), *(score(w_BN) for score in wanted.values())]),
        groups,
        resamples=resamples,
        level=level,
        seed=seed,
    )
    flawless_low = _flawless_bounds(recalls, labels, groups)
    for name, interval in zip(wanted, intervals, strict=True):
        if interval.low == 1.0 and name in flawless_low:
            interval = replace(interval, low=flawless_low[name])
        if name == "aurc" and interval.high == 0.0:
            interval = replace(interval, high=_worst_aurc(1 - accurate.low))
        interval = interval.clipped(0.0, 1.0)
        entry = _entry(interval, len(labels))
        missing = {"reason": f"only class {classes[labels[0]]!r} occurs in the labels"}
        metrics[name] = entry | missing if math.isnan(interval.estimate) else entry

    for name, of_images, largest in (
        ("log_loss", nll_of_images, math.inf),
        ("brier", brier_of_images, 1.0 if n_classes == 2 else 2.0),
    ):
        if only is None or name in only:
            mean = clustered_mean(
                of_images(labels, probabilities), groups, resamples=resamples, level=level, seed=seed
            )
            metrics[name] = _entry(mean.clipped(0.0, largest), len(labels))

    counts_K = np.bincount(labels, minlength=n_classes)
    for name in CALIBRATION_ERRORS:
        if only is None or name in only:
            error = calibration_interval(
                labels, probabilities, groups, classwise=name == "classwise_ece",
                resamples=resamples, level=level, seed=seed,
            )  # fmt: skip
            metrics[name] = _entry(error, len(labels))

    for kind, of_class, images_K, missing in (
        ("recall", recalls, counts_K, "no image has this label"),
        (
            "precision",
            precisions,
            np.bincount(predicted, minlength=n_classes),
            "no image was given this class",
        ),
        ("false_positive_rate", false_positives, len(labels) - counts_K, "all images have this label"),
    ):
        for k, name in enumerate(classes):
            entry = _entry(of_class[k], int(images_K[k]))
            metrics[f"{kind}[{name}]"] = entry if images_K[k] else entry | {"reason": missing}
    return metrics


def _worst_aurc(error_rate: float) -> float:
    """Return the AURC of a model that is surest of all its mistakes, the largest at this error rate."""
    return error_rate * (1 - math.log(error_rate))


def _flawless_bounds(
    recalls: list[Interval], labels: NDArray[np.int64], groups: NDArray[np.generic]
) -> dict[str, float]:
    """Return lower bounds for a model without a mistake, where a bootstrap has nothing to vary."""
    level, present = recalls[0].level, np.unique(labels)
    of_class = np.array([len(np.unique(groups[labels == k])) for k in present])
    rest = np.array([len(np.unique(groups[labels != k])) for k in present])

    def all_right(counts_K: NDArray[np.int64]) -> Floats:
        return np.array([clopper_pearson(n, n, level).low for n in counts_K.tolist()])

    # average precision with recall r and f false positives a positive, at worst all of them ranked first
    found, false = all_right(of_class), (1 - all_right(rest)) * rest / of_class
    return {
        "macro_f1": float(np.mean([recalls[k].low for k in present])),
        # perfect ranking: the rarer side has as many disjoint (positive, negative) pairs, each a trial
        "auroc": float(np.mean(all_right(np.minimum(of_class, rest)))),
        "average_precision": float(np.mean(found - false * np.log1p(found / np.maximum(false, 1e-300)))),
    }


def _mean_interval(intervals: list[Interval], level: float) -> Interval:
    """Interval for the mean of independent proportions, from theirs (MOVER)."""
    defined = [interval for interval in intervals if not math.isnan(interval.estimate)]
    mean = float(np.mean([interval.estimate for interval in defined]))
    below = math.hypot(*(interval.estimate - interval.low for interval in defined)) / len(defined)
    above = math.hypot(*(interval.high - interval.estimate for interval in defined)) / len(defined)
    return Interval(mean, mean - below, mean + above, level).clipped(0.0, 1.0)


def _entry(interval: Interval, n_images: int) -> dict[str, object]:
    entry: dict[str, object] = {**interval.as_dict(), "n": n_images}
    return entry if entry["estimate"] is not None else entry | {"low": None, "high": None}


def _checked(
    labels_N: ArrayLike, probabilities_NK: ArrayLike, classes: Sequence[str]
) -> tuple[NDArray[np.int64], Floats]:
    labels, probabilities = np.asarray(labels_N), np.asarray(probabilities_NK, dtype=float)
    n_images, n_classes = len(labels), len(classes)
    if n_images < 1 or n_classes < 2:
        raise ValueError(f"{n_images} images and {n_classes} classes: at least one and two are needed")
    if problems := probability_problems(probabilities, n_images, n_classes):
        raise ValueError(f"probabilities: {'; '.join(problems)}")
    if not np.issubdtype(labels.dtype, np.integer) or labels.min() < 0 or labels.max() >= n_classes:
        raise ValueError(f"labels must be integer codes from 0 to {n_classes - 1}")
    return labels.astype(np.int64), probabilities
