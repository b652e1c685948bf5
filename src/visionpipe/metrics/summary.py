"""Every metric of a model on its test images, each with its confidence interval.

Shapes: N images, K classes, B resamples. Labels and predictions are class codes, 0 to K - 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from visionpipe.metrics.auroc_interval import auroc_interval
from visionpipe.metrics.calibration import brier_of_images, nll_of_images, probability_problems, worst_nll
from visionpipe.metrics.calibration_interval import calibration_interval
from visionpipe.metrics.classification import Floats, auroc, average_precision, macro_f1
from visionpipe.metrics.costs import cost_matrix, expected_cost
from visionpipe.metrics.selective import aurc, aurc_of_images
from visionpipe.metrics.weighting import Scores
from visionpipe.stats.bootstrap import cluster_bootstrap_many
from visionpipe.stats.bootstrap_t import clustered_mean
from visionpipe.stats.intervals import (
    Interval,
    clopper_pearson,
    cluster_index,
    clustered_proportion,
    mean_interval,
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
    allow_unseen: bool = False,
) -> dict[str, object]:
    """Return every metric of a model on its test images, each with its confidence interval.

    Accuracy and per-class recall, precision and false-positive rate have exact intervals: Clopper-Pearson, on the
    effective number of images when groups hold several (Korn and Graubard 1998). Balanced accuracy combines those of
    the recalls (MOVER, Zou and Donner 2008), so that a class with three images widens it as it should; the expected
    cost those of its steps. Macro-F1, average precision and AUROC have a BCa cluster bootstrap over groups, log loss
    and Brier score a studentised one, AURC the wider of both, the calibration errors, which noise can only raise,
    `calibration_interval`.
    Macro-F1 is known no better than balanced accuracy is; AUROC and average precision have no better lower bound than a
    model without any mistake, whose classes' bounds are exact. No interval leaves its metric's range.

    Parameters
    ----------
    labels_N, classes
        Class codes, 0 to K - 1, and the K >= 2 names.
    probabilities_NK
        Rows that sum to 1, columns in the order of ``classes``.
    group_ids_N
        Images of one group (near-duplicates) are not independent evidence.
    resamples, level, seed
        As in `visionpipe.stats.bootstrap.cluster_bootstrap`.
    only
        The bootstrapped metrics that are wanted: they take the time. None: all.
    predicted_N
        Class codes that were decided on, where the likeliest class is not always given. None: the likeliest.
    costs
        True class -> given class -> cost; unnamed mistakes cost 1, right answers 0.
    allow_unseen
        A bootstrap knows nothing of mistakes that the sample happens to lack, as it may where a class is rare. With
        this, AUROC is never narrower than `auroc_interval`, and log loss, Brier score and AURC allow for a share of
        very wrong answers that was not seen (`visionpipe.stats.bootstrap_t.clustered_mean`): for log loss of
        probability 1 in 1,000, or the smallest that the model states. Wider; meant for limits that must be met.

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
    balanced = mean_interval(recalls, level)
    metrics["balanced_accuracy"] = _entry(balanced, len(labels))
    costs_KK = cost_matrix(costs or {}, classes)
    metrics["expected_cost"] = _entry(expected_cost(labels, predicted, costs_KK, groups, level), len(labels))

    sureness = probabilities[np.arange(len(labels)), predicted]
    bootstrap = {"resamples": resamples, "level": level, "seed": seed}
    functions: dict[str, Callable[[Floats], Scores]] = {
        "macro_f1": partial(macro_f1, labels, predicted, n_classes),
        "auroc": partial(auroc, labels, probabilities),
        "average_precision": partial(average_precision, labels, probabilities),
        "aurc": partial(aurc, right, sureness),
    }
    wanted = {name: function for name, function in functions.items() if only is None or name in only}
    intervals = cluster_bootstrap_many(
        lambda w_BN: np.column_stack([np.empty((len(w_BN), 0)), *(score(w_BN) for score in wanted.values())]),
        groups,
        **bootstrap,
    )
    flawless_low = _flawless_bounds(labels, groups, n_classes, level)
    for name, interval in zip(wanted, intervals, strict=True):
        if name in flawless_low and interval.low > flawless_low[name]:
            interval = replace(interval, low=flawless_low[name])
        if name == "macro_f1":  # known no better than balanced accuracy, which few groups cannot deceive
            low, high = (interval.estimate + end - balanced.estimate for end in (balanced.low, balanced.high))
            interval = _wider(interval, replace(interval, low=low, high=high))
        if name == "auroc" and allow_unseen:
            interval = _wider(interval, auroc_interval(labels, probabilities, groups, level))
        if name == "aurc":  # in groups, percentiles by themselves err above in 5 % instead of 2.5 %
            unseen = allow_unseen or interval.high == 0.0
            studentised = _aurc_interval(right, sureness, groups, bootstrap, allow_unseen=unseen)
            interval = _wider(interval, studentised)
        interval = interval.clipped(0.0, 1.0)
        entry = _entry(interval, len(labels))
        missing = {"reason": f"only class {classes[labels[0]]!r} occurs in the labels"}
        metrics[name] = entry | missing if math.isnan(interval.estimate) else entry

    for name, of_images, most, largest in (
        ("log_loss", nll_of_images, worst_nll(probabilities), math.inf),
        ("brier", brier_of_images, *([1.0 if n_classes == 2 else 2.0] * 2)),
    ):
        if only is None or name in only:
            unseen = most if allow_unseen else None
            mean = clustered_mean(of_images(labels, probabilities), groups, most=unseen, **bootstrap)
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


