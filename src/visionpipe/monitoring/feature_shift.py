"""One column, two samples: the test that suits it, the size of the shift, and the shift in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from visionpipe.counting import counted
from visionpipe.errors import VisionpipeError
from visionpipe.monitoring.alignment import is_number_column
from visionpipe.monitoring.parameters import DriftParameters
from visionpipe.stats.chi_squared import ChiSquaredTest, chi_squared, cramers_v_at_equal_sizes, tables_for
from visionpipe.stats.two_sample import ks, mmd_permutation

N_BINS = 20
_TAIL = 0.005


@dataclass(frozen=True)
class FeatureTest:
    """The comparison of one column."""

    feature: str
    """The column, or `<column> missing` where the share of missing values was compared."""
    test: str
    """`Kolmogorov-Smirnov`, `chi-squared` or `MMD`."""
    statistic: float
    """D, chi-squared or the unbiased MMD^2 (which may be just below 0)."""
    p_value: float
    effect: float
    """D, Cramer's V at equal sample sizes less what chance adds, or MMD: none of them grows with the number of rows."""
    min_effect: float
    """The smallest effect that matters."""
    shift: str
    """The shift in words."""
    p_adjusted: float = 1.0
    """By Holm, over all columns; 1 until judged."""
    drifted: bool = False

    @property
    def strength(self) -> float:
        """How many times the smallest effect that matters."""
        return self.effect / max(self.min_effect, 1e-12)

    def judged(self, p_adjusted: float, *, alpha: float) -> FeatureTest:
        """Return the test with its adjusted p-value and its verdict."""
        drifted = p_adjusted < alpha and self.effect >= self.min_effect
        return replace(self, p_adjusted=p_adjusted, drifted=drifted)


def compare_column(
    reference: pd.Series, current: pd.Series, parameters: DriftParameters, *, classes: Sequence[str]
) -> FeatureTest | str:
    """Compare a column: numbers by Kolmogorov-Smirnov, anything else by chi-squared.

    Parameters
    ----------
    reference, current : pandas.Series
        The column in the two tables, of one type (see `visionpipe.monitoring.alignment.align`); the name of
        `reference` is the feature's.
    classes : sequence of str
        Order of the categories, for the words (other categories follow).

    Returns
    -------
    FeatureTest or str
        Not yet judged; or why there is no test.
    """
    if is_number_column(reference) and is_number_column(current):
        return _compare_numbers(str(reference.name), _sorted(reference), _sorted(current), parameters)
    return _compare_categories(str(reference.name), reference, current, parameters, classes)


def _compare_numbers(
    name: str, values_N: NDArray[np.float64], values_M: NDArray[np.float64], parameters: DriftParameters
) -> FeatureTest | str:
    if min(len(values_N), len(values_M)) < parameters.min_rows:
        return _too_few(len(values_N), len(values_M), parameters)
    found = ks(values_N, values_M)
    d = found.statistic
    shift = f"{name} {_words(values_N, values_M)}, KS distance {d:.2f})"
    return FeatureTest(name, "Kolmogorov-Smirnov", d, found.p_value, d, parameters.min_ks_d, shift)


def _words(values_N: NDArray[np.float64], values_M: NDArray[np.float64]) -> str:
    low, before, high = _quantiles(values_N, [0.1, 0.5, 0.9])
    low_now, now, high_now = _quantiles(values_M, [0.1, 0.5, 0.9])
    if abs(now - before) >= abs((high_now - low_now) - (high - low)) / 2:  # moved rather than stretched
        return f"is {'lower' if now < before else 'higher'} (median {_short(before)} → {_short(now)}"
    ranges = f"{_short(low)} to {_short(high)} → {_short(low_now)} to {_short(high_now)}"
    return f"is spread differently (middle 80 %: {ranges}"


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _compare_categories(
    name: str, reference: pd.Series, current: pd.Series, parameters: DriftParameters, classes: Sequence[str]
) -> FeatureTest | str:
    n_reference, n_current = (int(column.notna().sum()) for column in (reference, current))
    if min(n_reference, n_current) < parameters.min_rows:
        return _too_few(n_reference, n_current, parameters)
    counts = [column.dropna().astype("str").value_counts() for column in (reference, current)]
    ordered = list(dict.fromkeys([*classes, *counts[0].index, *counts[1].index]))
    counts_2C = np.array([count.reindex(ordered, fill_value=0) for count in counts], dtype=float)
    found = _chi_squared(counts_2C, parameters)
    if found.p_value is None:
        return str(found.reason)
    v = cramers_v_at_equal_sizes(counts_2C[0], counts_2C[1])
    shares_2C = counts_2C / counts_2C.sum(axis=1, keepdims=True)
    most = int(np.argmax(shares_2C[1] - shares_2C[0]))
    before, now = shares_2C[:, most]
    shift = f"{name} {ordered[most]!r} is more frequent ({before:.1%} → {now:.1%}, Cramer's V {v:.2f})"
    return FeatureTest(
        name, "chi-squared", found.statistic, found.p_value, v, parameters.min_cramers_v, shift
    )


def _chi_squared(counts_2C: NDArray, parameters: DriftParameters) -> ChiSquaredTest:
    tables = tables_for(parameters.alpha, parameters.n_tests)  # no more than MMD is allowed permutations
    return chi_squared(counts_2C[0], counts_2C[1], tables=tables, seed=parameters.seed)


