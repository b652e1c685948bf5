"""Tables that only grow: Parquet shards in a folder, each written whole or not at all, none ever touched again.

A shard is written under a temporary name and linked to its final one, so a crash leaves no half shard and two
writers never take the same number.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from visionpipe.atomic import beside, remove_stale, to_disk

ROWS_PER_GROUP = 64
"""Of photos; one is read back by decoding at most this many."""

BULKY = {"image", "thumbnail", "descriptor"}
"""Columns that are read only where they are asked for."""


def list_shards(folder: Path) -> list[Path]:
    """List the shards, oldest first; a number of six digits comes after those of five."""
    return sorted(folder.glob("*.parquet"), key=lambda shard: (len(shard.name), shard.name))


def append_shard(folder: Path, rows: Sequence[dict], schema: pa.Schema, *, prefix: str) -> Path:
    """Write rows as the next shard of a folder, whole or not at all.

    Parameters
    ----------
    folder : Path
        The store; made when absent.
    rows : sequence of dict
        One dict a row, keyed by the schema's names; missing keys are null, but `image`, which is given or None.
    schema : pyarrow.Schema
        Exact types on disk.
    prefix : str
        Shards are named `<prefix>-00000.parquet`, `<prefix>-00001.parquet`, …

    Returns
    -------
    Path
        The new shard.
    """
    folder.mkdir(parents=True, exist_ok=True)
    has_images = "image" in schema.names
    group = ROWS_PER_GROUP if has_images else max(len(rows), 1)
    # beside the folder, not in it: what a killed run leaves behind must not change the folder's DVC hash
    remove_stale(folder)
    temporary = beside(folder)
    try:
        with pq.ParquetWriter(
            temporary,
            schema,
            # photos are compressed already; the measurements beside them are not
            compression={**dict.fromkeys(schema.names, "zstd"), "image.bytes": "none", "image.path": "zstd"}
            if has_images
            else "zstd",
            use_dictionary=[n for n in schema.names if n not in {*BULKY, "image_id", "attributes"}],
            # a large photo is a page of its own: a page that grows is copied again and again
            write_batch_size=1 if has_images else None,
        ) as writer:
            for first in range(0, len(rows), group):
                writer.write_table(_to_table(rows[first : first + group], schema), row_group_size=group)
        pa.default_memory_pool().release_unused()
        to_disk(temporary)
        written_numbers = (shard.stem.rpartition("-")[2] for shard in list_shards(folder))
        number = max((int(digits) for digits in written_numbers if digits.isdigit()), default=-1) + 1
        while True:
            shard = folder / f"{prefix}-{number:05d}.parquet"
            try:
                os.link(temporary, shard)
            except FileExistsError:
                number += 1
            else:
                return shard
    finally:
        temporary.unlink(missing_ok=True)


def _to_table(rows: Sequence[dict], schema: pa.Schema) -> pa.Table:
    """Make a table of rows; the bytes of photos are copied once, where a builder that grows copies them twice."""
    if "image" not in schema.names:
        return pa.Table.from_pylist(list(rows), schema=schema)
    table = pa.Table.from_pylist([{**row, "image": None} for row in rows], schema=schema)
    images = [row["image"] or {"bytes": b"", "path": None} for row in rows]
    photos = [image["bytes"] for image in images]
    ends = np.cumsum([0, *map(len, photos)], dtype=np.int32)
    data = pa.Array.from_buffers(
        pa.binary(), len(photos), [None, pa.py_buffer(ends), pa.py_buffer(b"".join(photos))]
    )
    paths = pa.array([image["path"] for image in images], pa.string())
    is_null = pa.array([row["image"] is None for row in rows])
    struct = pa.StructArray.from_arrays([data, paths], fields=list(schema.field("image").type), mask=is_null)
    return table.set_column(schema.get_field_index("image"), schema.field("image"), struct)
