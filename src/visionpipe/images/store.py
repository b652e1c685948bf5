"""The append-only image store: Parquet shards in the layout that Hugging Face `datasets` reads as images.

A row is an image. A row whose `image` is null says what a further file of an image that is stored tied it to.

Tables of labels and reviews are kept the same way, without images. `shards` writes them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from visionpipe.errors import VisionpipeError, first_line
from visionpipe.images.duplicates import DESCRIPTOR_LENGTH, LOOK_SIDE_PX
from visionpipe.images.shards import BULKY, ROWS_PER_GROUP, list_shards

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
        ("entropy", pa.float64()),
        ("mode", pa.string()),
        ("flags", pa.list_(pa.string())),
        ("redactions", pa.list_(pa.string())),
        ("original_sha256", pa.string()),
        ("perceptual_hash", pa.string()),
        ("thumbnail", pa.binary()),
        ("descriptor", pa.binary()),
        ("duplicate_of", pa.list_(pa.struct([("image_id", pa.string()), ("kind", pa.string())]))),
        # pairs, not a map: Hugging Face `datasets` cannot read maps
        ("attributes", pa.list_(pa.struct([("name", pa.string()), ("value", pa.string())]))),
        ("first_split", pa.string()),
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
        ("image_id", pa.string()),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("limits", pa.string()),
    ]
)
_ROWS_AT_ONCE = 8192  # as Python objects


@dataclass(frozen=True)
class ReadStored:
    """Reads one image out of a shard; a class so that it travels to worker processes."""

    shard: Path
    row: int

    def __call__(self) -> bytes:
        """Return the stored bytes."""
        file = pq.ParquetFile(self.shard)
        group, offset = divmod(self.row, ROWS_PER_GROUP)
        return file.read_row_group(group, columns=["image"])["image"][offset]["bytes"].as_py()


@dataclass(frozen=True)
class StoredLooks:
    """What the images of a store look like, read only where it is asked for."""

    folder: Path

    def descriptors(self, index: pd.DataFrame) -> np.ndarray:
        """Return the descriptors of these rows of the index, (N, 63) int8 (`duplicates.describe`)."""
        return read_column(self.folder, index, "descriptor", DESCRIPTOR_LENGTH).view(np.int8)

    def read(self, index: pd.DataFrame) -> np.ndarray:
        """Return the looks of these rows of the index, (N, 64, 64) uint8."""
        flat = read_column(self.folder, index, "thumbnail", LOOK_SIDE_PX**2)
        return flat.reshape(-1, LOOK_SIDE_PX, LOOK_SIDE_PX)


def read_store_index(folder: Path) -> pd.DataFrame:
    """Read everything but the bytes, the thumbnails and the descriptors.

    Returns
    -------
    DataFrame
        One row an image, oldest first: the measurements, `path`, `attributes` (tuple of (name, value)),
        `duplicate_of` (tuple of (image_id, kind)), `first_split` (where it came into; null for arrivals),
        `further_attributes` (tuple of (name, value) that further files of it tied it to), and where it lies (`shard`
        file name, `row` in it). An image that a crash made appear twice is listed once.
    """
    columns = [name for name in IMAGE_SCHEMA.names if name not in BULKY]
    nested = {"attributes": ("name", "value"), "duplicate_of": ("image_id", "kind")}
    shared: dict[tuple, tuple] = {}  # most images have the same attributes, flags and no duplicates
    lists: dict[str, list[tuple]] = {column: [] for column in (*nested, "flags", "redactions")}
    tables, shards, rows = [], [], []
    for shard in list_shards(folder):
        table = pq.ParquetFile(shard).read(columns=[*columns, "image.path"])
        table = table.append_column("path", pa.chunked_array(table["image"].combine_chunks().field("path")))
        for column, values in lists.items():
            if not pc.sum(pc.list_value_length(table[column])).as_py():
                values += [()] * len(table)
                continue
            for row in table[column].to_pylist():
                if row and column in nested:
                    pairs = (tuple(map(each.get, nested[column])) for each in row)
                    row = [shared.setdefault(pair, pair) for pair in pairs]
                whole = tuple(row or ())
                values.append(shared.setdefault(whole, whole))
        tables.append(table.drop_columns(["image", *lists]))
        shards += [shard.name] * len(table)
        rows += range(len(table))
    if not tables:
        return pd.DataFrame(columns=[*columns, "path", "shard", "row", "further_attributes"])
    # columns that older shards have not are null
    whole_table = pa.concat_tables(
        [IMAGE_SCHEMA.empty_table().drop_columns([*BULKY, *lists]), *tables], promote_options="default"
    )
    del table, tables
    frame = whole_table.to_pandas(self_destruct=True, split_blocks=True)
    del whole_table
    pa.default_memory_pool().release_unused()
    frame = frame.assign(**lists, shard=pd.Categorical(shards), row=rows)
    is_further = frame["path"].isna()
    further: dict[str, dict[tuple, None]] = {}
    for image_id, pairs in as_tuples(frame.loc[is_further, ["image_id", "attributes"]]):
        further.setdefault(image_id, {}).update(dict.fromkeys(pairs))
    is_again = frame.loc[~is_further, "image_id"].duplicated().reindex(frame.index, fill_value=True)
    if is_again.any():
        frame = frame[~is_again].reset_index(drop=True)
    said: list[tuple] = [()] * len(frame)
    if further:
        said = [tuple(further.get(image_id, ())) for image_id in frame["image_id"]]
    return frame.assign(further_attributes=pd.Series(said, dtype=object))


def read_images(folder: Path, image_ids: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """Stream the bytes of the wanted images, shard by shard.

    Raises
    ------
    KeyError
        When the store does not hold one of them.
    """
    missing = set(image_ids)
    for shard in list_shards(folder):
        if not missing:
            return
        file = pq.ParquetFile(shard)
        for batch in file.iter_batches(batch_size=ROWS_PER_GROUP, columns=["image_id", "image"]):
            data = batch.column("image").field("bytes")
            for row, image_id in enumerate(batch.column("image_id").to_pylist()):
                if image_id in missing and data[row].is_valid:
                    missing.remove(image_id)
                    yield image_id, data[row].as_py()
    if missing:
        raise KeyError(f"{folder}: {len(missing)} images are not in the store, first {sorted(missing)[0]}")


def read_column(folder: Path, index: pd.DataFrame, column: str, width: int) -> np.ndarray:
    """Read a column of fixed-width bytes of the images in `index`, in its order.

    Only the groups of rows that hold one of them are read.

    Parameters
    ----------
    folder : Path
        The store.
    index : DataFrame
        Rows of `read_store_index` (`shard`, `row`).
    column : {"thumbnail", "descriptor"}
        What to read.
    width : int
        Bytes an image.

    Returns
    -------
    numpy.ndarray
        (len(index), width) uint8.
    """
    values = np.empty((len(index), width), np.uint8)
    places = pd.DataFrame({"shard": index["shard"].to_numpy(), "row": index["row"].to_numpy(dtype=int)})
    for shard, rows in places.groupby("shard", observed=True)["row"]:
        file = pq.ParquetFile(folder / str(shard))
        groups = rows // ROWS_PER_GROUP
        wanted = sorted(set(groups))
        # the wanted groups come one after the other: say where each begins in what is read
        sizes = [file.metadata.row_group(group).num_rows for group in wanted]
        begins = dict(zip(wanted, np.cumsum([0, *sizes[:-1]]), strict=True))
        read = file.read_row_groups(wanted, columns=[column])[column].combine_chunks()
        data = np.frombuffer(b"".join(read.to_pylist()), np.uint8).reshape(-1, width)
        values[rows.index] = data[groups.map(begins) + rows % ROWS_PER_GROUP]
    return values


def read_tables(folder: Path, schema: pa.Schema = LABEL_SCHEMA) -> pd.DataFrame:
    """Read all shards of a table in the order they were appended; no rows when there is no shard yet."""
    tables = [read_shard(shard, schema) for shard in list_shards(folder)]
    table = pa.concat_tables(tables) if tables else schema.empty_table()
    del tables
    return table.to_pandas(self_destruct=True, split_blocks=True)


def as_tuples(rows: pd.DataFrame) -> Iterator[tuple]:
    """Iterate over rows, twice as fast as `itertuples` alone where strings are pyarrow's."""
    for first in range(0, len(rows), _ROWS_AT_ONCE):
        yield from rows.iloc[first : first + _ROWS_AT_ONCE].astype(object).itertuples(index=False, name=None)


def read_shard(shard: Path, schema: pa.Schema = LABEL_SCHEMA) -> pa.Table:
    """Read one shard of a table, which someone else may have written; columns that it has not are null.

    Raises
    ------
    VisionpipeError
        When it is no Parquet file, or a column has values that are not of the schema's type.
    """
    try:
        table = pq.ParquetFile(shard).read()
        # `read_table` knows what to do about other columns, but imports as much as reading all of a small store costs
        return table if table.schema.equals(schema) else pq.read_table(shard, schema=schema)
    except pa.ArrowException as error:
        raise VisionpipeError(
            f"{shard}: cannot be read: {first_line(error)}; mend it, or take it away"
        ) from error


ImageReader = Callable[[Iterable[str]], Iterator[tuple[str, bytes]]]
"""Given image ids, streams (image_id, bytes) in the store's order."""
