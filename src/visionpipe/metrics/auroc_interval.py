"""Exact-type confidence interval of the area under the ROC curve, for classes with few images.

Shapes: N images, K classes, G clusters.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from visionpipe.stats.intervals import Interval, clopper_pearson, cluster_index, mean_interval

Floats = NDArray[np.float64]


def auroc_interval(
    labels_N: ArrayLike, probabilities_NK: ArrayLike, cluster_ids_N: ArrayLike, level: float = 0.95
) -> Interval:
    """Return `visionpipe.metrics.classification.auroc` with an interval that holds with few images of a class, too.

    A bootstrap of few positives knows only the ranks that it was given: its lower bound is too high where they
    happen to be good ones. Here the area is a proportion of effective pairs: the exact interval of Clopper and Pearson
    on A (1 - A) / V of them, with V the largest variance of those of DeLong et al. (1988), by cluster as in Obuchowski
    (1997), and of Hanley and McNeil (1982) for either class. No ranking has a better lower bound than a perfect one,
    of which each of the rarer side's images is a trial. The areas of several classes are combined as independent
    (MOVER, Zou and Donner 2008).

    Parameters
    ----------
    labels_N, probabilities_NK
        As in `visionpipe.metrics.classification.auroc`.
    cluster_ids_N
        Images of one cluster are not independent.
    level
        Confidence, 0 to 1.

    Returns
    -------
    Interval
        NaN when only one class occurs.
    """
    labels, probabilities = np.asarray(labels_N), np.asarray(probabilities_NK, dtype=float)
    index_N = cluster_index(cluster_ids_N)[0]
    present = np.unique(labels)
    if len(present) < 2:
        return Interval(math.nan, math.nan, math.nan, level)
    positives = [1] if probabilities.shape[1] == 2 else present
    areas = [_one_area(labels == k, probabilities[:, k], index_N, level) for k in positives]
    return mean_interval(areas, level)


def _one_area(
    positive_N: NDArray[np.bool_], scores_N: Floats, index_N: NDArray[np.int64], level: float
) -> Interval:
    wins_N = np.empty(
        len(scores_N)
    )  # of each image: the share of the other side that it is on the right side of
    wins_N[positive_N] = _share_below(scores_N[positive_N], scores_N[~positive_N])
    wins_N[~positive_N] = _share_below(-scores_N[~positive_N], -scores_N[positive_N])
    area = float(wins_N[positive_N].mean())
    sides = [len(np.unique(index_N[side_N])) for side_N in (positive_N, ~positive_N)]
    side_sizes_N = np.where(positive_N, positive_N.sum(), (~positive_N).sum())
    pulls_G = np.bincount(index_N, weights=(wins_N - area) / side_sizes_N)
    n_clusters = len(pulls_G)
    by_cluster = n_clusters / max(1, n_clusters - 1) * float(pulls_G @ pulls_G)
    variance = max(by_cluster, _hanley_mcneil(area, *sides), _hanley_mcneil(area, *sides[::-1]))
    n_effective = area * (1 - area) / variance if variance > 0 else float(min(sides))
    n_effective = max(1.0, n_effective)
    exact = clopper_pearson(min(area * n_effective, n_effective), n_effective, level)
    perfect = clopper_pearson(min(sides), min(sides), level).low
    return Interval(area, min(exact.low, perfect, area), exact.high, level)


def _share_below(scores: Floats, others: Floats) -> Floats:
    others = np.sort(others)
    below = np.searchsorted(others, scores, side="left") + np.searchsorted(others, scores, side="right")
    return below / 2 / len(others)


def _hanley_mcneil(area: float, n_positive: int, n_negative: int) -> float:
    """Return the variance of an area under exponential scores."""
    both_positive, both_negative = area / (2 - area), 2 * area**2 / (1 + area)
    of_pairs = (
        area * (1 - area)
        + (n_positive - 1) * (both_positive - area**2)
        + (n_negative - 1) * (both_negative - area**2)
    )
    return of_pairs / (n_positive * n_negative)
