"""What a row of the prediction log must hold: its schema, and checks that name what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from visionpipe.images.clock import CLOCK_TOLERANCE

EMBEDDING_SIZE = 32
MAX_SUM_ERROR = 1e-3
MAX_CONFIDENCE_ERROR = 0.01  # a log that rounds to two decimals is sound

SCHEMA = pa.schema(
    [
        ("prediction_id", pa.string()),
        ("requested_at", pa.timestamp("us", tz="UTC")),
        ("model_version", pa.string()),
        ("image_id", pa.string()),
        ("predicted_label", pa.string()),
        ("confidence", pa.float64()),
        ("probabilities", pa.list_(pa.float64())),
        ("deferred", pa.bool_()),
        ("review_probability", pa.float64()),
        ("embedding", pa.list_(pa.float32())),
        ("brightness", pa.float64()),
        ("contrast", pa.float64()),
        ("sharpness", pa.float64()),
        ("latency_ms", pa.float64()),
    ]
)
"""The contract's columns; every other column is an attribute and is kept as it comes, a nested one as JSON text."""

REQUIRED = (
    "prediction_id",
    "requested_at",
    "model_version",
    "image_id",
    "predicted_label",
    "confidence",
    "probabilities",
)
_OPTIONAL_NUMBERS = ("review_probability", "brightness", "contrast", "sharpness", "latency_ms")


def refusals(table: pa.Table, *, classes: Sequence[str], now: datetime) -> np.ndarray:
    """Name what is wrong with each row of a table in the contract's schema.

    Parameters
    ----------
    table : pyarrow.Table
        N rows with the columns and types of `SCHEMA`.
    classes : sequence of str
        The K classes, in the order of `probabilities`.
    now : datetime
        The present (UTC if naive); a prediction more than five minutes later is refused.

    Returns
    -------
    numpy.ndarray
        Shape (N,), dtype object: the first reason that applies to the row, or None for a sound row.

    Notes
    -----
    An optional value may be missing (null) but never NaN or infinite: NaN means that something broke.
    """
    table = table.combine_chunks()
    reasons: list[str | None] = [None]
    code_N = np.zeros(table.num_rows, dtype=np.intp)  # which of the reasons; 0: nothing is wrong

    def refuse(wrong_N: np.ndarray, reason: str) -> None:
        reasons.append(reason)
        code_N[wrong_N & (code_N == 0)] = len(reasons) - 1

    for name in REQUIRED:
        why = "missing or no ISO 8601 time" if name == "requested_at" else "missing"
        refuse(_missing(table, name), f"{name} is {why}")
    refuse(
        _true(pc.greater(table["requested_at"], _utc(now) + CLOCK_TOLERANCE)), "requested_at is in the future"
    )
    known_N = _true(pc.is_in(table["predicted_label"], pa.array(list(classes), pa.string())))
    refuse(~known_N, "predicted_label is not one of the model's classes")
    refuse(_outside(_numbers(table, "confidence"), 0, 1), "confidence is not a number from 0 to 1")
    for reason, wrong_N in _probability_faults(table, len(classes)):
        refuse(wrong_N, reason)
    refuse(_contradicted(table, classes), "confidence is not the probability of predicted_label")
    for name in _OPTIONAL_NUMBERS:
        infinite_N = ~np.isfinite(_numbers(table, name)) & ~_missing(table, name)
        refuse(infinite_N, f"{name} is NaN or infinite")
    sound_N, _ = _matrix(table, "embedding", EMBEDDING_SIZE)
    refuse(~sound_N & ~_missing(table, "embedding"), f"embedding is not {EMBEDDING_SIZE} finite numbers")
    return np.array(reasons, dtype=object)[code_N]


def _probability_faults(table: pa.Table, n_classes: int) -> list[tuple[str, np.ndarray]]:
    length_N = pc.list_value_length(table["probabilities"]).fill_null(-1).to_numpy()
    sound_N, probabilities_MK = _matrix(table, "probabilities", n_classes)
    outside_N = np.zeros(table.num_rows, dtype=bool)
    outside_N[sound_N] = _outside(probabilities_MK, 0, 1).any(axis=1)
    off_sum_N = np.zeros(table.num_rows, dtype=bool)
    off_sum_N[sound_N] = np.abs(probabilities_MK.sum(axis=1) - 1) > MAX_SUM_ERROR
    return [
        ("probabilities do not match the number of classes", length_N != n_classes),
        ("probabilities hold a NaN, an infinite or a missing number", ~sound_N),
        ("probabilities are not numbers from 0 to 1", outside_N),
        ("probabilities do not sum to 1", off_sum_N),
    ]


def _contradicted(table: pa.Table, classes: Sequence[str]) -> np.ndarray:
    label_N = pc.index_in(table["predicted_label"], pa.array(list(classes), pa.string()))
    label_N = pc.fill_null(label_N, 0).to_numpy()  # refused for its label already
    sound_N, probabilities_MK = _matrix(table, "probabilities", len(classes))
    given_M = probabilities_MK[np.arange(len(probabilities_MK)), label_N[sound_N]]
    contradicted_N = np.zeros(table.num_rows, dtype=bool)
    contradicted_N[sound_N] = np.abs(_numbers(table, "confidence")[sound_N] - given_M) > MAX_CONFIDENCE_ERROR
    return contradicted_N


def _matrix(table: pa.Table, name: str, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of a list column that hold `width` finite numbers, as a mask (N,) and their values (M, width)."""
    lists = table[name].combine_chunks()
    fits_N = _true(pc.equal(pc.list_value_length(lists), width))
    values = lists.filter(pa.array(fits_N)).flatten()
    matrix_MW = values.to_numpy(zero_copy_only=False).reshape(-1, width)  # a null becomes NaN
    finite_M = np.isfinite(matrix_MW).all(axis=1)
    sound_N = fits_N.copy()
    sound_N[fits_N] = finite_M
    return sound_N, matrix_MW[finite_M]


def _missing(table: pa.Table, name: str) -> np.ndarray:
    column = table[name]
    missing = (
        pc.equal(pc.fill_null(column, ""), "") if pa.types.is_string(column.type) else pc.is_null(column)
    )
    return _true(missing)


def _numbers(table: pa.Table, name: str) -> np.ndarray:
    return table[name].to_numpy()


def _outside(values: np.ndarray, low: float, high: float) -> np.ndarray:
    return ~((values >= low) & (values <= high))  # NaN compares false, so it lies outside


def _true(mask: pa.ChunkedArray | pa.Array) -> np.ndarray:
    return np.asarray(pc.fill_null(mask, False), dtype=bool)


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
