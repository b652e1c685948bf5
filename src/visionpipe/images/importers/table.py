"""A table beside the images: CSV, TSV or Parquet with a path, a label and any attribute columns."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from visionpipe.bounded_parquet import Room, read_bounded
from visionpipe.errors import VisionpipeError, first_line
from visionpipe.images.importers.join import join_document
from visionpipe.images.importers.photo import LabelClaim, Photo
from visionpipe.images.importers.rows import Row, chosen_attributes, require_column
from visionpipe.images.importers.source import Source
from visionpipe.images.importers.values import as_text

Column = list[str | None]


@dataclass(frozen=True)
class Table:
    """Columns of text, and what is wrong with single rows (number from 0 -> what)."""

    columns: dict[str, Column]
    troubles: dict[int, str] = field(default_factory=dict)


def list_table(source: Source, arrived_at: datetime) -> Iterator[Photo]:
    """Join the rows of a table to images; several rows of one image are several claims."""
    return join_document(
        source, str(source.table), lambda data, name: _rows(source, parse_table(data, name), name), arrived_at
    )


def parse_table(data: bytes, name: str) -> Table:
    """Parse a table into columns of text, null where there is no value.

    An empty field is null, and so are NaN, NA, N/A and NULL; `None` is text, as it may be a class. A column
    without a name is left out. A row with too many or too few fields is kept, as trouble.

    Raises
    ------
    VisionpipeError
        When it is no table, not UTF-8, or two columns have one name.
    """
    if name.lower().endswith((".parquet", ".pq")):
        return _parse_parquet(data, name)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise VisionpipeError(
            f"{name}: is not UTF-8 text: {error.reason} at byte {error.start}; save it as CSV UTF-8"
        ) from error
    header = text.partition("\n")[0]
    separator = "\t" if name.lower().endswith(".tsv") else max(",;\t|", key=header.count)
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True
    )
    try:
        names = [column.strip() for column in next(reader, [])]
        rows = [row for row in reader if row]
    except csv.Error as error:
        raise VisionpipeError(f"{name}: line {reader.line_num}: {first_line(error)}") from error
    if not any(names):
        raise VisionpipeError(f"{name}: has no header line that names its columns")
    if twice := [column for column, count in Counter(names).items() if column and count > 1]:
        raise VisionpipeError(f"{name}: two columns are named '{twice[0]}'")
    width = len(names)
    troubles = {
        number: f"{len(row)} fields, the header has {width}"
        for number, row in enumerate(rows)
        if len(row) != width
    }
    columns: dict[str, Column] = {
        column: [as_text(row[position]) if position < len(row) else None for row in rows]
        for position, column in enumerate(names)
        if column
    }
    return Table(columns, troubles)


def _parse_parquet(data: bytes, name: str) -> Table:
    import pyarrow as pa

    try:
        table = read_bounded(pa.BufferReader(data), Room(len(data)))
        return Table(
            {
                column.name: [as_text(value) for value in table[column.name].to_pylist()]
                for column in table.schema
                if not pa.types.is_nested(column.type)
            }
        )
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise VisionpipeError(f"{name}: cannot be read as Parquet: {first_line(error)}") from error


@dataclass(frozen=True)
class _Columns:
    """The columns that make claims."""

    label: Column
    confidence: Column
    annotator: Column


def _rows(source: Source, parsed: Table, table: str) -> Iterator[Row]:
    columns = parsed.columns
    used: dict[str, Any] = {
        option: getattr(source, option)
        for option in ("path_column", "label_column", "confidence_column", "annotator_column")
        if getattr(source, option) is not None
    }
    for option, column in used.items():
        require_column(column, columns, table, option)
    others = [column for column in columns if column not in used.values()]
    attributes = chosen_attributes(source, columns if source.attributes else others, table)
    paths = columns[used["path_column"]]
    none: Column = [None] * len(paths)
    said = _Columns(
        *(
            columns[used[option]] if option in used else none
            for option in ("label_column", "confidence_column", "annotator_column")
        )
    )
    shared: dict[str, str] = {}
    for number, path in enumerate(paths):
        claims, trouble = _claims(said, number)
        trouble = parsed.troubles.get(number, trouble)
        values = {name: value for name in attributes if (value := (columns[name][number] or "").strip())}
        yield Row(
            references=() if path is None else (path,),
            where=f"row {number + 1}",
            claims=claims,
            attributes={name: shared.setdefault(value, value) for name, value in values.items()},
            trouble=trouble,
        )


def _claims(said: _Columns, number: int) -> tuple[tuple[LabelClaim, ...], str | None]:
    label, confidence = said.label[number], said.confidence[number]
    if label is None or not label.strip():
        return (), None
    annotator = said.annotator[number] or "table"
    sure = 1.0
    if confidence is not None:
        try:
            sure = float(confidence)
        except ValueError:
            sure = -1.0
        if not 0 <= sure <= 1:
            return (), f"confidence '{confidence}' is no number from 0 to 1"
    return (LabelClaim(label.strip(), sure, annotator),), None
