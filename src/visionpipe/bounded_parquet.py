"""Parquet files that others write: a few bytes of them can stand for gigabytes, or for millions of rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

_FREE_BYTES, _BYTES_A_BYTE = 256 * 2**20, 100
_FREE_ROWS, _ROWS_A_BYTE = 1_000_000, 10
_BATCH_BYTES = 64 * 2**20
"""What a batch may take, were all its values as long as the longest that may repeat …"""
_FEWEST_ROWS, _MOST_ROWS = 16, 2**16
"""… within these numbers of rows."""


class Room:
    """What a file may grow to in all when it is read: 256 MiB, and a hundred bytes for each byte of it.

    Parameters
    ----------
    n_file_bytes : int
        Its size; 0 where it is not known.

    Examples
    --------
    >>> Room(400).require_rows(5_000_000)
    Traceback (most recent call last):
    ValueError: 5,000,000 rows in a file of 400 bytes
    """

    def __init__(self, n_file_bytes: int) -> None:
        self._file = n_file_bytes
        self._left = _FREE_BYTES + _BYTES_A_BYTE * n_file_bytes

    def require_rows(self, n_rows: int) -> None:
        """Refuse rows, with a ValueError, from a million and ten for each byte of the file: no file is as dense."""
        if n_rows > _FREE_ROWS + _ROWS_A_BYTE * self._file:
            raise ValueError(f"{n_rows:,} rows in a file of {self._file:,} bytes")

    def take(self, n_bytes: int) -> None:
        """Take up room; a ValueError says that there is none."""
        self._left -= n_bytes
        if self._left < 0:
            raise ValueError(f"its {self._file:,} bytes become gigabytes when they are read")


def read_bounded(
    source: Any,
    room: Room,
    *,
    columns: Sequence[str] | None = None,
    row_groups: Sequence[int] | None = None,
    **options: Any,
) -> pa.Table:
    """Read columns of row groups, by default all of all, and stop where they outgrow the file.

    Parameters
    ----------
    source : path or file
        What pyarrow opens.
    room : Room
        Of the file; what is read is taken from it.
    options
        Of `pyarrow.parquet.ParquetFile`.

    Raises
    ------
    ValueError
        When the rows are implausibly many, or there is no room for them.
    """
    with pq.ParquetFile(source, **options) as file:
        groups = range(file.num_row_groups) if row_groups is None else row_groups
        room.require_rows(sum(file.metadata.row_group(each).num_rows for each in groups))
        tables = [file.read_row_groups([], columns=columns)]  # the schema
        for group in groups:
            batches = []
            n_rows = _batch_rows(source, file.metadata, group, columns)
            for batch in file.iter_batches(n_rows, row_groups=[group], columns=columns):
                room.take(sum(map(_decoded_bytes, batch.columns)))
                batches.append(batch)
            tables.append(pa.Table.from_batches(batches, tables[0].schema).combine_chunks())
    return pa.concat_tables(tables)


def _batch_rows(source: Any, metadata: pq.FileMetaData, group: int, columns: Sequence[str] | None) -> int:
    """Choose how many rows are decoded at a time; what a value that repeats has grown to is seen after so many."""
    chunks = [metadata.row_group(group).column(position) for position in range(metadata.num_columns)]
    texts = [
        chunk
        for chunk in chunks
        if chunk.physical_type == "BYTE_ARRAY"
        and (columns is None or any(f"{chunk.path_in_schema}.".startswith(f"{each}.") for each in columns))
    ]
    # each value may begin as the one before it, which is then not written again
    longest = max((chunk.total_uncompressed_size for chunk in texts if _shares_beginnings(chunk)), default=1)
    names = [chunk.path_in_schema for chunk in texts if chunk.has_dictionary_page]
    if names:
        with pq.ParquetFile(source, metadata=metadata, read_dictionary=names) as file:
            batch = next(file.iter_batches(1, row_groups=[group], columns=names), None)
        found = [each for column in (batch.columns if batch else ()) for each in _dictionaries(column)]
        lengths = [pc.max(_lengths(each)).as_py() or 1 for each in found]
        if len(found) < len(names):  # as in a map
            lengths += [chunk.total_uncompressed_size for chunk in texts]
        longest = max(longest, *lengths)
    return min(_MOST_ROWS, max(_FEWEST_ROWS, _BATCH_BYTES // longest))


def _shares_beginnings(chunk: pq.ColumnChunkMetaData) -> bool:
    return "DELTA_BYTE_ARRAY" in chunk.encodings


def _dictionaries(values: pa.Array) -> Iterator[pa.Array]:
    if pa.types.is_dictionary(values.type):
        yield values.dictionary
    for part in _parts(values):
        yield from _dictionaries(part)


def _decoded_bytes(values: pa.Array) -> int:
    """Return what values take when each stands for itself: those of a dictionary or of a view may share their bytes."""
    types, kind = pa.types, values.type
    if types.is_string_view(kind) or types.is_binary_view(kind):
        return values.nbytes + (pc.sum(_lengths(values)).as_py() or 0)
    if types.is_dictionary(kind) and not types.is_primitive(kind.value_type):
        return values.indices.nbytes + (pc.sum(_lengths(values.dictionary).take(values.indices)).as_py() or 0)
    return sum(map(_decoded_bytes, _parts(values))) or values.nbytes


def _parts(values: pa.Array) -> list[pa.Array]:
    types, kind = pa.types, values.type
    if types.is_struct(kind):
        return [values.field(position) for position in range(kind.num_fields)]
    is_list = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    return [values.flatten()] if is_list else []


def _lengths(texts: pa.Array) -> pa.Array:
    return pc.binary_length(texts.cast(pa.large_binary()))
