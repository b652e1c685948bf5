"""Tests for two classifiers that answered the same images.

Shapes: N images, B resamples or permutations. "Champion" is the incumbent, "challenger" the newcomer; a
positive gain or difference favours the challenger.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betainc, ndtr, ndtri

from visionpipe.stats.bootstrap import cluster_bootstrap
from visionpipe.stats.intervals import CELLS_PER_CHUNK, Interval, cluster_index, effective_size

Statistic = Callable[[NDArray[np.float64]], NDArray[np.float64]]


@dataclass(frozen=True)
class PairedTest:
    """Exact McNemar test of two classifiers on the same images."""

    b: float
    """Images only the champion got right."""
    c: float
    """Images only the challenger got right."""
    p_value: float
    """Two-sided, against equal accuracy."""
    p_greater: float
    """One-sided: small when the challenger is right more often."""
    p_less: float
    """One-sided: small when the challenger is right less often."""


@dataclass(frozen=True)
class NonInferiority:
    """Tango's score test and interval for a difference of two paired proportions."""

    difference: float
    """Challenger minus champion, -1 to 1."""
    low: float
    high: float
    p_value: float
    """One-sided, against ``difference <= -margin``: small when the challenger is shown not to be worse."""


def mcnemar_exact(champion_correct_N: ArrayLike, challenger_correct_N: ArrayLike) -> PairedTest:
    """Test by McNemar's (1947) exact test whether the disagreements are a fair coin.

    Parameters
    ----------
    champion_correct_N, challenger_correct_N
        Booleans of the same N images.

    Raises
    ------
    ValueError
        When the two differ in length.

    Examples
    --------
    >>> mcnemar_exact([1, 1, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1, 1]).p_value
    0.0625
    """
    champion_N = np.asarray(champion_correct_N, dtype=bool)
    challenger_N = np.asarray(challenger_correct_N, dtype=bool)
    if champion_N.shape != challenger_N.shape:
        raise ValueError(f"mcnemar_exact: shapes {champion_N.shape} and {challenger_N.shape} differ")
    return mcnemar_from_counts(
        int(np.sum(champion_N & ~challenger_N)), int(np.sum(~champion_N & challenger_N))
    )


def mcnemar_from_counts(b: float, c: float) -> PairedTest:
    """Return the exact McNemar test for b and c disagreements, which may be fractions (effective counts)."""
    p_greater, p_less = _binomial_tail(c, b + c), _binomial_tail(b, b + c)
    return PairedTest(b, c, min(1.0, 2 * min(p_greater, p_less)), p_greater, p_less)


def _binomial_tail(k: float, n: float) -> float:
    """P(X >= k) for X ~ Binomial(n, 1/2), continued to real k and n by the incomplete beta function."""
    return 1.0 if k <= 0 else float(betainc(k, n - k + 1, 0.5))


def non_inferiority(b: float, c: float, n: float, margin: float, level: float = 0.95) -> NonInferiority:
    """Test that the challenger's proportion is not more than ``margin`` below the champion's.

    The score test for paired proportions of Tango (1998, Statistics in Medicine 17:891), which keeps its
    level with few or no disagreements; the interval inverts the same test.

    Parameters
    ----------
    b, c
        Images only the champion, only the challenger got right; fractions are allowed.
    n
        All images of the slice, > 0.
    margin
        The loss that would be accepted, 0 < margin < 1.
    level
        Confidence of the two-sided interval.

    Examples
    --------
    >>> non_inferiority(b=0, c=0, n=30, margin=0.05).p_value < 0.05      # 30 images can't exclude it
    False
    >>> non_inferiority(b=0, c=0, n=100, margin=0.05).p_value < 0.05
    True
    """
    if not (n > 0 and b >= 0 and c >= 0 and b + c <= n * (1 + 1e-9)):
        raise ValueError(f"non_inferiority: {b} + {c} disagreements among {n} images is impossible")
    if not 0 < margin < 1:
        raise ValueError(f"non_inferiority: margin is {margin}; a share between 0 and 1 is needed")
    difference = (c - b) / n
    p_value = float(ndtr(-tango_z(b, c, n, -margin)))
    z_limit = -ndtri((1 - level) / 2)
    low = _where(lambda d: tango_z(b, c, n, d) > z_limit, -1.0, difference)
    high = _where(lambda d: tango_z(b, c, n, d) >= -z_limit, difference, 1.0)
    return NonInferiority(difference, low, high, p_value)


