"""Parquet files that others write: a few bytes of them can stand for gigabytes, or for millions of rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

_FREE_BYTES, _BYTES_A_BYTE = 256 * 2**20, 100
_FREE_ROWS, _ROWS_A_BYTE = 1_000_000, 10
_BATCH_BYTES, _MOST_ROWS = 64 * 2**20, 2**16
_WIDTHS = {"BOOLEAN": 1, "INT32": 4, "INT64": 8, "INT96": 12, "FLOAT": 4, "DOUBLE": 8, "BYTE_ARRAY": 4}
"""Bytes that a value takes at least while it is read, by physical type: of a text its place."""


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

    @property
    def left(self) -> int:
        """How many bytes there is room for."""
        return self._left

    def require(self, n_bytes: int) -> None:
        """See that there is room; a ValueError says that there is none."""
        if n_bytes > self._left:
            raise ValueError(f"its {self._file:,} bytes become gigabytes when they are read")

    def take(self, n_bytes: int) -> None:
        """Take up room; a ValueError says that there is none."""
        self.require(n_bytes)
        self._left -= n_bytes


def read_bounded(
    source: Any,
    room: Room,
    *,
    columns: Sequence[str] | None = None,
    row_groups: Sequence[int] | None = None,
    **options: Any,
) -> pa.Table:
    """Read columns of row groups, by default all of all, where they do not outgrow the file.

    What a row group will take is known before it is read, but for texts that are written as the difference from the
    one before (DELTA_BYTE_ARRAY): these stop where they outgrow the file. All of this believes the footer. Where it was
    forged, Arrow may decompress one page (2 GiB at most), or the values of one row, before there is anything to count.

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
            chunks = _chunks(file.metadata, group, columns)
            room.require(sum(max(each.n_encoded_bytes, each.n_values * each.width) for each in chunks))
            if names := [each.path for each in chunks if each.has_text_dictionary]:
                known = {**options, "metadata": file.metadata}
                room.require(_bytes_of_repeated_texts(source, group, names, known))
            n_rows = _batch_rows(file.metadata.row_group(group).num_rows, chunks, room)
            batches = []
            for batch in file.iter_batches(n_rows, row_groups=[group], columns=columns):
                room.take(sum(map(_decoded_bytes, batch.columns)))
                batches.append(batch)
            tables.append(pa.Table.from_batches(batches, tables[0].schema).combine_chunks())
    return pa.concat_tables(tables)


@dataclass(frozen=True, slots=True)
class _Chunk:
    """What the footer says of one column of a row group.

    Attributes
    ----------
    n_values : int
        With nulls; of a list, those of all its rows.
    n_encoded_bytes : int
        Size of its pages when they are decompressed.
    width : int
        Bytes that a value takes at least while it is read.
    has_text_dictionary : bool
        Texts stand in a dictionary once, however often values refer to them.
    is_delta_encoded : bool
        A text may begin as the one before it, which is then not written again.
    """

    path: str
    n_values: int
    n_encoded_bytes: int
    width: int
    has_text_dictionary: bool
    is_delta_encoded: bool


def _chunks(metadata: pq.FileMetaData, group: int, columns: Sequence[str] | None) -> list[_Chunk]:
    found = []
    row_group = metadata.row_group(group)
    for position in range(metadata.num_columns):
        chunk = row_group.column(position)
        path, kind = chunk.path_in_schema, chunk.physical_type
        # what has both a dictionary and deltas, Arrow can only read text by text
        is_delta_encoded = "DELTA_BYTE_ARRAY" in chunk.encodings
        if columns is None or any(f"{path}.".startswith(f"{each}.") for each in columns):
            found.append(
                _Chunk(
                    path,
                    chunk.num_values,
                    chunk.total_uncompressed_size,
                    _WIDTHS.get(kind) or metadata.schema.column(position).length,
                    kind == "BYTE_ARRAY" and chunk.has_dictionary_page and not is_delta_encoded,
                    is_delta_encoded,
                )
            )
    return found


def _bytes_of_repeated_texts(source: Any, group: int, names: list[str], options: dict[str, Any]) -> int:
    """Return what texts of a dictionary take when each stands for itself; they are read without repeating them."""
    with pq.ParquetFile(source, **{**options, "read_dictionary": names}) as file:
        batches = file.iter_batches(_MOST_ROWS, row_groups=[group], columns=names)
        return sum(_decoded_bytes(column) for batch in batches for column in batch.columns)


def _batch_rows(n_rows: int, chunks: Sequence[_Chunk], room: Room) -> int:
    """Choose how many rows are decoded at a time; what texts have grown to is seen after so many."""
    n_bytes = sum(
        -(-each.n_values // max(1, n_rows)) * (each.n_encoded_bytes if each.is_delta_encoded else each.width)
        for each in chunks
    )
    return min(_MOST_ROWS, max(1, max(_BATCH_BYTES, room.left // 4) // max(1, n_bytes)))


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
    if types.is_map(kind):
        first, last = values.offsets[0].as_py(), values.offsets[-1].as_py()
        return [each.slice(first, last - first) for each in (values.keys, values.items)]
    is_list = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    is_view = types.is_list_view(kind) or types.is_large_list_view(kind)
    return [values.flatten()] if is_list or is_view else []


def _lengths(texts: pa.Array) -> pa.Array:
    return pc.binary_length(texts.cast(pa.large_binary()))
