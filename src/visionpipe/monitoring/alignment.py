"""One column of two tables, brought to one type and one precision: only the world's changes may remain."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from visionpipe.images.importers.values import as_text

MIN_NUMBER_SHARE = (
    0.95  # of the values of a column that must be numbers, if the others are to pass as missing
)
LARGEST = 1e30  # a larger number is none that anybody measured, and its square overflows
SIGNIFICANT_BITS = 20  # six digits: what lies beyond differs by machine, format and float type
MAX_DECIMALS = 6
MIN_INTEGERS = 5  # fewer whole numbers need not be rounded ones: a confidence of 1 throughout is news


def align(reference: pd.Series, current: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Bring a column to one type: numbers, if nearly all values of both tables are numbers, or else text.

    Attributes come from the image store as text, and from the log as whatever its JSON held: 3, 3.0 (where another
    row lacked the attribute) and "3" are one value. Numbers are rounded to six significant digits, and to the
    decimals of the side that shows fewer.

    Parameters
    ----------
    reference, current : pandas.Series
        The column in the two tables.

    Returns
    -------
    tuple of pandas.Series
        Both as float64 (NaN: missing, no number or beyond 1e30), or both as text (missing stays missing).

    Examples
    --------
    >>> [side.tolist() for side in align(pd.Series(["1", "3"]), pd.Series([3.0, None]))]
    [[1.0, 3.0], [3.0, nan]]
    >>> [side.tolist() for side in align(pd.Series(["a", "3"]), pd.Series([3.0, 1.0]))]
    [['a', '3'], ['3', '1']]
    """
    numbers = [_numbers(column) for column in (reference, current)]
    if any(values_N is None for values_N in numbers):
        return _text(reference), _text(current)
    shown = [decimals for values_N in numbers if (decimals := _decimals(values_N)) is not None]
    rounded = [_significant(values_N) for values_N in numbers]
    if shown:
        rounded = [values_N.round(min(shown)) for values_N in rounded]
    reference_N, current_M = rounded
    return (
        pd.Series(reference_N, index=reference.index, name=reference.name),
        pd.Series(current_M, index=current.index, name=current.name),
    )


def is_number_column(column: pd.Series) -> bool:
    """Tell whether a column is measured on a scale: numbers, but not booleans."""
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _numbers(column: pd.Series) -> NDArray[np.float64] | None:
    """Return a column as float64 (NaN: missing), or None if it is no column of numbers."""
    if pd.api.types.is_bool_dtype(column):
        return None
    if not is_number_column(column):
        given = column.notna()
        if any(isinstance(value, bool | np.bool_) for value in column[given].unique()):
            return None
        column = pd.to_numeric(column, errors="coerce")
        if column.notna().sum() < MIN_NUMBER_SHARE * given.sum():
            return None
    values_N = column.to_numpy(dtype=float, na_value=np.nan)
    return np.where(np.abs(values_N) <= LARGEST, values_N, np.nan)


def _text(column: pd.Series) -> pd.Series:
    return column.map({value: as_text(value) for value in column.dropna().unique()}).astype("str")


def _significant(values_N: NDArray[np.float64]) -> NDArray[np.float64]:
    """Round the mantissas, to numbers that float64 holds exactly: 0.9999999 and 1 become the same."""
    mantissa_N, exponent_N = np.frexp(values_N)
    return np.ldexp(np.round(mantissa_N * 2**SIGNIFICANT_BITS), exponent_N - SIGNIFICANT_BITS)


def _decimals(values_N: NDArray[np.float64]) -> int | None:
    """Return how many decimals the values show; None if that is six or more, or the values don't tell."""
    levels = np.unique(values_N[np.isfinite(values_N)])
    fits = (d for d in range(MAX_DECIMALS) if np.allclose(levels.round(d), levels, rtol=1e-6, atol=0))
    decimals = next(fits, None)
    return None if len(levels) < (2 if decimals else MIN_INTEGERS) else decimals
