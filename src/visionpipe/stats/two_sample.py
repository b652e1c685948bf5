"""Has the distribution moved? Two-sample tests for numbers and embeddings (`chi_squared`: for categories).

Shapes: N reference rows, M current rows, D features, P = pooled rows, B permutations.
Missing values (NaN) are dropped and counted. Where too little is left to test, the statistic and the p-value
are None and ``reason`` says why: a column that went missing is news of its own, not "no drift".
"""

from __future__ import annotations

import math
import warnings
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

EXACT_ROWS = (
    2_000  # up to here the exact KS distribution, beyond it the asymptotic one (they agree to 3 digits)
)
PERMUTATIONS_PER_CHUNK = 500


class AsDict:
    """A result that can be written as JSON."""

    def as_dict(self) -> dict[str, float | int | str | None]:
        """Return the fields as a JSON-safe mapping."""
        return asdict(self)  # type: ignore[call-overload]


@dataclass(frozen=True)
class KSTest(AsDict):
    """Two-sample Kolmogorov-Smirnov test."""

    statistic: float | None
    """Largest gap between the two empirical distribution functions, 0 to 1."""
    p_value: float | None
    n_reference: int
    n_current: int
    n_missing_reference: int
    n_missing_current: int
    reason: str | None = None


@dataclass(frozen=True)
class MMDTest(AsDict):
    """Maximum mean discrepancy with a permutation test."""

    mmd_squared: float | None
    """Unbiased estimate; may be slightly negative when nothing moved."""
    p_value: float | None
    bandwidth: float | None
    """Sigma of the kernel exp(-distance^2 / (2 sigma^2)), in units of the features."""
    n_reference: int
    n_current: int
    n_missing_reference: int
    n_missing_current: int
    reason: str | None = None


def ks(reference_N: ArrayLike, current_M: ArrayLike) -> KSTest:
    """Compare two samples of one number by the two-sided Kolmogorov-Smirnov test.

    Parameters
    ----------
    reference_N, current_M
        Real numbers; infinities are ordered as such, NaN is dropped and counted.

    Examples
    --------
    >>> test = ks([1.0, 2.0, 3.0, float("nan")], [11.0, 12.0, 13.0])
    >>> test.statistic, round(test.p_value, 3), test.n_missing_reference
    (1.0, 0.1, 1)
    """
    reference, n_missing_reference = _present(reference_N)
    current, n_missing_current = _present(current_M)
    n, m = len(reference), len(current)
    counts = (n, m, n_missing_reference, n_missing_current)
    if min(n, m) == 0:
        return KSTest(
            None, None, *counts, reason="no values in " + ("the reference" if n == 0 else "the current data")
        )
    from scipy.stats import ks_2samp, kstwo

    if max(n, m) <= EXACT_ROWS:
        with (
            warnings.catch_warnings()
        ):  # where counting paths overflows, scipy says so and goes asymptotic itself
            warnings.simplefilter("ignore", RuntimeWarning)
            exact = ks_2samp(reference, current)
        return KSTest(float(exact.statistic), float(exact.pvalue), *counts)
    # the gap can only be largest at a step of the shorter sample: no need to visit every value of both
    reference.sort()
    current.sort()
    shorter, longer = (reference, current) if n <= m else (current, reference)
    values, counts_here = np.unique(shorter, return_counts=True)
    after = np.cumsum(counts_here) / len(shorter)
    before = after - counts_here / len(shorter)
    at_most = np.searchsorted(longer, values, side="right") / len(longer)
    less_than = np.searchsorted(longer, values, side="left") / len(longer)
    statistic = float(max(np.max(after - at_most), np.max(less_than - before), 0.0))
    p_value = float(np.clip(kstwo.sf(statistic, max(1, round(n * m / (n + m)))), 0.0, 1.0))
    return KSTest(statistic, p_value, *counts)


def _present(values: ArrayLike) -> tuple[NDArray[np.float64], int]:
    array = np.asarray(values, dtype=float).ravel()
    missing = np.isnan(array)
    return array[~missing], int(missing.sum())


