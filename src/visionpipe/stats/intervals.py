"""Confidence intervals of proportions, exact ones, and what all intervals share.

Shapes: N observations, G clusters.
Observations of one cluster (near-duplicates, one patient, one module) are not independent evidence.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincinv, stdtrit

CELLS_PER_CHUNK = 4_000_000  # weights held at once: 32 MB, whatever the number of resamples


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
    check_level(level)
    if not (math.isfinite(trials) and 0 <= successes <= trials):
        raise ValueError(f"clopper_pearson: {successes} successes in {trials} trials is impossible")
    if trials == 0:
        return Interval(math.nan, 0.0, 1.0, level)
    tail = (1 - level) / 2
    failures = trials - successes
    low = 0.0 if successes == 0 else float(betaincinv(successes, failures + 1, tail))
    high = 1.0 if failures == 0 else float(betaincinv(successes + 1, failures, 1 - tail))
    return Interval(successes / trials, low, high, level)


def effective_size(
    values_N: ArrayLike,
    cluster_ids_N: ArrayLike,
    level: float = 0.95,
    *,
    least: float = 0.0,
    most: float = 1.0,
) -> float:
    """Return the number of independent observations that would tell as much about the mean as these do.

    N over the design effect, with the t quantile that so few clusters ask for (Korn and Graubard 1998); from 1 to N,
    and N exactly with one observation per cluster. The design effect is the larger of two:

    - the cluster-robust variance over that of independent observations. It supposes nothing, but where one cluster
      holds half of the observations it sees little else, so its t has Kish's number of clusters, N^2 / sum m^2;
    - 1 + (K - 1) times the intraclass correlation, K = sum m^2 / N (Kish 1965; the correlation by the mean square
      within clusters, Fleiss and Cuzick 1979). All clusters tell how alike observations of the largest are.

    A few mistakes among many observations cannot show a design effect: one alone looks like none, and its bound would
    be as close as if clusters did not matter. So half a cluster of average size is added at each end of what a value
    can be, as Jeffreys adds half a success and half a failure; with many of both kinds it changes nothing. When all
    values are equal it is the number of clusters: each has agreed once. Decision record 0014 has the study.

    Parameters
    ----------
    values_N
        From ``least`` to ``most``.
    cluster_ids_N
        Cluster of each, any type.
    level
        Confidence of the interval that it is for.
    """
    values_N = np.asarray(values_N, dtype=float)
    index_N, sizes_G = cluster_index(cluster_ids_N)
    n, n_clusters = len(values_N), len(sizes_G)
    if n == n_clusters:
        return float(n)
    if n_clusters == 1:
        return 1.0
    weight = float(sizes_G.astype(float) @ sizes_G) / n
    if values_N.min() == values_N.max():
        return float(n_clusters)
    size = n / n_clusters
    mean = (values_N.sum() + size * (least + most) / 2) / (n + size)
    added = ((least - mean) ** 2 + (most - mean) ** 2) / 2
    residuals_N = values_N - mean
    residuals_G = np.bincount(index_N, weights=residuals_N)
    squares = float(residuals_N @ residuals_N)
    independent = squares + size * added
    clustered = float(residuals_G @ residuals_G) + size**2 * added
    robust = n_clusters / (n_clusters - 1) * clustered / independent * (n - 1) / n
    within = (squares - float(residuals_G**2 @ (1 / sizes_G))) / (n - n_clusters + size - 1)
    correlation = max(0.0, 1 - within * (n + size) / independent)
    # of no more degrees of freedom than Cauchy's distribution has
    robust_size = n / max(1.0, robust) * _few_clusters(n, max(2.0, n / weight), level)
    correlated_size = n / (1 + correlation * (weight - 1)) * _few_clusters(n, n_clusters, level)
    # at least one: the group itself was seen
    return max(1.0, min(robust_size, correlated_size))


def _few_clusters(n: int, n_clusters: float, level: float) -> float:
    """Return what remains of a size when its variance comes from so few clusters: squared t quantiles' ratio."""
    tail = 1 - (1 - level) / 2
    return float((stdtrit(n - 1, tail) / stdtrit(n_clusters - 1, tail)) ** 2)


def clustered_proportion(successes_N: ArrayLike, cluster_ids_N: ArrayLike, level: float = 0.95) -> Interval:
    """Exact interval for a proportion when observations come in clusters (Korn and Graubard 1998).

    Clopper-Pearson on the effective sample size; the plain Clopper-Pearson when every cluster holds one. A proportion
    is no lower than that of clusters that are successes throughout, whatever holds within them, so the bound of that
    proportion is taken where it is closer, and the other way round. Not where the proportion itself lies below it:
    large clusters then fare worse than small ones.
    """
    successes_N = np.asarray(successes_N, dtype=float)
    if len(successes_N) == 0:
        return clopper_pearson(0, 0, level)
    share = float(successes_N.mean())
    index_N, sizes_G = cluster_index(cluster_ids_N)
    n_effective = effective_size(successes_N, index_N, level)
    exact = clopper_pearson(min(share * n_effective, n_effective), n_effective, level)
    successes_G = np.bincount(index_N, weights=successes_N)
    throughout, somewhere = int(np.sum(successes_G == sizes_G)), int(np.sum(successes_G > 0))
    low, high, n_clusters = exact.low, exact.high, len(sizes_G)
    if share * n_clusters >= throughout:
        low = max(low, clopper_pearson(throughout, n_clusters, level).low)
    if share * n_clusters <= somewhere:
        high = min(high, clopper_pearson(somewhere, n_clusters, level).high)
    return Interval(share, low, high, level)


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


def check_level(level: float) -> None:
    """Refuse what is no confidence."""
    if not 0 < level < 1:
        raise ValueError(f"level is {level}: a confidence strictly between 0 and 1 is needed, such as 0.95")
