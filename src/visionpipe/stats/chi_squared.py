"""Have the shares of categories moved? Pearson's test, exact where counts are small, and the size of the shift.

Shapes: C categories, B simulated tables.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from visionpipe.stats.two_sample import AsDict

SMALLEST_EXPECTED = (
    5.0  # below it the chi-squared distribution can't be trusted (Cochran 1954): simulated instead
)
SIMULATED_TABLES = 9_999
CELLS_PER_CHUNK = 1_000_000


@dataclass(frozen=True)
class ChiSquaredTest(AsDict):
    """Pearson's chi-squared test that two samples have the same category shares."""

    statistic: float | None
    p_value: float | None
    degrees_of_freedom: int
    n_reference: int
    n_current: int
    total_variation: float | None
    """Share of images that would have to change category to undo the shift, 0 to 1."""
    reason: str | None = None


def chi_squared(
    reference_counts: Mapping[str, int] | ArrayLike,
    current_counts: Mapping[str, int] | ArrayLike,
    *,
    tables: int = SIMULATED_TABLES,
    seed: int = 0,
) -> ChiSquaredTest:
    """Compare category counts of two samples by Pearson's chi-squared test (no continuity correction).

    Where a category expects fewer than five observations, the p-value is that of random tables with the same totals
    (a permutation test of the same statistic). Where more than half of all observations have a category of their
    own, there is no test: they would be as far apart after any shuffling.

    Parameters
    ----------
    reference_counts, current_counts
        Counts by category: two mappings (a category missing from one counts as 0), or two sequences in the
        same order. Categories that are empty in both are ignored.
    tables
        How many random tables, >= 1: their p-value is never below 1 / (tables + 1), so a small error rate, or one
        that many tests share, takes more than the usual 9,999 (`tables_for`). They take C * tables draws of time.
    seed
        Seed of the random tables.

    Raises
    ------
    ValueError
        When two sequences differ in length, or a count is negative or no whole number.

    Examples
    --------
    >>> test = chi_squared({"functional": 90, "defective": 10}, {"functional": 60, "defective": 40})
    >>> round(test.statistic, 2), test.degrees_of_freedom, round(test.total_variation, 2)
    (24.0, 1, 0.3)
    """
    table_2C = _count_table(reference_counts, current_counts)
    n, m = (int(total) for total in table_2C.sum(axis=1))
    if min(n, m) == 0:
        reason = "no images in " + ("the reference" if n == 0 else "the current data")
        return ChiSquaredTest(None, None, 0, n, m, None, reason)
    total_variation = float(0.5 * np.abs(table_2C[0] / n - table_2C[1] / m).sum())
    table_2C = table_2C[:, table_2C.sum(axis=0) > 0]
    degrees = table_2C.shape[1] - 1
    if degrees == 0:
        return ChiSquaredTest(0.0, 1.0, 0, n, m, total_variation)
    totals_C = table_2C.sum(axis=0)
    n_alone = int(np.sum(totals_C == 1))
    if n_alone > (n + m) / 2:
        reason = f"{n_alone:,} of {n + m:,} values occur once"
        return ChiSquaredTest(None, None, degrees, n, m, total_variation, reason)
    statistic = float(_pearson(table_2C[:1], totals_C)[0])
    if np.min(totals_C) * min(n, m) / (n + m) < SMALLEST_EXPECTED:
        p_value = _simulated_p_value(statistic, totals_C, n, tables, seed)
    else:
        from scipy.special import chdtrc

        p_value = float(chdtrc(degrees, statistic))
    return ChiSquaredTest(statistic, p_value, degrees, n, m, total_variation)


def _pearson(first_rows_BC: NDArray, totals_C: NDArray) -> NDArray[np.float64]:
    """Pearson's statistic of B tables of two rows, of which the first is given, with the same totals."""
    n, total = first_rows_BC[0].sum(), totals_C.sum()
    expected_C = totals_C * (n / total)
    # both rows are off by the same number, of which the second expects (total - n) / n times as much
    return ((first_rows_BC - expected_C) ** 2 / expected_C).sum(axis=1) * (total / (total - n))