def mmd_permutation(
    reference_ND: ArrayLike,
    current_MD: ArrayLike,
    *,
    permutations: int = 500,
    seed: int,
    max_rows: int = 1000,
) -> MMDTest:
    """Compare two samples of vectors by the maximum mean discrepancy (Gretton et al. 2012, JMLR 13:723).

    The unbiased MMD^2 (their equation 3) with a Gaussian kernel whose sigma is the median distance of the
    pooled rows; the p-value permutes the rows. One kernel matrix serves all permutations, as one product.

    Parameters
    ----------
    reference_ND, current_MD
        Rows with the same D features; rows that hold a NaN or an infinity are dropped and counted.
    permutations
        >= 1; the p-value is never below ``1 / (permutations + 1)``.
    max_rows
        Rows used from each sample, drawn at random; memory grows with its square (1000: 32 MB).

    Raises
    ------
    ValueError
        When the two differ in the number of features.
    """
    random = np.random.default_rng(seed)
    reference, n_missing_reference = _finite_rows(reference_ND)
    current, n_missing_current = _finite_rows(current_MD)
    if len(reference) and len(current) and reference.shape[1] != current.shape[1]:
        raise ValueError(f"mmd: {reference.shape[1]} features in the reference, {current.shape[1]} now")
    reference, current = (_sample(rows, max_rows, random) for rows in (reference, current))
    n, m = len(reference), len(current)
    counts = (n, m, n_missing_reference, n_missing_current)
    if min(n, m) < 2:
        reason = "fewer than two complete rows in " + ("the reference" if n < 2 else "the current data")
        return MMDTest(None, None, None, *counts, reason=reason)
    kernel_PP, bandwidth = _gaussian_kernel(np.concatenate([reference, current]))
    rows_P, total = kernel_PP.sum(axis=1), float(kernel_PP.sum())

    def mmd_squared(first_BP: NDArray[np.float64]) -> NDArray[np.float64]:
        within_first = np.einsum("bp,bp->b", first_BP @ kernel_PP, first_BP)
        across = first_BP @ rows_P - within_first
        within_second = total - 2 * across - within_first
        return within_first / (n * (n - 1)) + within_second / (m * (m - 1)) - 2 * across / (n * m)

    observed_1P = (np.arange(n + m) < n).astype(float)[None, :]
    observed = float(mmd_squared(observed_1P)[0])
    as_large = 0
    for start in range(0, permutations, PERMUTATIONS_PER_CHUNK):
        rows = min(PERMUTATIONS_PER_CHUNK, permutations - start)
        shuffled_BP = random.permuted(np.repeat(observed_1P, rows, axis=0), axis=1)
        as_large += int(np.sum(mmd_squared(shuffled_BP) >= observed - 1e-12))
    return MMDTest(observed, (1 + as_large) / (permutations + 1), bandwidth, *counts)


def _finite_rows(rows: ArrayLike) -> tuple[NDArray[np.float64], int]:
    array = np.asarray(rows, dtype=float)
    array = array.reshape(len(array), math.prod(array.shape[1:]))
    finite = np.isfinite(array).all(axis=1)
    return array[finite], int(np.count_nonzero(~finite))


def _sample(rows: NDArray[np.float64], max_rows: int, random: np.random.Generator) -> NDArray[np.float64]:
    if len(rows) <= max_rows:
        return rows
    return rows[random.choice(len(rows), size=max_rows, replace=False, shuffle=False)]


def _gaussian_kernel(rows_PD: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Return the kernel matrix with a zero diagonal, and the median distance."""
    centred_PD = rows_PD - rows_PD.mean(axis=0)  # cancellation in |a|^2 + |b|^2 - 2ab grows with the offset
    norms_P = np.einsum("pd,pd->p", centred_PD, centred_PD)
    squared_PP = np.maximum(norms_P[:, None] + norms_P[None, :] - 2 * centred_PD @ centred_PD.T, 0.0)
    pairs = _off_diagonal(squared_PP)
    median = float(np.median(pairs))
    if median <= 1e-12 * float(norms_P.mean() + 1e-300):
        distinct = pairs[pairs > 1e-12 * float(norms_P.mean() + 1e-300)]
        median = float(distinct.mean()) if len(distinct) else 1.0  # more than half the rows are the same
    kernel_PP = np.exp(squared_PP / (-2 * median))
    np.fill_diagonal(kernel_PP, 0.0)
    return kernel_PP, float(np.sqrt(median))


def _off_diagonal(matrix_PP: NDArray[np.float64]) -> NDArray[np.float64]:
    size = len(matrix_PP)
    return matrix_PP.ravel()[1:].reshape(size - 1, size + 1)[:, :-1]
