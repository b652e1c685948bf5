"""Read single images out of a Parquet file whose row groups may be large."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from visionpipe.errors import first_line
from visionpipe.images.importers.places import Reader
from visionpipe.images.importers.urls import shown, without_secrets

_BATCH_ROWS = 16
"""Images decoded from Parquet at a time; bounds memory."""


@dataclass(frozen=True, slots=True)
class ReadParquetImage:
    """Reads one image; reading the rows of a row group in order passes over it once.

    Attributes
    ----------
    file : Reader
        The Parquet file.
    version : int
        Changes when the file does.
    group, row : int
        Row group, and the row in it.
    column : str
        Column of the images: a struct of bytes and path, or bytes.
    beside : Reader or None
        The image file that the row's path names, read where the row has no bytes.
    """

    file: Reader
    version: int
    group: int
    row: int
    column: str
    is_struct: bool
    beside: Reader | None = None

    def __call__(self) -> bytes:
        """Return the image's bytes; whatever pyarrow or a backend raises becomes an OSError."""
        try:
            value = _cursor(self).value(self.row)
        except MemoryError:
            raise
        except FileNotFoundError as error:
            raise without_secrets(error) from None
        except Exception as error:  # noqa: BLE001 - backends raise what they like, some what no process can hand over
            raise OSError(f"Parquet: {shown(first_line(error))}") from None
        if value is not None:
            return value
        if self.beside is None:
            raise FileNotFoundError("the row holds no image bytes, and no file lies where its path says")
        return self.beside()


class _Cursor:
    """A row group that is being read; goes forward only."""

    def __init__(self, reader: ReadParquetImage) -> None:
        self._reader = reader
        self._source = reader.file.stream()
        parquet = pq.ParquetFile(self._source, pre_buffer=False)
        leaf = f"{reader.column}.bytes" if reader.is_struct else reader.column
        self._batches: Iterator[pa.RecordBatch] = parquet.iter_batches(
            _BATCH_ROWS, row_groups=[reader.group], columns=[leaf], use_threads=False
        )
        self._batch: Any = None
        self._first = self._next = 0

    def fits(self, reader: ReadParquetImage) -> bool:
        mine = self._reader
        return (reader.file, reader.version, reader.group, reader.column) == (
            *(mine.file, mine.version, mine.group, mine.column),
        ) and reader.row >= self._first

    def value(self, row: int) -> bytes | None:
        while row >= self._next:
            batch = next(self._batches, None)
            if batch is None:
                raise ValueError(f"the row group ends before row {row}")
            self._first, self._next, self._batch = self._next, self._next + batch.num_rows, batch
        value = self._batch.column(0)[row - self._first].as_py()
        return value.get("bytes") if isinstance(value, dict) else value

    def close(self) -> None:
        if hasattr(self._source, "close"):
            self._source.close()


_open = threading.local()


def _cursor(reader: ReadParquetImage) -> _Cursor:
    cursor = getattr(_open, "cursor", None)
    if cursor is None or not cursor.fits(reader):
        if cursor is not None:
            cursor.close()
        _open.cursor = cursor = _Cursor(reader)
    return cursor