def tables_for(alpha: float, n_tests: int) -> int:
    """Return how many random tables can show a shift in one of several tests that share an error rate, by Holm.

    The smallest p-value, times the number of tests, must fall below `alpha`. Never fewer than 9,999.

    >>> tables_for(0.01, 5), tables_for(0.0005, 11)
    (9999, 22000)
    """
    return max(SIMULATED_TABLES, math.ceil(n_tests / alpha))


def _simulated_p_value(statistic: float, totals_C: NDArray, n: int, tables: int, seed: int) -> float:
    random, colours_C = np.random.default_rng(seed), totals_C.astype(np.int64)
    chunk, as_large = max(1, CELLS_PER_CHUNK // len(totals_C)), 0
    for start in range(0, tables, chunk):
        size = min(chunk, tables - start)
        drawn_BC = random.multivariate_hypergeometric(colours_C, n, size=size, method="marginals")
        as_large += int(np.sum(_pearson(drawn_BC, totals_C) >= statistic * (1 - 1e-9)))  # ties count
    return (1 + as_large) / (tables + 1)


def cramers_v_at_equal_sizes(counts_C: ArrayLike, other_counts_C: ArrayLike) -> float:
    """Cramer's V of a 2 x C table, as if both samples had the same number of rows, less what chance alone adds.

    V^2 = chi^2 / n = 1/2 sum (p - q)^2 / (p + q) of the shares p and q. Of the raw counts, V shrinks with the
    imbalance: with 500 reference rows, a class that comes to make up a third of a million predictions has 0.01. And
    it grows with C / n: 200 rows a side of 100 classes have 0.5 without any shift. What is expected without a shift
    is therefore subtracted from V^2 (Bergsma 2013, J. Korean Stat. Soc. 42:323); of a category too rare for his
    formula, that is its share.

    Parameters
    ----------
    counts_C, other_counts_C
        Counts of the C categories in the two samples; neither sample is empty.

    Returns
    -------
    float
        0 (no more different than by chance) to 1 (no category in common, and many rows of each).

    Examples
    --------
    >>> round(cramers_v_at_equal_sizes([450_000, 550_000], [550_000, 450_000]), 3)
    0.1
    """
    table_2C = _count_table(counts_C, other_counts_C)
    table_2C = table_2C[:, table_2C.sum(axis=0) > 0]
    n, m = table_2C.sum(axis=1)
    p_C, q_C = table_2C[0] / n, table_2C[1] / m
    squared = 0.5 * np.sum((p_C - q_C) ** 2 / (p_C + q_C))
    pooled_C = table_2C.sum(axis=0) / (n + m)
    by_chance = np.sum(np.minimum(pooled_C, (1 - pooled_C) * (1 / n + 1 / m) / 4))
    return float(np.sqrt(np.clip(squared - by_chance, 0.0, 1.0)))


def _count_table(reference: Mapping[str, int] | ArrayLike, current: Mapping[str, int] | ArrayLike) -> NDArray:
    if isinstance(reference, Mapping) and isinstance(current, Mapping):
        categories = list(dict.fromkeys([*reference, *current]))
        rows = [[counts.get(category, 0) for category in categories] for counts in (reference, current)]
    elif isinstance(reference, Mapping) or isinstance(current, Mapping):
        raise ValueError(
            "chi_squared: one argument is a mapping and the other a sequence; pass two of a kind"
        )
    else:
        rows = [np.asarray(reference, dtype=float), np.asarray(current, dtype=float)]
        if rows[0].shape != rows[1].shape or rows[0].ndim != 1:
            raise ValueError(
                f"chi_squared: counts of shapes {rows[0].shape} and {rows[1].shape} don't line up"
            )
    table_2C = np.array(rows, dtype=float)
    if not np.all(np.isfinite(table_2C)) or np.any(table_2C < 0) or np.any(table_2C % 1):
        raise ValueError("chi_squared: counts must be whole numbers, finite and not negative")
    return table_2C
