"""The two file formats of the prediction log, brought to one schema; what cannot be read is named."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from visionpipe.bounded_parquet import Room, read_bounded
from visionpipe.errors import first_line
from visionpipe.monitoring.prediction_rows import SCHEMA

MAX_LINE_BYTES = 1_000_000
MAX_DETAIL = 200  # characters of an error
MAX_ATTRIBUTES = 200  # columns of attributes; more than that are values that were logged as names
ATTRIBUTES_LEFT_OUT = (
    f"attributes beyond {MAX_ATTRIBUTES} names are left out"  # told like a refusal: no row is lost
)
MIN_ATTRIBUTE_SHARE = 0.01  # of the lines that must have an attribute, where there are more
_BATCH_LINES = 20_000
_COLUMNS = frozenset(SCHEMA.names)
# What pyarrow raises on a broken file or value: its own exceptions and the built-in ones that it passes on.
BROKEN = (
    *(pa.ArrowException, OSError, ValueError, TypeError, KeyError, OverflowError, MemoryError),
    RecursionError,  # of values nested too deeply
)


class Refusal(NamedTuple):
    """A row, or with `row` None a whole file (or `ATTRIBUTES_LEFT_OUT`), that could not be read."""

    reason: str
    row: int | None
    detail: str


@dataclass(frozen=True)
class Piece:
    """Part of one file: N rows in the contract's schema, where they stood, and what was refused."""

    table: pa.Table
    attributes: pd.DataFrame
    row_N: np.ndarray
    refused: list[Refusal] = field(default_factory=list)


def read_pieces(path: Path) -> Iterator[Piece]:
    """Read one file of the log: a Parquet file as one piece, JSON Lines 20,000 at a time."""
    if path.suffix == ".parquet":
        yield _read_parquet(path)
    elif path.suffix == ".jsonl":
        yield from _read_json_lines(path)
    else:
        yield _nothing(Refusal("file is neither .parquet nor .jsonl", None, path.suffix))