def _aurc_interval(
    right_N: Floats, sureness_N: Floats, groups: NDArray[np.generic], bootstrap: Any, *, allow_unseen: bool
) -> Interval:
    """Interval of the AURC as a mean over images; perhaps with mistakes, unseen as yet, among the surest answers."""
    unseen = 1 - clopper_pearson(n := len(right_N), n, bootstrap["level"]).low
    most = min(
        1 - math.log(unseen), float(np.sum(1 / np.arange(1, n + 1)))
    )  # a mistake, when they are all surest
    return clustered_mean(
        aurc_of_images(right_N, sureness_N), groups, most=most if allow_unseen else None, **bootstrap
    )


def _wider(one: Interval, other: Interval) -> Interval:
    """Return the first, its bounds moved out to the other's; NaN counts as no bound at all."""
    low, high = np.minimum(one.low, other.low), np.maximum(one.high, other.high)  # NaN where either is
    return replace(one, low=float(low), high=float(high))


def _flawless_bounds(
    labels: NDArray[np.int64], groups: NDArray[np.generic], n_classes: int, level: float
) -> dict[str, float]:
    """Return lower bounds for a model without a mistake on these images: none with mistakes has better ones.

    The areas of several classes are combined as independent (MOVER); average precision has the mean of the bounds,
    which is lower: simulations of ten classes need it.
    """
    positives = [1] if n_classes == 2 else np.unique(labels).tolist()
    areas = [
        Interval(1.0, _perfect_auroc(*_sides(labels == k, groups), level), 1.0, level) for k in positives
    ]
    return {
        "auroc": mean_interval(areas, level).low,
        "average_precision": float(
            np.mean([_perfect_precision(*_sides(labels == k, groups), level) for k in positives])
        ),
    }


def _sides(positive_N: NDArray[np.bool_], groups: NDArray[np.generic]) -> tuple[int, int]:
    """Return the number of groups with positive images, and with negative ones."""
    return len(np.unique(groups[positive_N])), len(np.unique(groups[~positive_N]))


def _perfect_auroc(n_positive: int, n_negative: int, level: float) -> float:
    """Bound a perfect ranking: the rarer side has as many disjoint (positive, negative) pairs, each a trial."""
    n_pairs = min(n_positive, n_negative)
    return clopper_pearson(n_pairs, n_pairs, level).low


def _perfect_precision(n_positive: int, n_negative: int, level: float) -> float:
    """Bound the average precision of a perfect ranking, at the shares of the classes that the test images have.

    No negative is above any positive, so at the threshold whose true recall is r, all n positives are above it, with a
    chance of r^n, or no negative is. Each of the two is given half of the error rate; then at recall r there are at
    most f false positives for a positive, at worst all of them ranked first.
    """
    halved = (1 + level) / 2
    found = clopper_pearson(n_positive, n_positive, halved).low
    false = (1 - clopper_pearson(n_negative, n_negative, halved).low) * n_negative / max(1, n_positive)
    return found - false * math.log1p(found / false) if false > 0 else found


def _entry(interval: Interval, n_images: int) -> dict[str, object]:
    entry: dict[str, object] = {**interval.as_dict(), "n": n_images}
    if entry["estimate"] is None:
        return entry | {"low": None, "high": None}
    return (
        entry if entry["low"] is not None else entry | {"reason": "too few groups of images for an interval"}
    )


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
