"""Images inside Parquet files, as Hugging Face `datasets` stores them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

import pyarrow.parquet as pq

from visionpipe.bounded_parquet import Room, read_bounded
from visionpipe.counting import counted
from visionpipe.errors import VisionpipeError, first_line, visible
from visionpipe.images.importers.label_names import LabelNames, composed
from visionpipe.images.importers.opening import open_place, place_of
from visionpipe.images.importers.parquet_rows import ReadParquetImage
from visionpipe.images.importers.parquet_schema import Columns, image_columns
from visionpipe.images.importers.photo import LabelClaim, Photo, ReadNothing
from visionpipe.images.importers.places import ListedFile
from visionpipe.images.importers.references import Files, resolve
from visionpipe.images.importers.source import Source
from visionpipe.images.importers.urls import shown
from visionpipe.images.importers.values import as_text, scalars, shares

logger = logging.getLogger("visionpipe.images.importers")

SUFFIXES = (".parquet", ".pq")


def list_image_parquet(source: Source, arrived_at: datetime) -> Iterator[Photo]:
    """List the rows of Parquet files; an image that is only a path is read from beside them."""
    if (source.path or "").lower().endswith(SUFFIXES):
        folder, _, name = str(source.path).replace("\\", "/").rpartition("/")
        place = open_place(folder or ".", source.storage_options)
        shards = list(place.find([name]).values())
        if not shards:
            raise VisionpipeError(f"{place.name}/{name}: no such file")
        files: list[ListedFile] = place.files() if place.can_list else []
        strays: list[ListedFile] = []
    else:
        place = place_of(source)
        files = place.files()
        shards = [file for file in files if file.path.lower().endswith(SUFFIXES)]
        if not shards:
            raise VisionpipeError(f"{place.name} holds no .parquet file")
        strays = [file for file in files if not file.path.lower().endswith(SUFFIXES)]

    names, index = LabelNames(), Files(files)
    n_images = n_labelled = 0
    beside: set[str] = set()
    for shard in shards:
        for photo in _photos(source, shard, index, names, arrived_at, beside):
            n_images += 1
            n_labelled += bool(photo.claims)
            yield photo
    for file in strays:
        if file.path not in beside:
            yield file.photo(source.name, arrived_at)
    logger.info(
        "source %s: %s in %s, %s without a label",
        *(source.name, counted(n_images, "image"), counted(len(shards), "Parquet file")),
        f"{n_images - n_labelled:,}",
    )


def _photos(
    source: Source,
    shard: ListedFile,
    files: Files,
    names: LabelNames,
    arrived_at: datetime,
    beside: set[str],
) -> Iterator[Photo]:
    try:
        stream, room = shard.read.stream(), Room(shard.n_bytes)
        parquet = pq.ParquetFile(stream, pre_buffer=False)
        metadata = parquet.metadata
        room.require_rows(metadata.num_rows)
    except Exception as error:  # noqa: BLE001 - pyarrow raises much on damage, and backends what they like
        refusal = ("bad_document", f"cannot be read as Parquet: {shown(first_line(error))}")
        yield shard.photo(source.name, arrived_at, refusal=refusal)
        return
    columns = image_columns(parquet.schema_arrow, source, shard.path)
    with parquet:
        first = 0
        for group in range(metadata.num_row_groups):
            n_nulls = _null_images(metadata.row_group(group), columns)
            try:
                rows = _scalar_rows(stream, room, metadata, group, columns, with_path=n_nulls != 0)
            except Exception as error:  # noqa: BLE001 - as above
                n_rows = metadata.row_group(group).num_rows
                detail = (
                    f"rows {first:,} to {first + n_rows - 1:,} cannot be read: {shown(first_line(error))}"
                )
                unread = shard.photo(source.name, arrived_at, refusal=("bad_document", detail))
                yield replace(unread, path=f"{shard.path}#{first}")
                first += n_rows
                continue
            paths = {str(i): (path,) for i, row in enumerate(rows) if (path := _path(row, columns))}
            found = resolve(paths, files, "")
            for position, row in enumerate(rows):
                path = f"{shard.path}#{first + position}"
                outside = found.get(str(position))
                photo: dict[str, Any] = {"path": path, "n_bytes": 0, "mtime_ns": shard.mtime_ns}
                aside = outside.read if isinstance(outside, ListedFile) else None
                if isinstance(outside, ListedFile):
                    beside.add(outside.path)
                photo["read"] = ReadParquetImage(
                    shard.read, shard.mtime_ns, group, position, columns.image, columns.is_struct, aside
                )
                if n_nulls == len(rows):  # no image lies in the file: it is known now whether there is one
                    if isinstance(outside, ListedFile):
                        photo |= {
                            "n_bytes": outside.n_bytes,
                            "mtime_ns": outside.mtime_ns,
                            "read": outside.read,
                        }
                    else:
                        reason, detail = outside or ("no_image", "neither bytes nor a path")
                        photo |= {
                            "read": ReadNothing(detail),
                            "refusal": (reason, visible(f"{shown(_path(row, columns) or 'null')}: {detail}")),
                        }
                yield Photo(
                    source=source.name,
                    arrived_at=arrived_at,
                    claims=_claims(row.get(columns.label), columns, names) if columns.label else (),
                    attributes=scalars(row, columns.attributes, without=()),
                    **photo,
                )
            first += len(rows)


def _claims(value: Any, columns: Columns, names: LabelNames) -> tuple[LabelClaim, ...]:
    labels = []
    for each in value if isinstance(value, list) else [value]:
        if columns.classes and isinstance(each, int):
            # Hugging Face writes -1 where a label is not known
            labels += [composed(columns.classes[each])] if 0 <= each < len(columns.classes) else []
        elif (text := as_text(each)) is not None:
            labels.append(names.unify(text))
    return tuple(LabelClaim(label, share, "table") for label, share in shares(labels).items())


def _scalar_rows(
    stream: Any, room: Room, metadata: pq.FileMetaData, group: int, columns: Columns, *, with_path: bool
) -> list[dict[str, Any]]:
    wanted = [*columns.attributes, *([columns.label] if columns.label else [])]
    if with_path and columns.is_struct:
        wanted.append(f"{columns.image}.path")
    if not wanted:
        return [{} for _ in range(metadata.row_group(group).num_rows)]
    wanted = list(dict.fromkeys(wanted))
    options = {"metadata": metadata, "pre_buffer": False}
    return read_bounded(stream, room, columns=wanted, row_groups=[group], **options).to_pylist()


def _path(row: dict[str, Any], columns: Columns) -> str | None:
    image = row.get(columns.image)
    path = image.get("path") if isinstance(image, dict) else None
    return path or None


def _null_images(group: Any, columns: Columns) -> int | None:
    """Count the rows of a row group whose image has no bytes; None when the file does not say."""
    leaf = f"{columns.image}.bytes" if columns.is_struct else columns.image
    for position in range(group.num_columns):
        column = group.column(position)
        if column.path_in_schema == leaf:
            statistics = column.statistics
            return statistics.null_count if statistics is not None and statistics.has_null_count else None
    return None