def conform(table: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Split a table into the contract's columns, in the contract's types, and the attributes.

    Columns that are absent become null; text that is no ISO 8601 time becomes a null `requested_at`.

    Raises
    ------
    ValueError
        If a column has a type that cannot mean what the contract says, or two columns share a name.
    """
    names = [name for name in table.column_names if not name.startswith("__index_level_")]
    if len(set(names)) < len(names):
        raise ValueError(
            f"two columns share a name: {sorted(name for name, count in Counter(names).items() if count > 1)}"
        )
    columns = [
        _conform_column(table[wanted.name], wanted)
        if wanted.name in names
        else pa.nulls(len(table), wanted.type)
        for wanted in SCHEMA
    ]
    return pa.table(columns, schema=SCHEMA), table.select(
        [name for name in names if name not in SCHEMA.names]
    )


def _conform_column(column: pa.ChunkedArray, wanted: pa.Field) -> pa.ChunkedArray:
    types, given = pa.types, column.type
    if types.is_dictionary(given):
        column, given = column.cast(given.value_type), given.value_type
    if types.is_null(given):
        return pa.chunked_array([pa.nulls(len(column), wanted.type)])
    if types.is_timestamp(wanted.type):
        if _is_text(given):
            column, given = _parse_times(column), wanted.type
        fits = types.is_timestamp(given)
    elif types.is_list(wanted.type):
        is_list = types.is_list(given) or types.is_large_list(given) or types.is_fixed_size_list(given)
        fits = is_list and (_is_number(given.value_type) or types.is_null(given.value_type))
    elif types.is_string(wanted.type):
        fits = _is_text(given) or types.is_integer(given)  # a model version may have been written as a number
    else:
        fits = types.is_boolean(given) if types.is_boolean(wanted.type) else _is_number(given)
    if not fits:
        raise ValueError(f"column {wanted.name} is {given}, {wanted.type} is needed")
    return column.cast(wanted.type, safe=False)


def _is_number(given: pa.DataType) -> bool:
    return pa.types.is_floating(given) or pa.types.is_integer(given) or pa.types.is_decimal(given)


def _is_text(given: pa.DataType) -> bool:
    return pa.types.is_string(given) or pa.types.is_large_string(given) or pa.types.is_string_view(given)


def _parse_times(column: pa.ChunkedArray) -> pa.ChunkedArray:
    text = column.to_pandas()
    # pandas also reads "now" and "2025": only a date with a time of day says when something was requested.
    text = text.where(text.str.match(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}", na=False))
    times = pd.to_datetime(text, utc=True, errors="coerce", format="ISO8601").dt.as_unit("us")
    return pa.chunked_array([pa.array(times, type=pa.timestamp("us", tz="UTC"), from_pandas=True)])


def content_name(file: BinaryIO) -> str:
    """Name a file of the log by its content: the SHA-256 of its bytes, in hexadecimal."""
    return hashlib.file_digest(file, "sha256").hexdigest()


def _read_parquet(path: Path) -> Piece:
    try:
        # A flipped bit can pass for another number or column name; a file that visionpipe wrote is held to its name.
        if re.fullmatch("[0-9a-f]{64}", path.stem):
            with path.open("rb") as opened:
                if content_name(opened) != path.stem:
                    why = "its hash is not its name"
                    return _nothing(Refusal("Parquet file is not what was written", None, why))
        whole = read_bounded(path, Room(path.stat().st_size), page_checksum_verification=True)
        table, attributes = conform(whole)
        # Metadata of the pandas that wrote the file could bring back an index: ignored.
        attributes_frame = attributes.to_pandas(ignore_metadata=True)
        for name in (column.name for column in attributes.schema if pa.types.is_nested(column.type)):
            values = attributes[name].to_pylist(maps_as_pydicts="lossy")
            attributes_frame[name] = [_flat(value) for value in values]
    except BROKEN as error:
        return _nothing(Refusal("Parquet file cannot be read", None, first_line(error)[:MAX_DETAIL]))
    return Piece(table, attributes_frame, np.arange(1, len(table) + 1))


def _read_json_lines(path: Path) -> Iterator[Piece]:
    number, rows, refused = 0, [], []
    try:
        with path.open("rb") as file:
            for number, line, whole in _bounded_lines(file):
                if line is None:
                    refused.append(Refusal("line is longer than 1 MB", number, ""))
                elif line.strip():
                    try:
                        rows.append((number, _parse_line(line)))
                    except (ValueError, RecursionError) as error:
                        reason = "line is not a JSON object" if whole else "last line is half-written"
                        refused.append(Refusal(reason, number, first_line(error)[:MAX_DETAIL]))
                if len(rows) + len(refused) >= _BATCH_LINES:
                    yield _from_rows(rows, refused)
                    rows, refused = [], []
    except OSError as error:
        refused.append(Refusal("file cannot be read", None, first_line(error)[:MAX_DETAIL]))
    yield _from_rows(rows, refused)


def _bounded_lines(file: BinaryIO) -> Iterator[tuple[int, bytes | None, bool]]:
    """Yield each line's number (from 1), its bytes (None if too long) and whether a newline ends it."""
    number = 0
    while line := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        whole = line.endswith(b"\n")
        if len(line) <= MAX_LINE_BYTES or (whole and len(line) == MAX_LINE_BYTES + 1):
            yield number, line, whole
            continue
        while line and not line.endswith(b"\n"):  # pass over the rest without holding it
            line = file.readline(MAX_LINE_BYTES)
        yield number, None, True


def _parse_line(line: bytes) -> dict[str, Any]:
    row = json.loads(line.decode("utf-8-sig"))
    if not isinstance(row, dict):
        raise ValueError(f"a JSON {type(row).__name__}, an object is needed")
    if b"\\u" in line:
        json.dumps(row, ensure_ascii=False).encode()  # half a surrogate pair is legal JSON but no text
    # what is nested too deeply to be written is refused here, as what is nested too deeply to be read
    return {name: value if name in _COLUMNS else _flat(value) for name, value in row.items()}


def _from_rows(rows: list[tuple[int, dict[str, Any]]], refused: list[Refusal]) -> Piece:
    """Make typed columns of parsed lines; a value of the wrong type costs its line."""
    number_N = np.array([number for number, _ in rows], dtype=np.int64)
    sound_N = np.ones(len(rows), dtype=bool)
    columns = {}
    for wanted in SCHEMA:
        type_ = pa.string() if pa.types.is_timestamp(wanted.type) else wanted.type
        values = [row.get(wanted.name) for _, row in rows]
        columns[wanted.name], wrong = _typed(values, type_)
        refused += [
            Refusal(f"{wanted.name} has the wrong type", int(number_N[i]), "") for i in wrong if sound_N[i]
        ]
        sound_N[wrong] = False
    attributes, left_out = _attributes([row for _, row in rows])
    refused += left_out
    table, _ = conform(pa.table(columns))
    return Piece(
        table.filter(pa.array(sound_N)),
        attributes[sound_N].reset_index(drop=True),
        number_N[sound_N],
        refused,
    )


def _typed(values: list[Any], type_: pa.DataType) -> tuple[pa.Array, list[int]]:
    """Convert values to an Arrow array, and name the positions of those that do not fit (null there)."""
    if pa.types.is_string(type_):
        values = [str(value) if type(value) is int else value for value in values]
    try:
        return pa.array(values, type=type_), []
    except BROKEN:
        wrong = [i for i, value in enumerate(values) if not _fits(value, type_)]
    for i in wrong:
        values[i] = None
    return pa.array(values, type=type_), wrong


def _fits(value: Any, type_: pa.DataType) -> bool:
    try:
        pa.array([value], type=type_)
    except BROKEN:
        return False
    return True


def recurring_names(lines_of: Counter[str], n_lines: int) -> tuple[list[str], list[Refusal]]:
    """Choose the attributes that become columns: all, or of more than 200 the most frequent that recur.

    Parameters
    ----------
    lines_of : Counter
        In how many lines each name stands.
    n_lines : int
        Number of all lines.

    Returns
    -------
    tuple
        The names, and what is said of the others.
    """
    if len(lines_of) <= MAX_ATTRIBUTES:
        return list(lines_of), []
    enough = MIN_ATTRIBUTE_SHARE * n_lines
    names = [name for name, lines in lines_of.most_common(MAX_ATTRIBUTES) if lines >= enough]
    detail = f"{len(lines_of) - len(names)} of {len(lines_of)} names"
    return names, [Refusal(ATTRIBUTES_LEFT_OUT, None, detail)]


def _attributes(rows: list[dict[str, Any]]) -> tuple[pd.DataFrame, list[Refusal]]:
    """Take the keys that the contract does not name, as columns."""
    lines_of = Counter(name for row in rows for name in row if name not in _COLUMNS)
    names, refused = recurring_names(lines_of, len(rows))
    kept = frozenset(names)
    table = [{name: value for name, value in row.items() if name in kept} for row in rows]
    return pd.DataFrame(table, index=range(len(rows)), columns=names), refused


def _flat(value: Any) -> Any:
    """Return JSON text of a nested value, and any other as it is."""
    return (
        json.dumps(value, default=str) if isinstance(value, list | dict) else value
    )  # Parquet holds times, too


def _nothing(refusal: Refusal) -> Piece:
    return Piece(SCHEMA.empty_table(), pd.DataFrame(index=range(0)), np.empty(0, dtype=np.int64), [refusal])
