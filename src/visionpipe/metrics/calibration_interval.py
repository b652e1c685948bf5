"""Confidence interval of a calibration error, which noise can only raise.

Shapes: N images, K classes, B resamples, G clusters, M bins.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from visionpipe.metrics.calibration import (
    calibration_gaps,
    chance_calibration_error,
    classwise_calibration_error,
    expected_calibration_error,
)
from visionpipe.stats.bootstrap import bootstrap_weights
from visionpipe.stats.intervals import Interval, cluster_index, clustered_proportion


def calibration_interval(
    labels_N: ArrayLike,
    probabilities_NK: ArrayLike,
    cluster_ids_N: ArrayLike,
    bins: int = 15,
    *,
    classwise: bool = False,
    resamples: int,
    level: float,
    seed: int,
) -> Interval:
    """Return a calibration error with an interval whose two bounds each err at most as often as they may.

    The spread is that of a cluster bootstrap around its own mean. The upper bound adds it to the estimate as it
    stands: no credit is given for what noise may have added, so that a limit is not met by luck. A sure model's
    mistakes may be so few that the sample holds none to resample: so no less than `exact_excess` is added. The lower
    bound takes `noise_added` off first, and is 0 where a perfectly calibrated model would reach the estimate by chance.

    Parameters
    ----------
    labels_N, probabilities_NK, bins
        As in `visionpipe.metrics.calibration.expected_calibration_error`.
    cluster_ids_N
        Images of one cluster are not independent.
    classwise
        Whether the error is that of `visionpipe.metrics.calibration.classwise_calibration_error`.
    resamples, level, seed
        As in `visionpipe.stats.bootstrap.cluster_bootstrap`.
    """
    score = classwise_calibration_error if classwise else expected_calibration_error
    error = partial(score, labels_N, probabilities_NK, bins)
    estimate = float(error())
    values_B = np.concatenate([error(w_BN) for w_BN in bootstrap_weights(cluster_ids_N, resamples, seed)])
    mean = float(values_B.mean())
    least, most = np.quantile(values_B, [(1 - level) / 2, (1 + level) / 2])
    chance = chance_calibration_error(
        probabilities_NK, cluster_ids_N, bins, draws=resamples, level=level, seed=seed, classwise=classwise
    )
    low = 0.0
    if estimate > chance:
        noise = noise_added(labels_N, probabilities_NK, cluster_ids_N, bins, classwise=classwise)
        low = estimate - max(noise, mean - estimate) - (float(most) - mean)
    excess = exact_excess(labels_N, probabilities_NK, cluster_ids_N, bins, classwise=classwise, level=level)
    high = estimate + max(mean - float(least), excess)
    return Interval(estimate, min(low, estimate), max(high, estimate), level).clipped(0.0, 1.0)


def exact_excess(
    labels_N: ArrayLike,
    probabilities_NK: ArrayLike,
    cluster_ids_N: ArrayLike,
    bins: int = 15,
    *,
    classwise: bool = False,
    level: float,
) -> float:
    """Return by how much a calibration error may be too small, from exact intervals of its bins.

    A bin's true gap is at most the distance from its mean probability to the farther end of the exact interval of its
    share (`visionpipe.stats.intervals.clustered_proportion`). The bins are independent and combined as such (MOVER,
    Zou and Donner 2008); a mistake counts in two classes, so these are added up.

    Parameters
    ----------
    labels_N, probabilities_NK, cluster_ids_N, bins, classwise, level
        As in `calibration_interval`.

    Returns
    -------
    float
        0 or more, in the unit of the error.
    """
    labels, probabilities = np.asarray(labels_N), np.asarray(probabilities_NK, dtype=float)
    clusters_N = cluster_index(cluster_ids_N)[0]
    happens = [labels == k for k in range(probabilities.shape[1])]
    if not classwise:
        happens = [labels == probabilities.argmax(axis=1)]
    pairs, excess = calibration_gaps(labels, probabilities, bins, classwise=classwise), 0.0
    for (bin_N, gap_N), happens_N in zip(pairs, happens, strict=True):
        squares = 0.0
        for m in np.unique(bin_N):
            rows = bin_N == m
            share, gap = clustered_proportion(happens_N[rows], clusters_N[rows], level), gap_N[rows].mean()
            stated = share.estimate - gap
            farther = max(share.high - stated, stated - share.low)
            squares += (rows.sum() * (farther - abs(gap))) ** 2
        excess += math.sqrt(squares)
    return excess / len(labels) / len(pairs)


def noise_added(
    labels_N: ArrayLike,
    probabilities_NK: ArrayLike,
    cluster_ids_N: ArrayLike,
    bins: int = 15,
    *,
    classwise: bool = False,
) -> float:
    """Return by how much a calibration error is probably too large because its bins hold finitely many images.

    The gap of a bin is d + s Z for a true gap d and standard error s, so its absolute value is too large by
    s (2 phi(u) + u (2 Phi(u) - 1) - u) on average, with u = |d| / s (folded normal). d^2 is estimated by the squared
    gap less s^2, at least 0: where d is about as large as s, this finds too much noise rather than too little. A
    bootstrap, which takes the gap that was found for d, finds less.

    Parameters
    ----------
    labels_N, probabilities_NK, cluster_ids_N, bins, classwise
        As in `calibration_interval`.

    Returns
    -------
    float
        0 or more, in the unit of the error.
    """
    index_N, sizes_G = cluster_index(cluster_ids_N)
    pairs = calibration_gaps(labels_N, probabilities_NK, bins, classwise=classwise)
    added = 0.0
    for bin_N, gap_N in pairs:
        cell_N = bin_N * len(sizes_G) + index_N
        gap_MG = np.bincount(cell_N, weights=gap_N, minlength=bins * len(sizes_G)).reshape(bins, -1)
        found_M, error_M = np.abs(gap_MG.sum(axis=1)), np.sqrt((gap_MG**2).sum(axis=1))
        held_M = error_M > 0
        found_M, error_M = found_M[held_M], error_M[held_M]
        true_M = np.sqrt(np.maximum(0.0, found_M**2 - error_M**2))
        added += float(error_M @ _folded_excess(true_M / error_M))
    return added / len(index_N) / len(pairs)


def _folded_excess(u: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return by how much the mean of |u + Z| exceeds u, for a standard normal Z."""
    return np.sqrt(2 / np.pi) * np.exp(-(u**2) / 2) + u * (2 * ndtr(u) - 1) - u