def compare_missing(
    reference: pd.Series, current: pd.Series, parameters: DriftParameters
) -> FeatureTest | None:
    """Compare how often a column's value is missing, by chi-squared of the 2 x 2 table.

    Returns
    -------
    FeatureTest or None
        None if nothing is missing, or on one side everything: such a column is not recorded, which is no shift.
    """
    counts_22 = np.array([[column.isna().sum(), column.notna().sum()] for column in (reference, current)])
    if counts_22[:, 0].sum() == 0 or (counts_22[:, 1] == 0).any():
        return None
    found = _chi_squared(counts_22, parameters)
    if found.p_value is None:
        return None
    v = cramers_v_at_equal_sizes(counts_22[0], counts_22[1])
    before, now = counts_22[:, 0] / counts_22.sum(axis=1)
    often = "more" if now > before else "less"
    shift = f"{reference.name} is missing {often} often ({before:.1%} → {now:.1%}, Cramer's V {v:.2f})"
    least = parameters.min_cramers_v
    return FeatureTest(
        f"{reference.name} missing", "chi-squared", found.statistic, found.p_value, v, least, shift
    )


def compare_embeddings(
    reference: pd.Series, current: pd.Series, parameters: DriftParameters
) -> FeatureTest | str:
    """Compare two columns of embeddings (one array of D numbers a row, or None) by maximum mean discrepancy.

    The effect is MMD, the root of the unbiased MMD^2. Its kernel is bounded by 1 and as wide as the median
    distance of the rows at hand, so the effect depends neither on the embeddings' scale nor on the number of
    rows: all 32 axes moved by 0.19 standard deviations give 0.1.

    Raises
    ------
    VisionpipeError
        If embeddings differ in length.
    """
    random = np.random.default_rng(parameters.seed)
    present = [column[column.notna()] for column in (reference, current)]
    if min(map(len, present)) < parameters.min_rows:
        return _too_few(*map(len, present), parameters)
    drawn = [_draw(column, parameters.max_mmd_rows, random) for column in present]
    lengths = sorted({len(vector) for column in drawn for vector in column})
    if len(lengths) > 1:
        raise VisionpipeError(
            f"drift: embeddings of lengths {lengths} cannot be compared; compare one model's "
            "predictions with its own reference (model_version)"
        )
    found = mmd_permutation(
        np.stack(drawn[0]),
        np.stack(drawn[1]),
        permutations=parameters.permutations,
        seed=parameters.seed,
        max_rows=parameters.max_mmd_rows,
    )
    if found.p_value is None:
        return str(found.reason)
    mmd = float(np.sqrt(max(found.mmd_squared, 0.0)))
    shift = f"the embeddings moved (MMD {mmd:.2f})"
    return FeatureTest("embedding", "MMD", found.mmd_squared, found.p_value, mmd, parameters.min_mmd, shift)


def _draw(column: pd.Series, rows: int, random: np.random.Generator) -> list[NDArray[np.float64]]:
    # Drawn before anything is stacked: no million embeddings are copied for the sake of a thousand.
    if len(column) > rows:
        column = column.iloc[random.choice(len(column), size=rows, replace=False)]
    return [np.asarray(vector, dtype=float) for vector in column]


def histogram(reference: pd.Series, current: pd.Series) -> dict[str, list[float]]:
    """Bin two samples of a number alike, from the lower 0.5 % quantile to the higher 99.5 % quantile.

    Returns
    -------
    dict
        `bins`: 21 edges; `reference` and `current`: 20 densities each (share of all values per unit).
    """
    samples = [_sorted(reference), _sorted(current)]
    # Quantiles of each sample, not of the pooled rows: 500 reference rows would vanish in a million.
    edges = [_quantiles(values, [_TAIL, 1 - _TAIL]) for values in samples if len(values)]
    low, high = (float(np.min(edges)), float(np.max(edges))) if edges else (0.0, 1.0)
    if high - low <= 1e-9 * abs(high):  # a constant still needs bins of some width
        margin = max(0.5, 1e-6 * abs(high))
        low, high = low - margin, high + margin
    bins = np.linspace(low, high, N_BINS + 1)
    densities = [
        (np.histogram(values, bins)[0] / (max(len(values), 1) * (bins[1] - bins[0]))).tolist()
        for values in samples
    ]
    return {"bins": bins.tolist(), "reference": densities[0], "current": densities[1]}


def _sorted(column: pd.Series) -> NDArray[np.float64]:
    """Finite values of a column in rising order: sorted once, quantiles and distributions are cheap."""
    values = column.to_numpy(dtype=float, na_value=np.nan)
    return np.sort(values[np.isfinite(values)])


def _quantiles(sorted_N: NDArray[np.float64], shares: Sequence[float]) -> NDArray[np.float64]:
    """Interpolate the quantiles of a sorted sample linearly (`numpy.quantile` would partition it again)."""
    return np.interp(np.asarray(shares) * (len(sorted_N) - 1), np.arange(len(sorted_N)), sorted_N)


def _too_few(n_reference: int, n_current: int, parameters: DriftParameters) -> str:
    return f"{counted(n_reference, 'value')} in the reference and {n_current:,} now, {parameters.min_rows} needed"
