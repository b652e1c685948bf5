"""Confidence intervals: exact ones for proportions, a cluster bootstrap for everything else.

Shapes: N observations, B resamples, G clusters, M metrics computed together.
Observations of one cluster (near-duplicates, one patient, one module) are drawn together, because they are
not independent evidence.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincinv, ndtr, ndtri, stdtrit

CELLS_PER_CHUNK = 4_000_000  # weights held at once: 32 MB, whatever the number of resamples
JACKKNIFE_BLOCKS = 200  # enough to estimate skewness; one block per cluster below it
DEFINED_SHARE = 0.5  # of the resamples in which a metric must exist for its interval to mean something


@dataclass(frozen=True)
class Interval:
    """An estimate with its two-sided confidence interval; NaN where it is not defined."""

    estimate: float
    low: float
    high: float
    level: float
    """Confidence, 0 to 1: each bound is a one-sided bound at ``1 - (1 - level) / 2``."""

    def as_dict(self) -> dict[str, float | None]:
        """Return a JSON-safe mapping: NaN becomes ``None``."""
        return {name: (None if math.isnan(value) else float(value)) for name, value in asdict(self).items()}

    def clipped(self, least: float, most: float) -> Interval:
        """Return the part of the interval that the metric can take; NaN stays NaN.

        What is cut off holds no possible truth, so the interval covers the truth as often as before.
        The estimate only moves where rounding put it outside.

        Examples
        --------
        >>> Interval(0.031, -0.019, 0.034, level=0.95).clipped(0.0, 1.0)
        Interval(estimate=0.031, low=0.0, high=0.034, level=0.95)
        """
        ends = np.clip([self.estimate, self.low, self.high], least, most)
        return Interval(*ends.tolist(), self.level)


def clopper_pearson(successes: float, trials: float, level: float = 0.95) -> Interval:
    """Exact binomial interval of Clopper and Pearson (1934): its coverage is never below ``level``.

    Parameters
    ----------
    successes, trials
        0 <= successes <= trials. Fractions are allowed (effective sample sizes).
    level
        Confidence, strictly between 0 and 1.

    Returns
    -------
    Interval
        With no trials the estimate is NaN and the interval is [0, 1]: nothing is known.

    Examples
    --------
    >>> interval = clopper_pearson(8, 10)
    >>> round(interval.low, 3), round(interval.high, 3)
    (0.444, 0.975)
    """
    _check_level(level)
    if not (math.isfinite(trials) and 0 <= successes <= trials):
        raise ValueError(f"clopper_pearson: {successes} successes in {trials} trials is impossible")
    if trials == 0:
        return Interval(math.nan, 0.0, 1.0, level)
    tail = (1 - level) / 2
    failures = trials - successes
    low = 0.0 if successes == 0 else float(betaincinv(successes, failures + 1, tail))
    high = 1.0 if failures == 0 else float(betaincinv(successes + 1, failures, 1 - tail))
    return Interval(successes / trials, low, high, level)


def effective_size(values_N: ArrayLike, cluster_ids_N: ArrayLike, level: float = 0.95) -> float:
    """Return the number of independent observations that would tell as much about the mean as these do.

    This is Korn and Graubard's (1998): N over the design effect (cluster-robust variance over that of
    independent observations), with the t quantile of the number of clusters; never more than N.
    With one observation per cluster it is N exactly. When all values are equal the design effect can't be
    estimated, and Kish's size for clusters that agree completely, (sum m)^2 / sum m^2, is used.
    """
    values_N = np.asarray(values_N, dtype=float)
    index_N, sizes_G = cluster_index(cluster_ids_N)
    n, n_clusters = len(values_N), len(sizes_G)
    if n == n_clusters:
        return float(n)
    if n_clusters == 1:
        return 1.0
    residuals_N = values_N - values_N.mean()
    independent = float(residuals_N @ residuals_N) / (n - 1) / n
    if independent <= 1e-15:
        return float(n**2 / np.sum(sizes_G.astype(float) ** 2))
    residuals_G = np.bincount(index_N, weights=residuals_N)
    clustered = n_clusters / (n_clusters - 1) * float(residuals_G @ residuals_G) / n**2
    tail = 1 - (1 - level) / 2
    few_clusters = (stdtrit(n - 1, tail) / stdtrit(n_clusters - 1, tail)) ** 2
    # at least one: the group itself was seen
    return float(max(1.0, n / max(1.0, clustered / independent) * few_clusters))


def clustered_proportion(successes_N: ArrayLike, cluster_ids_N: ArrayLike, level: float = 0.95) -> Interval:
    """Exact interval for a proportion when observations come in clusters (Korn and Graubard 1998).

    Clopper-Pearson on the effective sample size; the plain Clopper-Pearson when every cluster holds one.
    """
    successes_N = np.asarray(successes_N, dtype=float)
    if len(successes_N) == 0:
        return clopper_pearson(0, 0, level)
    share = float(successes_N.mean())
    n_effective = effective_size(successes_N, cluster_ids_N, level)
    exact = clopper_pearson(min(share * n_effective, n_effective), n_effective, level)
    return Interval(share, exact.low, exact.high, level)


def mean_interval(intervals: list[Interval], level: float) -> Interval:
    """Return the interval of the mean of independent quantities between 0 and 1, from theirs; NaN ones are left out.

    References
    ----------
    Zou and Donner, Construction of confidence limits about effect measures (MOVER), Statistics in Medicine 27, 2008.
    """
    defined = [interval for interval in intervals if not math.isnan(interval.estimate)]
    mean = float(np.mean([interval.estimate for interval in defined]))
    below = math.hypot(*(interval.estimate - interval.low for interval in defined)) / len(defined)
    above = math.hypot(*(interval.high - interval.estimate for interval in defined)) / len(defined)
    return Interval(mean, mean - below, mean + above, level).clipped(0.0, 1.0)


def cluster_index(cluster_ids_N: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (index_N in 0..G-1, sizes_G) of cluster ids of any type."""
    ids_N = np.asarray(cluster_ids_N)
    if ids_N.dtype == object:
        ids_N = ids_N.astype(str)
    _, index_N, sizes_G = np.unique(ids_N, return_inverse=True, return_counts=True)
    return index_N.reshape(-1), sizes_G


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
        Bounds are NaN when the metric exists in less than half of the resamples. A statistic that never
        varies gives an interval of width zero: for a flawless proportion use `clustered_proportion`.

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
    _check_level(level)
    index_N, sizes_G = cluster_index(cluster_ids_N)
    if len(index_N) == 0 or resamples < 1:
        raise ValueError(f"cluster_bootstrap: {len(index_N)} observations, {resamples} resamples; need >= 1")
    estimates_M = statistic(np.ones((1, len(index_N))))[0]
    values_BM = np.concatenate([statistic(w) for w in bootstrap_weights(cluster_ids_N, resamples, seed)])
    jackknife_JM = np.concatenate([statistic(w) for w in _jackknife_weights(index_N, len(sizes_G))])
    columns = zip(estimates_M, values_BM.T, jackknife_JM.T, strict=True)
    return [
        _bounds(float(estimate), values_B, left_out_J, level) for estimate, values_B, left_out_J in columns
    ]


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
    level: float,
) -> Interval:
    values = values_B[~np.isnan(values_B)]
    if math.isnan(estimate) or len(values) < DEFINED_SHARE * len(values_B):
        return Interval(estimate, math.nan, math.nan, level)
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    low, high = np.quantile(values, _bca_tails(estimate, values, left_out_J, tails))
    return Interval(estimate, float(min(low, estimate)), float(max(high, estimate)), level)


def _bca_tails(
    estimate: float,
    values: NDArray[np.float64],
    left_out_J: NDArray[np.float64],
    tails: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the shares of the resamples at which the BCa interval ends."""
    tie = np.isclose(values, estimate, rtol=1e-12, atol=1e-12)
    below = np.mean((values < estimate) & ~tie) + 0.5 * np.mean(tie)  # half the ties: metrics are discrete
    one = 1 / (len(values) + 1)
    bias = ndtri(np.clip(below, one, 1 - one))
    skew = _acceleration(left_out_J)
    shifted = bias + ndtri(tails)
    return ndtr(bias + shifted / np.maximum(1 - skew * shifted, 0.1))  # 0.1: never past the pole


def _acceleration(left_out_J: NDArray[np.float64]) -> float:
    left_out = left_out_J[~np.isnan(left_out_J)]
    if len(left_out) < 2:
        return 0.0
    pull = left_out.mean() - left_out
    spread = float(pull @ pull)
    return float(np.sum(pull**3) / (6 * spread**1.5)) if spread > 1e-20 else 0.0


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level is {level}: a confidence strictly between 0 and 1 is needed, such as 0.95")