def effective_disagreements(
    champion_N: NDArray[np.bool_], challenger_N: NDArray[np.bool_], clusters_N: NDArray, level: float
) -> tuple[float, float, float]:
    """Return b, c and n (as in `non_inferiority`) as effective numbers: the counts where clusters hold one image."""
    n = effective_size(challenger_N.astype(float) - champion_N, clusters_N, level, least=-1.0)
    b, c = np.sum(champion_N & ~challenger_N), np.sum(challenger_N & ~champion_N)
    share = n / len(champion_N)
    return float(b) * share, float(c) * share, n


def planned_disagreement(champion_right_N: NDArray[np.bool_]) -> float:
    """Return on which share an equally good challenger disagrees if its errors correlate by one half: e(1 - e).

    Retrained models share errors; independent ones would disagree on 2e(1 - e), and plans for them protect less. The
    champion's error rate e is taken with one error and one right answer more (Laplace): none seen is not none.
    """
    error = (np.sum(~champion_right_N) + 1) / (len(champion_right_N) + 2)
    return float(error * (1 - error))


def tango_z(b: float, c: float, n: float, difference: float) -> float:
    """Return Tango's statistic: standard errors by which c - b lies above what ``difference`` predicts."""
    # the constrained maximum-likelihood estimate of P(only the champion is right)
    linear = -b - c + (2 * n - c + b) * difference
    constant = -b * difference * (1 - difference)
    only_champion = (math.sqrt(max(0.0, linear**2 - 8 * n * constant)) - linear) / (4 * n)
    variance = n * (2 * only_champion + difference * (1 - difference))
    excess = c - b - n * difference
    if variance <= 1e-12 * n:
        return 0.0 if abs(excess) < 1e-12 * n else math.copysign(math.inf, excess)
    return excess / math.sqrt(variance)


def _where(holds: Callable[[float], bool], left: float, right: float) -> float:
    """Bisect for the point up to which ``holds`` is true; it is true on the left and false on the right."""
    for _ in range(60):
        middle = (left + right) / 2
        left, right = (middle, right) if holds(middle) else (left, middle)
    return (left + right) / 2


def paired_cluster_bootstrap(
    champion: Statistic,
    challenger: Statistic,
    cluster_ids_N: ArrayLike,
    *,
    resamples: int,
    level: float,
    seed: int,
) -> Interval:
    """Interval for the gain in a metric, challenger minus champion, on the same resampled images.

    Parameters
    ----------
    champion, challenger
        The metric of each as a function weights_BN -> values_B, as in `cluster_bootstrap`.
    cluster_ids_N, resamples, level, seed
        As in `cluster_bootstrap`.
    """
    return cluster_bootstrap(
        lambda weights_BN: challenger(weights_BN) - champion(weights_BN),
        cluster_ids_N,
        resamples=resamples,
        level=level,
        seed=seed,
    )


def cluster_swap_test(
    gain: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    cluster_ids_N: ArrayLike,
    *,
    permutations: int,
    seed: int,
) -> float:
    """One-sided p-value that the gain exceeds what swapping the two models' answers would give.

    If neither model is better, the answers of the two can be exchanged, cluster by cluster, without changing
    anything: a randomisation test that is exact at any sample size and for any metric (Fisher 1935). For
    plain accuracy and single images it is the exact McNemar test.

    Parameters
    ----------
    gain
        Maps swapped_BN (float, 1 where the two answers are exchanged) to the gain values_B.
    cluster_ids_N
        Cluster of each image; a cluster is swapped whole.
    permutations, seed
        The p-value is never below ``1 / (permutations + 1)``.
    """
    index_N, sizes_G = cluster_index(cluster_ids_N)
    observed = float(gain(np.zeros((1, len(index_N))))[0])
    random = np.random.default_rng(seed)
    rows = max(1, CELLS_PER_CHUNK // (2 * max(1, len(index_N))))
    as_large = 0
    for start in range(0, permutations, rows):
        n_rows = min(rows, permutations - start)
        swapped_BG = random.integers(0, 2, size=(n_rows, len(sizes_G)), dtype=np.int8)
        as_large += int(np.sum(gain(swapped_BG[:, index_N].astype(float)) >= observed - 1e-12))
    return (1 + as_large) / (permutations + 1)


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Adjust p-values of a family by Holm (1979): reject where adjusted <= alpha, at most alpha by mistake.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted
