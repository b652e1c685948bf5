"""Classification metrics that score a whole bootstrap in one call.

Shapes: N images, K classes, B resamples. Labels and predictions are class codes, 0 to K - 1. Every metric
takes weights: None (a float), weights_N (a float) or weights_BN (values_B); NaN where it does not exist.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from visionpipe.metrics.weighting import (
    Scores,
    mean_over_images,
    sum_by_code,
    totals_at_thresholds,
    weight_rows,
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
    given_BT, right_BT = totals_at_thresholds(scores_N, positive_N, weights_BN)
    precision_BT = np.nan_to_num(_ratio(right_BT, given_BT))
    gained_BT = np.diff(right_BT, axis=1, prepend=0.0)
    return _ratio(np.einsum("bt,bt->b", gained_BT, precision_BT), right_BT[:, -1])
