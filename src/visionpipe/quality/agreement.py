"""How far do annotators agree? Chance-corrected agreement on nominal labels, with bootstrap intervals over groups.

Legend: N images, G groups of images, K classes, U distinct patterns of votes, S sums that a statistic is made of,
B resamples. Near-duplicates are labelled alike, right or wrong, so that groups are drawn whole.
Each statistic here depends on the groups only through sums over them, and groups with the same votes add the same.
So a resample of G groups is one multinomial draw over U patterns: 10,000 images x 2,000 resamples take well under
a second, in memory that does not grow with the number of resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from visionpipe.counting import counted
from visionpipe.stats.bootstrap import expanded_quantiles, too_few_clusters
from visionpipe.stats.intervals import cluster_index, clustered_proportion

CELLS_PER_CHUNK = 4_000_000  # draws held at once: 32 MB
DEFINED_SHARE = 0.5  # of the resamples in which a statistic must exist for its interval to mean something
_MANY = 1e-9  # expected disagreement below this is none but for rounding
_ONE_CLASS = "only one class was named: agreement cannot be told from chance"


@dataclass(frozen=True)
class Agreement:
    """A chance-corrected measure of agreement: 1 is perfect, 0 is chance, below 0 is worse than chance."""

    statistic: str
    """`cohen_kappa`, `fleiss_kappa` or `krippendorff_alpha`."""
    estimate: float | None
    """None where it is not defined; then `reason` says why."""
    low: float | None
    high: float | None
    level: float
    """Confidence of the interval from `low` to `high`, 0 to 1: expanded percentiles of a bootstrap, and `low` no higher
    than the exact interval of the share of images that disagree allows."""
    n_images: int
    """Images it was measured on: those with two votes or more (Fleiss: with the same number of votes)."""
    n_groups: int
    """Groups that these images belong to: the pieces of evidence that the interval counts."""
    annotators: tuple[str, ...] = ()
    """Whom it compares; empty: all of them."""
    reason: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        return {**asdict(self), "annotators": list(self.annotators)}


def krippendorff_alpha(
    counts_NK: ArrayLike,
    group_ids_N: ArrayLike | None = None,
    *,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Agreement:
    r"""Krippendorff's alpha for nominal data, any number of annotators and missing votes.

    .. math:: \alpha = 1 - (n - 1) \frac{\sum_u (m_u^2 - \sum_c n_{uc}^2) / (m_u - 1)}{n^2 - \sum_c n_c^2}

    (Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", section D), where :math:`n_{uc}` of the
    :math:`m_u` annotators of image u named class c, and n, n_c are sums over images with two votes or more.

    Parameters
    ----------
    counts_NK
        (N, K) integers >= 0: how many annotators gave image n class k. Rows with fewer than two votes are
        left out: nobody can disagree there.
    group_ids_N
        What each image belongs to (near-duplicates, one patient), any type; None: each to itself.
    resamples, level, seed
        Of the percentile bootstrap over groups. With fewer than six (at 95 %) there is an estimate, but no interval.

    Examples
    --------
    >>> votes_NK = [[2, 0], [0, 2], [2, 0], [1, 1], [0, 2], [2, 0]]
    >>> found = krippendorff_alpha(votes_NK, resamples=200)
    >>> round(found.estimate, 3), found.n_images
    (0.686, 6)
    """
    counts_NK = _counts(counts_NK)
    groups_N = _groups(group_ids_N, len(counts_NK))
    several_N = counts_NK.sum(axis=1) >= 2
    counts_NK, groups_N = counts_NK[several_N], groups_N[several_N]
    votes_N = counts_NK.sum(axis=1)
    within_N = (votes_N**2 - (counts_NK**2).sum(axis=1)) / np.maximum(votes_N - 1, 1)

    def alpha(sums_BS: NDArray[np.float64]) -> NDArray[np.float64]:
        classes_BK = sums_BS[:, 1:]
        n_B = classes_BK.sum(axis=1)
        expected_B = n_B**2 - (classes_BK**2).sum(axis=1)
        return 1 - _ratio((n_B - 1) * sums_BS[:, 0], expected_B)

    rows_NS = np.column_stack([within_N, counts_NK])
    return _measure(
        "krippendorff_alpha",
        alpha,
        rows_NS,
        groups_N,
        most_N=votes_N,
        resamples=resamples,
        level=level,
        seed=seed,
    )


def fleiss_kappa(
    counts_NK: ArrayLike,
    group_ids_N: ArrayLike | None = None,
    *,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Agreement:
    r"""Fleiss' kappa (1971, Psychological Bulletin 76:378), for a fixed number m of annotators an image.

    .. math:: \kappa = \frac{\bar P - \sum_k p_k^2}{1 - \sum_k p_k^2},
              \quad \bar P = \frac{1}{N} \sum_n \frac{\sum_k n_{nk}^2 - m}{m (m - 1)}

    Parameters
    ----------
    counts_NK, group_ids_N, resamples, level, seed
        As for `krippendorff_alpha`. m is the commonest number of votes of two or more
        (the larger one of a tie); images with another number are left out.

    Examples
    --------
    >>> found = fleiss_kappa([[3, 0], [0, 3], [2, 1], [3, 0]], resamples=200)
    >>> round(found.estimate, 3), found.n_images
    (0.625, 4)
    """
    counts_NK = _counts(counts_NK)
    groups_N = _groups(group_ids_N, len(counts_NK))
    votes_N = counts_NK.sum(axis=1)
    several = votes_N[votes_N >= 2]
    m = 0
    if len(several):
        numbers, occurrences = np.unique(several, return_counts=True)
        m = int(numbers[occurrences == occurrences.max()][-1])
    measured_N = (votes_N == m) & (votes_N >= 2)
    counts_NK, groups_N = counts_NK[measured_N], groups_N[measured_N]
    unlike_N = 1 - ((counts_NK**2).sum(axis=1) - m) / max(m * (m - 1), 1)

    def kappa(sums_BS: NDArray[np.float64]) -> NDArray[np.float64]:
        n_B = sums_BS[:, 1:].sum(axis=1) / max(m, 1)
        chance_B = ((sums_BS[:, 1:] / np.maximum(n_B * m, 1)[:, None]) ** 2).sum(axis=1)
        return 1 - _ratio(sums_BS[:, 0] / np.maximum(n_B, 1), 1 - chance_B)

    rows_NS = np.column_stack([unlike_N, counts_NK])
    most_N = np.ones(len(rows_NS))
    return _measure(
        "fleiss_kappa", kappa, rows_NS, groups_N, most_N=most_N, resamples=resamples, level=level, seed=seed
    )


def cohen_kappa(
    first_N: Sequence[str],
    second_N: Sequence[str],
    group_ids_N: ArrayLike | None = None,
    *,
    annotators: tuple[str, ...] = (),
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Agreement:
    r"""Cohen's kappa (1960) of two annotators: :math:`(p_o - p_e) / (1 - p_e)`.

    Parameters
    ----------
    first_N, second_N
        What each said of the same N images.
    group_ids_N, resamples, level, seed
        As for `krippendorff_alpha`.
    annotators
        Their names, for the result.

    Examples
    --------
    >>> found = cohen_kappa(list("aabbb"), list("aabba"), resamples=200)
    >>> round(found.estimate, 3)
    0.615
    """
    _, codes = np.unique(np.asarray([*first_N, *second_N], dtype=str), return_inverse=True)
    first, second = codes.reshape(2, -1)
    k = int(codes.max(initial=-1)) + 1
    one_hot_KK = np.eye(k)

    def kappa(sums_BS: NDArray[np.float64]) -> NDArray[np.float64]:
        rows_BK, columns_BK = sums_BS[:, 1 : k + 1], sums_BS[:, k + 1 :]
        n_B = np.maximum(rows_BK.sum(axis=1), 1)
        chance_B = (rows_BK * columns_BK).sum(axis=1) / n_B**2
        return 1 - _ratio(sums_BS[:, 0] / n_B, 1 - chance_B)

    rows_NS = np.column_stack([first != second, one_hot_KK[first], one_hot_KK[second]])
    most_N = np.ones(len(rows_NS))
    return _measure(
        "cohen_kappa",
        kappa,
        rows_NS,
        _groups(group_ids_N, len(rows_NS)),
        most_N=most_N,
        annotators=annotators,
        resamples=resamples,
        level=level,
        seed=seed,
    )


def _counts(counts_NK: ArrayLike) -> NDArray[np.float64]:
    counts = np.asarray(counts_NK, dtype=float)
    if counts.ndim != 2:
        raise ValueError(f"agreement: counts of shape {counts.shape}; one row an image, one column a class")
    if np.any(counts < 0) or np.any(counts != np.floor(counts)):
        raise ValueError("agreement: counts of votes are whole numbers, 0 or more")
    return counts


def _groups(group_ids_N: ArrayLike | None, n_images: int) -> NDArray[Any]:
    return np.arange(n_images) if group_ids_N is None else np.asarray(group_ids_N)


def _ratio(observed_B: NDArray[np.float64], expected_B: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divide; NaN where chance alone leaves nothing to disagree about."""
    defined = expected_B > _MANY
    return np.where(defined, observed_B / np.where(defined, expected_B, 1.0), np.nan)


def _measure(
    statistic: str,
    function: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    rows_NS: NDArray[np.float64],
    groups_N: NDArray[Any],
    *,
    most_N: NDArray[np.float64],
    annotators: tuple[str, ...] = (),
    resamples: int,
    level: float,
    seed: int,
) -> Agreement:
    """Evaluate `function` on the sums of all rows, and on those of resamples of the groups.

    The first column of `rows_NS` is how much an image's votes disagree, `most_N` how much they could.
    """
    if not 0 < level < 1 or resamples < 1:
        raise ValueError(f"agreement: level {level} must be between 0 and 1, resamples {resamples} 1 or more")
    index_N, sizes_G = cluster_index(groups_N)
    n, n_groups = len(rows_NS), len(sizes_G)
    nothing = Agreement(statistic, None, None, None, level, n, n_groups, annotators)
    if n == 0:
        return replace(nothing, reason="no image was labelled by two annotators")
    sums_GS = np.zeros((n_groups, rows_NS.shape[1]))
    np.add.at(sums_GS, index_N, rows_NS)
    patterns_US, groups_U = np.unique(sums_GS, axis=0, return_counts=True)
    estimate = float(function((groups_U @ patterns_US)[None])[0])
    if np.isnan(estimate):
        return replace(nothing, reason=_ONE_CLASS)
    if too_few_clusters(n_groups, level):
        few = f"too few images for an interval: {counted(n_groups, 'group')} of near-duplicates"
        return replace(nothing, estimate=estimate, reason=few)
    random = np.random.default_rng(seed)
    step = max(1, CELLS_PER_CHUNK // len(patterns_US))
    share_U = groups_U / n_groups
    values_B = np.concatenate(
        [
            function(random.multinomial(n_groups, share_U, size=min(step, resamples - start)) @ patterns_US)
            for start in range(0, resamples, step)
        ]
    )
    values = values_B[~np.isnan(values_B)]
    if len(values) < DEFINED_SHARE * resamples:
        few = "too few images name a second class for an interval"
        return replace(nothing, estimate=estimate, reason=few)
    low, high = np.quantile(values, ndtr(expanded_quantiles(n_groups, level)))
    low = min(float(low), _low_of_few(function, rows_NS, index_N, most_N, level))
    return replace(nothing, estimate=estimate, low=low, high=float(high))


def _low_of_few(
    function: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    rows_NS: NDArray[np.float64],
    index_N: NDArray[np.int64],
    most_N: NDArray[np.float64],
    level: float,
) -> float:
    """Return what the statistic would be if as many images disagreed as the exact interval of their share allows.

    Resamples of few contradictions hold few or none, and those of none no doubt at all. Each further image is taken
    to disagree as much as those do that are seen to; where there is none, completely.
    """
    sums_S, unlike_N = rows_NS.sum(axis=0), rows_NS[:, 0] > _MANY
    of_each = sums_S[0] / unlike_N.sum() if unlike_N.any() else most_N.mean()
    sums_S[0] = of_each * len(rows_NS) * clustered_proportion(unlike_N, index_N, level).high
    return float(function(sums_S[None])[0])
