"""Classification metrics that score a whole bootstrap in one call, and their summary with intervals.

Shapes: N images, K classes, B resamples. Labels and predictions are class codes, 0 to K - 1. Every metric
takes weights: None (a float), weights_N (a float) or weights_BN (values_B); NaN where it does not exist.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from visionpipe.metrics.calibration import (
    Scores,
    brier,
    expected_calibration_error,
    mean_over_images,
    nll,
    probability_problems,
    sum_by_code,
    weight_rows,
)
from visionpipe.stats.intervals import (
    Interval,
    clopper_pearson,
    cluster_bootstrap_many,
    cluster_index,
    clustered_proportion,
)

Floats = NDArray[np.float64]


def accuracy(labels_N: ArrayLike, predicted_N: ArrayLike, weights: ArrayLike | None = None) -> Scores:
    """Return the share of right answers."""
    return mean_over_images((np.asarray(labels_N) == np.asarray(predicted_N)).astype(float), weights)


def class_recall(
    labels_N: ArrayLike, predicted_N: ArrayLike, n_classes: int, weights: ArrayLike | None = None
) -> Floats:
    """Return recall_K (or recall_BK): of the images of a class, the share that is found."""
    right, labelled, _, single = _confusion(labels_N, predicted_N, n_classes, weights)
    return _ratio(right, labelled)[0] if single else _ratio(right, labelled)


def class_precision(
    labels_N: ArrayLike, predicted_N: ArrayLike, n_classes: int, weights: ArrayLike | None = None
) -> Floats:
    """Return precision_K (or precision_BK): of the images given a class, the share that is right."""
    right, _, predicted, single = _confusion(labels_N, predicted_N, n_classes, weights)
    return _ratio(right, predicted)[0] if single else _ratio(right, predicted)


def balanced_accuracy(
    labels_N: ArrayLike, predicted_N: ArrayLike, n_classes: int, weights: ArrayLike | None = None
) -> Scores:
    """Return the mean recall of the classes that have images (with weight).

    Examples
    --------
    >>> balanced_accuracy([0, 0, 0, 1], [0, 0, 0, 0], n_classes=2)
    0.5
    """
    right, labelled, _, single = _confusion(labels_N, predicted_N, n_classes, weights)
    return _mean_of_defined(_ratio(right, labelled), single)


def macro_f1(
    labels_N: ArrayLike, predicted_N: ArrayLike, n_classes: int, weights: ArrayLike | None = None
) -> Scores:
    """Return the mean F1, 2 right / (labelled + predicted), of the classes that are labelled or predicted."""
    right, labelled, predicted, single = _confusion(labels_N, predicted_N, n_classes, weights)
    return _mean_of_defined(_ratio(2 * right, labelled + predicted), single)


def auroc(labels_N: ArrayLike, probabilities_NK: ArrayLike, weights: ArrayLike | None = None) -> Scores:
    """Return the area under the ROC curve; ties count half.

    Two classes: the chance that an image of class 1 is given a larger p_1 than one of class 0 (the same as
    for class 0 and p_0). More: one class against the rest, averaged over the classes that have images. NaN
    when only one class occurs.
    """
    return _one_against_rest(_auroc, labels_N, probabilities_NK, weights)


def average_precision(
    labels_N: ArrayLike, probabilities_NK: ArrayLike, weights: ArrayLike | None = None
) -> Scores:
    """Return the average precision, sum over thresholds of (recall_n - recall_{n-1}) * precision_n.

    Two classes: that of class 1. More: one class against the rest, averaged as in `auroc`.
    """
    return _one_against_rest(_average_precision, labels_N, probabilities_NK, weights)


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
) -> dict[str, object]:
    """Return every metric of a model on its test images, each with its confidence interval.

    Accuracy and per-class recall and precision have exact intervals: Clopper-Pearson, on the effective
    number of images when groups hold several (Korn and Graubard 1998). Balanced accuracy combines those of
    the recalls (MOVER, Zou and Donner 2008), so that a class with three images widens it as it should. The
    others have a cluster bootstrap over groups: BCa, and basic for the calibration error, which noise can
    only raise. A model without any mistake has nothing to resample; its lower bounds are exact ones.

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

    Returns
    -------
    dict
        ``n`` (images) and, by name (``accuracy``, ``balanced_accuracy``, ``macro_f1``, ``auroc``,
        ``average_precision``, ``log_loss``, ``brier``, ``ece``, ``recall[CLASS]``, ``precision[CLASS]``), a
        mapping ``estimate, low, high, level, n``, JSON-safe: None and a ``reason`` where it does not exist.

    Raises
    ------
    ValueError
        When there is no image, shapes don't line up, or labels or probabilities are out of range.
    """
    labels, probabilities = _checked(labels_N, probabilities_NK, classes)
    groups, n_classes = cluster_index(group_ids_N)[0], len(classes)
    predicted = probabilities.argmax(axis=1)
    right = (predicted == labels).astype(float)
    metrics: dict[str, object] = {"n": len(labels)}

    recalls = [clustered_proportion(right[labels == k], groups[labels == k], level) for k in range(n_classes)]
    precisions = [
        clustered_proportion(right[predicted == k], groups[predicted == k], level) for k in range(n_classes)
    ]
    metrics["accuracy"] = _entry(clustered_proportion(right, groups, level), len(labels))
    metrics["balanced_accuracy"] = _entry(_mean_interval(recalls, level), len(labels))

    functions: dict[str, Callable[[Floats], Scores]] = {
        "macro_f1": partial(macro_f1, labels, predicted, n_classes),
        "auroc": partial(auroc, labels, probabilities),
        "average_precision": partial(average_precision, labels, probabilities),
        "log_loss": partial(nll, labels, probabilities),
        "brier": partial(brier, labels, probabilities),
        "ece": partial(expected_calibration_error, labels, probabilities, 15),
    }
    wanted = {name: function for name, function in functions.items() if only is None or name in only}
    intervals = cluster_bootstrap_many(
        lambda w_BN: np.column_stack([np.empty((len(w_BN), 0)), *(score(w_BN) for score in wanted.values())]),
        groups,
        resamples=resamples,
        level=level,
        seed=seed,
        methods=["basic" if name == "ece" else "bca" for name in wanted],
    )
    flawless_low = _flawless_bounds(recalls, labels, groups)
    for name, interval in zip(wanted, intervals, strict=True):
        if interval.low == 1.0 and name in flawless_low:
            interval = replace(interval, low=flawless_low[name])
        entry = _entry(interval, len(labels))
        missing = {"reason": f"only class {classes[labels[0]]!r} occurs in the labels"}
        metrics[name] = entry | missing if math.isnan(interval.estimate) else entry

    for kind, of_class, codes, missing in (
        ("recall", recalls, labels, "no image has this label"),
        ("precision", precisions, predicted, "no image was given this class"),
    ):
        counts_K = np.bincount(codes, minlength=n_classes)
        for k, name in enumerate(classes):
            entry = _entry(of_class[k], int(counts_K[k]))
            metrics[f"{kind}[{name}]"] = entry if counts_K[k] else entry | {"reason": missing}
    return metrics


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
    return Interval(mean, max(0.0, mean - below), min(1.0, mean + above), level)


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


def _confusion(
    labels_N: ArrayLike, predicted_N: ArrayLike, n_classes: int, weights: ArrayLike | None
) -> tuple[Floats, Floats, Floats, bool]:
    """Return right_BK, labelled_BK, predicted_BK and whether a single row is wanted."""
    labels, predicted = np.asarray(labels_N), np.asarray(predicted_N)
    weights_BN, single = weight_rows(weights, len(labels))
    right_BK = sum_by_code(weights_BN, labels, n_classes, values_N=(labels == predicted).astype(float))
    labelled_BK = sum_by_code(weights_BN, labels, n_classes)
    return right_BK, labelled_BK, sum_by_code(weights_BN, predicted, n_classes), single


def _ratio(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0)


def _mean_of_defined(values_BK: Floats, single: bool) -> Scores:
    defined_BK = ~np.isnan(values_BK)
    mean_B = _ratio(np.where(defined_BK, values_BK, 0.0).sum(axis=1), defined_BK.sum(axis=1).astype(float))
    return float(mean_B[0]) if single else mean_B


def _one_against_rest(
    curve: Callable[..., Floats],
    labels_N: ArrayLike,
    probabilities_NK: ArrayLike,
    weights: ArrayLike | None,
) -> Scores:
    labels, probabilities = np.asarray(labels_N), np.asarray(probabilities_NK, dtype=float)
    weights_BN, single = weight_rows(weights, len(labels))
    positives = [1] if probabilities.shape[1] == 2 else np.unique(labels)
    values_BK = np.column_stack([curve(labels == k, probabilities[:, k], weights_BN) for k in positives])
    return _mean_of_defined(values_BK, single)


def _auroc(positive_N: NDArray[np.bool_], scores_N: Floats, weights_BN: Floats) -> Floats:
    rows_positive, rows_negative = np.flatnonzero(positive_N), np.flatnonzero(~positive_N)
    rows_negative = rows_negative[np.argsort(scores_N[rows_negative], kind="stable")]
    negative_scores, positive_scores = scores_N[rows_negative], scores_N[rows_positive]
    below_BJ = np.zeros((len(weights_BN), len(rows_negative) + 1))  # weight of the j lowest negatives
    np.cumsum(weights_BN[:, rows_negative], axis=1, out=below_BJ[:, 1:])
    first = np.searchsorted(negative_scores, positive_scores, side="left")
    last = np.searchsorted(negative_scores, positive_scores, side="right")
    beaten_BP = below_BJ[:, first]
    if np.any(first != last):
        beaten_BP = (beaten_BP + below_BJ[:, last]) / 2
    positive_BP = weights_BN[:, rows_positive]
    return _ratio(np.einsum("bp,bp->b", positive_BP, beaten_BP), positive_BP.sum(axis=1) * below_BJ[:, -1])


def _average_precision(positive_N: NDArray[np.bool_], scores_N: Floats, weights_BN: Floats) -> Floats:
    order = np.argsort(-scores_N, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores_N[order]) != 0, True))  # last image of each run of ties
    ordered_BN = weights_BN[:, order]
    given_BT = np.cumsum(ordered_BN, axis=1)[:, ends]
    right_BT = np.cumsum(ordered_BN * positive_N[order], axis=1)[:, ends]
    precision_BT = np.nan_to_num(_ratio(right_BT, given_BT))
    gained_BT = np.diff(right_BT, axis=1, prepend=0.0)
    return _ratio(np.einsum("bt,bt->b", gained_BT, precision_BT), right_BT[:, -1])
