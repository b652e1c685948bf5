"""The append-only image store: Parquet shards in the layout that Hugging Face `datasets` reads as images.

A shard is written under a temporary name and linked to its final one, so a crash leaves no half shard and two
writers never take the same number. Tables of labels and reviews are kept the same way, without images.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

IMAGE_SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        ("source", pa.string()),
        ("captured_at", pa.timestamp("us", tz="UTC")),
        ("arrived_at", pa.timestamp("us", tz="UTC")),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("format", pa.string()),
        ("n_bytes", pa.int64()),
        ("brightness", pa.float64()),
        ("contrast", pa.float64()),
        ("sharpness", pa.float64()),
        ("perceptual_hash", pa.string()),
        # pairs, not a map: Hugging Face `datasets` cannot read maps
        ("attributes", pa.list_(pa.struct([("name", pa.string()), ("value", pa.string())]))),
    ],
    # without it `datasets` takes the image for a struct of bytes
    metadata={"huggingface": json.dumps({"info": {"features": {"image": {"_type": "Image"}}}})},
)
LABEL_SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("label", pa.string()),
        ("label_confidence", pa.float64()),
        ("annotator", pa.string()),
        ("labelled_at", pa.timestamp("us", tz="UTC")),
        ("origin", pa.string()),
        ("selection", pa.string()),
    ]
)
FILE_SCHEMA = pa.schema(
    [
        ("source", pa.string()),
        ("path", pa.string()),
        ("n_bytes", pa.int64()),
        ("mtime_ns", pa.int64()),
        ("sha256", pa.string()),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("limits", pa.string()),
    ]
)
_ROWS_PER_GROUP = 64  # one image is read back by decoding at most this many


@dataclass(frozen=True)
class ReadStored:
    """Reads one image out of a shard; a class so that it travels to worker processes."""

    shard: Path
    row: int

    def __call__(self) -> bytes:
        """Return the stored bytes."""
        file = pq.ParquetFile(self.shard)
        group, offset = divmod(self.row, _ROWS_PER_GROUP)
        return file.read_row_group(group, columns=["image"])["image"][offset]["bytes"].as_py()


def append_shard(folder: Path, rows: Sequence[dict], schema: pa.Schema, *, prefix: str) -> Path:
    """Write rows as the next shard of a folder, whole or not at all.

    Parameters
    ----------
    folder : Path
        The store; made when absent.
    rows : sequence of dict
        One dict a row, keyed by the schema's names; missing keys are null.
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
    table = pa.Table.from_pylist(list(rows), schema=schema)
    has_images = "image" in schema.names
    # beside the folder, not in it: what a killed run leaves behind must not change the folder's DVC hash
    temporary = folder.with_name(f".{folder.name}-{uuid.uuid4().hex}.tmp")
    try:
        pq.write_table(
            table,
            temporary,
            row_group_size=_ROWS_PER_GROUP if has_images else None,
            # photos are compressed already; the measurements beside them are not
            compression={**dict.fromkeys(schema.names, "zstd"), "image.bytes": "none", "image.path": "zstd"}
            if has_images
            else "zstd",
            use_dictionary=[n for n in schema.names if n not in {"image", "image_id", "attributes"}],
        )
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        written_numbers = (shard.stem.rpartition("-")[2] for shard in _shards(folder))
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


def read_store_index(folder: Path) -> pd.DataFrame:
    """Read everything but the bytes.

    Returns
    -------
    DataFrame
        One row an image, oldest first: the measurements, `path`, `attributes` (list of (name, value)), and where it
        lies (`shard` file name, `row` in it). An image that a crash made appear twice is listed once.
    """
    columns = [name for name in IMAGE_SCHEMA.names if name != "image"]
    frames = []
    for shard in _shards(folder):
        table = pq.ParquetFile(shard).read(columns=[*columns, "image.path"])
        table = table.append_column("path", pa.chunked_array(table["image"].combine_chunks().field("path")))
        pairs = [
            [(pair["name"], pair["value"]) for pair in attributes or ()]
            for attributes in table["attributes"].to_pylist()
        ]
        frame = table.drop_columns(["image", "attributes"]).to_pandas()
        frames.append(frame.assign(attributes=pairs, shard=shard.name, row=range(len(frame))))
    if not frames:
        return pd.DataFrame(columns=[*columns, "path", "shard", "row"])
    return pd.concat(frames, ignore_index=True).drop_duplicates("image_id", ignore_index=True)


def read_images(folder: Path, image_ids: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """Stream the bytes of the wanted images, shard by shard.

    Raises
    ------
    KeyError
        When the store does not hold one of them.
    """
    missing = set(image_ids)
    for shard in _shards(folder):
        if not missing:
            return
        file = pq.ParquetFile(shard)
        for batch in file.iter_batches(batch_size=_ROWS_PER_GROUP, columns=["image_id", "image"]):
            data = batch.column("image").field("bytes")
            for row, image_id in enumerate(batch.column("image_id").to_pylist()):
                if image_id in missing:
                    missing.remove(image_id)
                    yield image_id, data[row].as_py()
    if missing:
        raise KeyError(f"{folder}: {len(missing)} images are not in the store, first {sorted(missing)[0]}")


def read_tables(folder: Path, schema: pa.Schema = LABEL_SCHEMA) -> pd.DataFrame:
    """Read all shards of a table in the order they were appended; no rows when there is no shard yet."""
    tables = [pq.read_table(shard, schema=schema) for shard in _shards(folder)]
    table = pa.concat_tables(tables) if tables else schema.empty_table()
    return table.to_pandas()


def _shards(folder: Path) -> list[Path]:
    """List the shards, oldest first; a number of six digits comes after those of five."""
    return sorted(folder.glob("*.parquet"), key=lambda shard: (len(shard.name), shard.name))


ImageReader = Callable[[Iterable[str]], Iterator[tuple[str, bytes]]]
"""Given image ids, streams (image_id, bytes) in the store's order."""
