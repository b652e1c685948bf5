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
    weight_rows,
)

Floats = NDArray[np.float64]
_FEW = 200  # images of a class, up to which a matrix product is faster than running sums over all images


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
    levels_P, own_BP = scores_N[positive_N], weights_BN[:, positive_N]
    positive_B = own_BP.sum(axis=1)
    negative_B = weights_BN.sum(axis=1) - positive_B
    ahead_BP = _weight_reaching(levels_P, scores_N, weights_BN, ties=0.5)
    ahead_BP -= _weight_reaching(levels_P, levels_P, own_BP, ties=0.5)
    beaten_BP = negative_B[:, None] - ahead_BP
    return _ratio(np.einsum("bp,bp->b", own_BP, beaten_BP), positive_B * negative_B)


def _average_precision(positive_N: NDArray[np.bool_], scores_N: Floats, weights_BN: Floats) -> Floats:
    levels_P, own_BP = scores_N[positive_N], weights_BN[:, positive_N]
    given_BP = _weight_reaching(levels_P, scores_N, weights_BN, ties=1.0)
    right_BP = _weight_reaching(levels_P, levels_P, own_BP, ties=1.0)
    precision_BP = np.nan_to_num(_ratio(right_BP, given_BP))
    return _ratio(np.einsum("bp,bp->b", own_BP, precision_BP), own_BP.sum(axis=1))


def _weight_reaching(levels_P: Floats, scores_N: Floats, weights_BN: Floats, *, ties: float) -> Floats:
    """Return the weight (B, P) of the images above each of P levels, and of the share `ties` of those that equal it."""
    reaching_N = scores_N >= levels_P.min(
        initial=np.inf
    )  # the others add to no level: with many classes, most
    if not reaching_N.all():
        scores_N, weights_BN = scores_N[reaching_N], weights_BN[:, reaching_N]
    if len(levels_P) <= _FEW:
        scores_N1 = scores_N[:, None]
        return weights_BN @ ((scores_N1 > levels_P) + ties * (scores_N1 == levels_P))
    order = np.argsort(-scores_N, kind="stable")
    reached_BJ = np.zeros((len(weights_BN), len(order) + 1))  # weight of the j highest
    np.cumsum(weights_BN[:, order], axis=1, out=reached_BJ[:, 1:])
    falling_N = -scores_N[order]
    at_least_BP = reached_BJ[:, np.searchsorted(falling_N, -levels_P, side="right")]
    if ties == 1:
        return at_least_BP
    above_BP = reached_BJ[:, np.searchsorted(falling_N, -levels_P, side="left")]
    return above_BP + ties * (at_least_BP - above_BP)
