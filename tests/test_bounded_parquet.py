"""A small file that stands for very much is refused before it takes the memory, wherever it is read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from visionpipe.bounded_parquet import Room, read_bounded
from visionpipe.errors import VisionpipeError
from visionpipe.images.importers import Source, iterate_photos
from visionpipe.images.importers.table import parse_table
from visionpipe.monitoring.prediction_files import read_pieces

N_ROWS = 5000
NOTES = pa.map_(pa.string(), pa.string())
BIG = pa.DictionaryArray.from_arrays(pa.array([0] * N_ROWS, pa.int32()), ["x" * 10_000_000])
"""50 GB of text, which Parquet writes once and then says how often."""
NOTHING = pa.nulls(3_000_000, pa.string())
REFUSED = [
    (BIG, r"its [\d,]+ bytes become gigabytes"),
    (NOTHING, r"3,000,000 rows in a file of [\d,]+ bytes"),
]
POOLS: list[pa.MemoryPool] = []
"""Those that counted: what they gave out may be given back to them later."""


@contextmanager
def memory_below(n_bytes: int) -> Iterator[None]:
    """See that Arrow at no time takes more."""
    before = pa.default_memory_pool()
    pool = pa.proxy_memory_pool(before)
    POOLS.append(pool)
    pa.set_memory_pool(pool)
    try:
        yield
    finally:
        pa.set_memory_pool(before)
    assert pool.max_memory() < n_bytes


@pytest.fixture
def small_memory():
    with memory_below(2**30):
        yield


def written(folder: Path, **columns: pa.Array) -> Path:
    """Write columns as plain text, and see that the file is small."""
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.table(columns), folder / "a.parquet", compression="zstd", store_schema=False)
    assert (folder / "a.parquet").stat().st_size < 100_000
    return folder / "a.parquet"


def in_one_row(values: pa.Array) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array([0, len(values)], pa.int32()), values)


@pytest.mark.parametrize(("values", "wrong"), REFUSED)
def test_a_table_of_labels(values, wrong, tmp_path, small_memory):
    data = written(tmp_path, image=values).read_bytes()
    with pytest.raises(VisionpipeError, match=rf"^a\.parquet: cannot be read as Parquet: {wrong}"):
        parse_table(data, "a.parquet")


@pytest.mark.parametrize(("values", "wrong"), REFUSED)
def test_a_set_of_images(values, wrong, tmp_path, small_memory):
    images = pa.StructArray.from_arrays([pa.nulls(len(values), pa.binary())], ["bytes"])
    written(tmp_path, image=images, note=values)
    source = Source(name="mine", importer="image_parquet", path=tmp_path)
    [photo] = iterate_photos(source, datetime(2026, 1, 5, tzinfo=UTC))
    assert photo.refusal[0] == "bad_document"
    assert re.search(wrong, photo.refusal[1])


@pytest.mark.parametrize(("values", "wrong"), REFUSED)
def test_a_log_of_predictions(values, wrong, tmp_path, small_memory):
    [piece] = read_pieces(written(tmp_path, prediction_id=values))
    assert len(piece.table) == 0
    [refusal] = piece.refused
    assert re.match(wrong, refusal.detail)


@pytest.mark.parametrize(
    "values",
    [
        BIG,
        pa.ListArray.from_arrays(pa.array(range(N_ROWS + 1), pa.int32()), BIG),
        pa.StructArray.from_arrays([BIG], ["note"]),
        in_one_row(BIG),
        pa.MapArray.from_arrays(pa.array([0, N_ROWS], pa.int32()), pa.array(range(N_ROWS)), BIG),
    ],
)
def test_a_dictionary_counts_for_what_it_stands_for(values, tmp_path, small_memory):
    pq.write_table(pa.table({"a": values}), tmp_path / "a.parquet")
    with pytest.raises(ValueError, match="become gigabytes"):
        read_bounded(tmp_path / "a.parquet", Room(1000))


@pytest.mark.parametrize(
    "make",
    [
        lambda: pa.DictionaryArray.from_arrays([0] * 1200, pa.array([bytes(10**6)], pa.binary(10**6))),
        lambda: pa.array([str(n) + "x" * 3_000_000 for n in range(100)]),
        lambda: in_one_row(pa.array(np.zeros(70_000_000, np.int8))),
    ],
    ids=["values of fixed length", "long values", "one long list"],
)
def test_what_the_footer_tells_is_refused_unread(make, tmp_path):
    path = written(tmp_path, a=make())
    with memory_below(10**6), pytest.raises(ValueError, match="become gigabytes"):
        read_bounded(path, Room(path.stat().st_size))


def test_row_groups_share_their_file_s_room(tmp_path):
    pq.write_table(pa.table({"a": BIG.slice(0, 20)}), tmp_path / "a.parquet", row_group_size=10)
    room = Room(0)
    read_bounded(tmp_path / "a.parquet", room, row_groups=[0])
    read_bounded(tmp_path / "a.parquet", room, row_groups=[1])
    with pytest.raises(ValueError, match="become gigabytes"):
        read_bounded(tmp_path / "a.parquet", room, row_groups=[0])


def test_many_columns_of_repeated_texts_are_one_sum(tmp_path, small_memory):
    texts = BIG.slice(0, 20)
    path = written(tmp_path, **{f"column {n}": texts for n in range(20)})
    with pytest.raises(ValueError, match="become gigabytes"):
        read_bounded(path, Room(path.stat().st_size))


def test_values_that_begin_alike_count_for_what_they_stand_for(tmp_path, small_memory):
    with pq.ParquetWriter(
        tmp_path / "a.parquet",
        pa.schema([("a", pa.string())]),
        use_dictionary=False,
        column_encoding={"a": "DELTA_BYTE_ARRAY"},
        compression="zstd",
    ) as writer:
        writer.write_table(pa.table({"a": ["x" * 1_000_000] * 500}))
    n_bytes = (tmp_path / "a.parquet").stat().st_size
    assert n_bytes < 10_000
    with pytest.raises(ValueError, match="become gigabytes"):
        read_bounded(tmp_path / "a.parquet", Room(n_bytes))


def test_what_is_read_is_what_was_written(tmp_path):
    table = pa.table(
        {
            "id": [f"p{row}" for row in range(5000)],
            "site": pa.array([None, "A", "B", "B", "A"] * 1000).dictionary_encode(),
            "scores": [[0.5, None], None, [], [1.0], [0.0]] * 1000,
            "image": [{"bytes": b"x", "path": None}, None, None, None, None] * 1000,
            "notes": pa.array([[("k", "x"), ("l", None)], None, [], [], [("k", "y")]] * 1000, NOTES),
            "seen": pa.array([datetime(2026, 1, 5, tzinfo=UTC)] * 5000),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=1500)
    assert read_bounded(tmp_path / "a.parquet", Room(0)).equals(table)
    some = read_bounded(tmp_path / "a.parquet", Room(0), columns=["site", "image.path"], row_groups=[1, 3])
    with pq.ParquetFile(tmp_path / "a.parquet") as file:
        assert some.equals(file.read_row_groups([1, 3], columns=["site", "image.path"]))
    pq.write_table(table.slice(0, 0), tmp_path / "none.parquet")
    assert read_bounded(tmp_path / "none.parquet", Room(0)).equals(table.slice(0, 0))
