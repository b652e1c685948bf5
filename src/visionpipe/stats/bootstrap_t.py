"""The mean of skewed values that come in clusters: an interval by the studentised bootstrap.

Shapes: N observations in G clusters, B resamples.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from visionpipe.stats.bootstrap import too_few_clusters
from visionpipe.stats.intervals import CELLS_PER_CHUNK, Interval, cluster_index, clustered_proportion

_NO_SPREAD = 1e-7  # of the standard error, beside the largest value: a difference of squares is no more exact


def clustered_mean(
    values_N: ArrayLike,
    cluster_ids_N: ArrayLike,
    *,
    resamples: int,
    level: float = 0.95,
    seed: int = 0,
    most: float | None = None,
) -> Interval:
    """Bootstrap-t interval for a mean over clusters (Efron 1981; Davison and Hinkley 1997, section 5.2.1).

    Each resample's mean is measured in its own standard errors: where a few bad observations make the mean, a sample
    without them looks too good and too sure at once, which percentiles of the means do not see. The standard error
    is that of a ratio of cluster totals.

    Parameters
    ----------
    values_N
        Finite.
    cluster_ids_N
        Cluster of each value, any type; clusters are drawn whole.
    resamples, level, seed
        As in `visionpipe.stats.bootstrap.cluster_bootstrap`.
    most
        Largest value that may occur, where none is negative: then the upper bound also allows for large values that
        the sample happens to lack. Those above half of it, a share that may be seen or not, have the exact upper bound
        of a proportion of it (`visionpipe.stats.intervals.clustered_proportion`: no values within 0 and
        ``most`` spread more), those up to half the bootstrap's, and the two are combined as independent (MOVER, Zou
        and Donner 2008). The wider bound is taken, but none beyond that exact one for all values: where a resample
        without the few large values has hardly any spread, the bootstrap's has no limit.

    Returns
    -------
    Interval
        Without ``most`` of width zero when the values do not differ; without bounds (NaN) with `too_few_clusters`.
    """
    values_N = np.asarray(values_N, dtype=float)
    index_N, sizes_G = cluster_index(cluster_ids_N)
    found = _studentised(values_N, index_N, sizes_G, resamples, level, seed)
    if most is None or math.isnan(found.high):
        return found
    rare_N = np.where(values_N > most / 2, values_N, 0.0)
    body = (
        _studentised(values_N - rare_N, index_N, sizes_G, resamples, level, seed) if rare_N.any() else found
    )
    share = clustered_proportion(np.minimum(rare_N / most, 1.0), index_N, level)
    above = math.hypot(body.high - body.estimate, most * (share.high - share.estimate))
    exact = clustered_proportion(np.minimum(values_N / most, 1.0), index_N, level)
    combined = math.inf if math.isnan(above) else found.estimate + above
    high = min(max(found.high, combined), most * exact.high)
    return replace(found, high=max(high, found.estimate))


def _studentised(
    values_N: NDArray[np.float64],
    index_N: NDArray[np.int64],
    sizes_G: NDArray[np.int64],
    resamples: int,
    level: float,
    seed: int,
) -> Interval:
    totals_G, n_clusters = np.bincount(index_N, weights=values_N), len(sizes_G)
    everything = np.ones((1, n_clusters))
    mean, error = (float(found[0]) for found in _mean_and_error(everything, totals_G, sizes_G))
    if too_few_clusters(n_clusters, level):
        return Interval(mean, math.nan, math.nan, level)
    smallest = _NO_SPREAD * float(np.abs(values_N).max())
    if error <= smallest:
        return Interval(mean, mean, mean, level)
    random = np.random.default_rng(seed)
    rows = max(1, CELLS_PER_CHUNK // n_clusters)
    deviates = []
    for start in range(0, resamples, rows):
        share_G = np.full(n_clusters, 1 / n_clusters)
        weights_BG = random.multinomial(n_clusters, share_G, size=min(rows, resamples - start)).astype(float)
        mean_B, error_B = _mean_and_error(weights_BG, totals_G, sizes_G)
        told_B = error_B > smallest  # a resample of one cluster says nothing of its error
        deviates.append((mean_B[told_B] - mean) / error_B[told_B])
    tails = [(1 + level) / 2, (1 - level) / 2]
    deviates_B = np.concatenate(deviates)
    low, high = mean - np.quantile(deviates_B, tails) * error
    return Interval(mean, float(min(low, mean)), float(max(high, mean)), level)


def _mean_and_error(
    weights_BG: NDArray[np.float64], totals_G: NDArray[np.float64], sizes_G: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the means (B,) and their linearised standard errors (B,)."""
    n_clusters, n_B = len(sizes_G), weights_BG @ sizes_G
    mean_B = weights_BG @ totals_G / n_B
    # sum of w (t - m s)^2, multiplied out: no (B, G) array of residuals
    squares_B = (
        weights_BG @ totals_G**2
        - 2 * mean_B * (weights_BG @ (totals_G * sizes_G))
        + mean_B**2 * (weights_BG @ sizes_G.astype(float) ** 2)
    )
    correction = n_clusters / max(1, n_clusters - 1)
    return mean_B, np.sqrt(correction * np.maximum(squares_B, 0)) / n_B
