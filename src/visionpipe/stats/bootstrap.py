"""The cluster bootstrap: intervals for everything that is no proportion.

Shapes: N observations, B resamples, G clusters, M metrics computed together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri, stdtrit

from visionpipe.stats.intervals import CELLS_PER_CHUNK, Interval, check_level, cluster_index

JACKKNIFE_BLOCKS = 200  # enough to estimate skewness; one block per cluster below it
DEFINED_SHARE = 0.5  # of the resamples in which a metric must exist for its interval to mean something


def bootstrap_weights(cluster_ids_N: ArrayLike, resamples: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Yield weights_BN, in chunks: how often each observation occurs when G clusters are drawn from G."""
    index_N, sizes_G = cluster_index(cluster_ids_N)
    n, n_clusters = len(index_N), len(sizes_G)
    random = np.random.default_rng(seed)
    singletons = bool(n == n_clusters and np.all(index_N == np.arange(n)))
    rows = max(1, CELLS_PER_CHUNK // max(1, n))
    for start in range(0, resamples, rows):
        n_rows = min(rows, resamples - start)
        drawn = random.integers(0, n_clusters, size=(n_rows, n_clusters))
        drawn += np.arange(n_rows)[:, None] * n_clusters
        counts = np.bincount(drawn.ravel(), minlength=n_rows * n_clusters)
        weights_BG = counts.reshape(n_rows, n_clusters).astype(float)
        yield weights_BG if singletons else weights_BG[:, index_N]


def cluster_bootstrap(
    statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    cluster_ids_N: ArrayLike,
    *,
    resamples: int,
    level: float,
    seed: int,
) -> Interval:
    """Bias-corrected and accelerated (BCa) bootstrap interval over clusters (Efron 1987).

    Resamples of G clusters spread too little, by (G - 1) / G in variance, and normal quantiles take that spread for
    known. In their place are sqrt(G / (G - 1)) times Student's, as in the expanded percentile interval of Hesterberg
    (The American Statistician 69, 2015); from some hundred clusters on nothing changes.

    Parameters
    ----------
    statistic
        Maps weights_BN (float, >= 0; how often each observation counts) to values_B. NaN means that the
        metric does not exist in that resample; such resamples are left out.
    cluster_ids_N
        Cluster of each observation, any type; clusters are drawn whole.
    resamples, level, seed
        Number of resamples (>= 1), confidence (0 to 1) and the seed: the same seed, the same interval.

    Returns
    -------
    Interval
        Bounds are NaN when the metric exists in less than half of the resamples, and with `too_few_clusters`. A
        statistic that never varies gives an interval of width zero: for a flawless proportion use
        `visionpipe.stats.intervals.clustered_proportion`.

    Examples
    --------
    >>> heights_N = np.array([1.5, 1.6, 1.7, 1.8, 1.9, 2.0])
    >>> mean = lambda weights_BN: weights_BN @ heights_N / weights_BN.sum(axis=1)
    >>> interval = cluster_bootstrap(mean, range(6), resamples=2000, level=0.95, seed=0)
    >>> round(interval.estimate, 2), 1.55 < interval.low < 1.65, 1.85 < interval.high < 1.95
    (1.75, True, True)
    """
    return cluster_bootstrap_many(
        lambda weights_BN: np.asarray(statistic(weights_BN))[:, None],
        cluster_ids_N,
        resamples=resamples,
        level=level,
        seed=seed,
    )[0]


def cluster_bootstrap_many(
    statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    cluster_ids_N: ArrayLike,
    *,
    resamples: int,
    level: float,
    seed: int,
) -> list[Interval]:
    """As `cluster_bootstrap` for M metrics on the same resamples: statistic(weights_BN) -> values_BM."""
    check_level(level)
    index_N, sizes_G = cluster_index(cluster_ids_N)
    if len(index_N) == 0 or resamples < 1:
        raise ValueError(f"cluster_bootstrap: {len(index_N)} observations, {resamples} resamples; need >= 1")
    estimates_M = statistic(np.ones((1, len(index_N))))[0]
    values_BM = np.concatenate([statistic(w) for w in bootstrap_weights(cluster_ids_N, resamples, seed)])
    jackknife_JM = np.concatenate([statistic(w) for w in _jackknife_weights(index_N, len(sizes_G))])
    columns = zip(estimates_M, values_BM.T, jackknife_JM.T, strict=True)
    if too_few_clusters(len(sizes_G), level):
        return [Interval(float(estimate), math.nan, math.nan, level) for estimate in estimates_M]
    quantiles = expanded_quantiles(len(sizes_G), level)
    return [
        _bounds(float(estimate), values_B, left_out_J, quantiles, level)
        for estimate, values_B, left_out_J in columns
    ]


def too_few_clusters(n_clusters: int, level: float) -> bool:
    """Say whether resampling cannot tell an interval: even the extremes of so few clusters miss the truth too often.

    Each cluster lies on either side of their median with a chance of one half; all on the same side, 2 / 2^G.
    """
    return 2.0 * 0.5**n_clusters > 1 - level


def expanded_quantiles(n_clusters: int, level: float) -> NDArray[np.float64]:
    """Return the lower and the upper quantile (2,) that stand for the normal distribution's."""
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    return math.sqrt(n_clusters / (n_clusters - 1)) * stdtrit(n_clusters - 1, tails)


def _jackknife_weights(index_N: NDArray[np.int64], n_clusters: int) -> Iterator[NDArray[np.float64]]:
    """Yield weights_JN, in chunks, that leave out one block of clusters each."""
    n_blocks = min(n_clusters, JACKKNIFE_BLOCKS)
    rows = max(1, CELLS_PER_CHUNK // len(index_N))
    for start in range(0, n_blocks, rows):
        blocks_J = np.arange(start, min(start + rows, n_blocks))
        yield (index_N % n_blocks != blocks_J[:, None]).astype(float)


def _bounds(
    estimate: float,
    values_B: NDArray[np.float64],
    left_out_J: NDArray[np.float64],
    quantiles: NDArray[np.float64],
    level: float,
) -> Interval:
    values = values_B[~np.isnan(values_B)]
    if math.isnan(estimate) or len(values) < DEFINED_SHARE * len(values_B):
        return Interval(estimate, math.nan, math.nan, level)
    low, high = np.quantile(values, _bca_tails(estimate, values, left_out_J, quantiles))
    return Interval(estimate, float(min(low, estimate)), float(max(high, estimate)), level)


def _bca_tails(
    estimate: float,
    values: NDArray[np.float64],
    left_out_J: NDArray[np.float64],
    quantiles: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the shares of the resamples at which the BCa interval ends."""
    tie = np.isclose(values, estimate, rtol=1e-12, atol=1e-12)
    below = np.mean((values < estimate) & ~tie) + 0.5 * np.mean(tie)  # half the ties: metrics are discrete
    one = 1 / (len(values) + 1)
    bias = ndtri(np.clip(below, one, 1 - one))
    skew = _acceleration(left_out_J)
    shifted = bias + quantiles
    return ndtr(bias + shifted / np.maximum(1 - skew * shifted, 0.1))  # 0.1: never past the pole


def _acceleration(left_out_J: NDArray[np.float64]) -> float:
    left_out = left_out_J[~np.isnan(left_out_J)]
    if len(left_out) < 2:
        return 0.0
    pull = left_out.mean() - left_out
    spread = float(pull @ pull)
    return float(np.sum(pull**3) / (6 * spread**1.5)) if spread > 1e-20 else 0.0
