"""The image store gives back what was put in, to us and to anybody who reads Parquet."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datasets import load_dataset
from photo_files import encode, picture
from visionpipe.images import shards, store
from visionpipe.images.shards import append_shard

NOW = datetime(2026, 1, 5, tzinfo=UTC)


def image_row(name: str, data: bytes, **attributes: str) -> dict:
    return {
        "image_id": name,
        "image": {"bytes": data, "path": f"cat/{name}.png"},
        "source": "mine",
        "captured_at": None,
        "arrived_at": NOW,
        "width": 80,
        "height": 64,
        "format": "PNG",
        "n_bytes": len(data),
        "brightness": 100.0,
        "contrast": 20.0,
        "sharpness": 5.0,
        "perceptual_hash": "00",
        "attributes": [{"name": key, "value": value} for key, value in attributes.items()],
    }


def append(folder: Path, *names: str) -> Path:
    rows = [image_row(name, f"bytes of {name}".encode(), camera="new") for name in names]
    return append_shard(folder, rows, store.IMAGE_SCHEMA, prefix="images")


def test_bytes_come_back_verbatim(tmp_path):
    data = [bytes(range(256)) * 40, b"", encode(picture(1), "JPEG")]
    rows = [image_row(str(number), each) for number, each in enumerate(data)]
    append_shard(tmp_path, rows, store.IMAGE_SCHEMA, prefix="images")
    assert [each for _, each in store.read_images(tmp_path, ["0", "1", "2"])] == data


def test_the_index_holds_every_measurement_and_no_bytes(tmp_path):
    append(tmp_path, "a", "b")
    append(tmp_path, "c")
    index = store.read_store_index(tmp_path)
    assert index["image_id"].tolist() == ["a", "b", "c"]
    assert index["path"].tolist() == ["cat/a.png", "cat/b.png", "cat/c.png"]
    assert [dict(pairs) for pairs in index["attributes"]] == [{"camera": "new"}] * 3
    assert index["arrived_at"].tolist() == [pd.Timestamp(NOW)] * 3
    assert "image" not in index
    assert index[["shard", "row"]].to_numpy().tolist() == [
        ["images-00000.parquet", 0],
        ["images-00000.parquet", 1],
        ["images-00001.parquet", 0],
    ]


@pytest.mark.parametrize("n_bytes", [0, 1, 2**20 - 1, 2**20, 3 * 2**20])
def test_photos_of_any_size_come_back_verbatim(n_bytes, tmp_path):
    photos = {str(number): bytes([number]) * (n_bytes + number % 3) for number in range(70)}
    rows = [image_row(name, data) for name, data in photos.items()]
    shard = append_shard(tmp_path, rows, store.IMAGE_SCHEMA, prefix="images")
    assert dict(store.read_images(tmp_path, photos)) == photos
    assert pq.read_table(shard)["image"].to_pylist() == [row["image"] for row in rows]
    assert [pq.ParquetFile(shard).metadata.row_group(group).num_rows for group in (0, 1)] == [64, 6]


def test_an_image_without_attributes_has_none(tmp_path):
    rows = [{**image_row("a", b"x"), "attributes": None}, image_row("b", b"y")]
    append_shard(tmp_path, rows, store.IMAGE_SCHEMA, prefix="images")
    assert store.read_store_index(tmp_path)["attributes"].tolist() == [(), ()]


def test_an_empty_store_is_an_empty_table_with_the_same_columns(tmp_path):
    empty = store.read_store_index(tmp_path / "nothing")
    append(tmp_path, "a")
    assert len(empty) == 0
    assert set(empty.columns) == set(store.read_store_index(tmp_path).columns)
    assert store.read_tables(tmp_path / "nothing").columns.tolist() == store.LABEL_SCHEMA.names


def test_an_image_that_appears_twice_is_listed_and_read_once(tmp_path):
    append(tmp_path, "a")
    append(tmp_path, "b", "a")
    assert store.read_store_index(tmp_path)["image_id"].tolist() == ["a", "b"]
    assert [name for name, _ in store.read_images(tmp_path, ["a", "b"])] == ["a", "b"]


def test_a_column_that_an_older_shard_has_not_is_null(tmp_path):
    older = store.IMAGE_SCHEMA.remove(store.IMAGE_SCHEMA.get_field_index("first_split"))
    append_shard(tmp_path, [image_row("a", b"x", camera="old")], older, prefix="images")
    assert store.read_store_index(tmp_path)["first_split"].isna().tolist() == [True]
    append_shard(
        tmp_path, [{**image_row("b", b"y"), "first_split": "test"}], store.IMAGE_SCHEMA, prefix="images"
    )
    index = store.read_store_index(tmp_path)
    assert index["first_split"].fillna("none").tolist() == ["none", "test"]
    assert index["attributes"].tolist() == [(("camera", "old"),), ()]


def test_one_image_is_read_from_any_row_group(tmp_path):
    names = [f"{number:03d}" for number in range(150)]
    shard = append(tmp_path, *names)
    assert pq.ParquetFile(shard).num_row_groups == 3
    for row in (0, 63, 64, 149):
        assert store.ReadStored(shard, row)() == f"bytes of {names[row]}".encode()


@pytest.mark.parametrize("seed", range(3))
def test_a_column_is_read_in_the_order_asked_for_from_whatever_shard_and_row_group(tmp_path, seed):
    rng = np.random.default_rng(seed)
    looks = {}
    for shard, count in enumerate(rng.integers(1, 200, 3)):
        rows = []
        for number in range(count):
            name = f"{shard}-{number}"
            looks[name] = rng.integers(0, 256, 5, dtype=np.uint8).tobytes()
            rows.append({**image_row(name, b"x"), "thumbnail": looks[name]})
        append_shard(tmp_path, rows, store.IMAGE_SCHEMA, prefix="images")
    index = store.read_store_index(tmp_path)
    for wanted in (index, index.sample(min(len(index), 20), random_state=seed), index.iloc[:0]):
        found = store.read_column(tmp_path, wanted, "thumbnail", 5)
        assert [row.tobytes() for row in found] == [looks[name] for name in wanted["image_id"]]


def test_what_a_killed_run_left_behind_is_removed_a_while_later(tmp_path):
    folder = tmp_path / "images"
    fresh, stale = tmp_path / ".images-1.tmp", tmp_path / ".images-2.tmp"
    for left in (fresh, stale):
        left.write_bytes(b"half a shard")
    os.utime(stale, (time.time() - 7200,) * 2)
    append(folder, "a")
    assert fresh.exists()  # another run may be writing it
    assert not stale.exists()


def test_only_the_wanted_images_are_streamed(tmp_path):
    append(tmp_path, "a", "b")
    append(tmp_path, "c", "d")
    assert [name for name, _ in store.read_images(tmp_path, ["d", "a"])] == ["a", "d"]


def test_a_missing_image_is_named_after_those_that_are_there(tmp_path):
    append(tmp_path, "a")
    stream = store.read_images(tmp_path, ["a", "lost"])
    assert next(stream)[0] == "a"
    with pytest.raises(KeyError, match="1 images are not in the store, first lost"):
        next(stream)


def test_the_same_rows_give_the_same_bytes(tmp_path):
    shards = [append(tmp_path / name, "a", "b") for name in ("one", "two")]
    assert shards[0].read_bytes() == shards[1].read_bytes()


def test_a_shard_is_never_touched_again(tmp_path):
    first = append(tmp_path, "a")
    before = (first.read_bytes(), first.stat().st_mtime_ns, first.stat().st_ino)
    append(tmp_path, "b")
    assert (first.read_bytes(), first.stat().st_mtime_ns, first.stat().st_ino) == before


def test_shards_keep_the_order_of_arrival_beyond_five_digits(tmp_path):
    append(tmp_path, "a").rename(tmp_path / "images-99999.parquet")
    assert append(tmp_path, "b").name == "images-100000.parquet"
    assert append(tmp_path, "c").name == "images-100001.parquet"
    assert store.read_store_index(tmp_path)["image_id"].tolist() == ["a", "b", "c"]


def test_a_new_shard_comes_after_a_gap_never_into_it(tmp_path):
    for name in "abc":
        append(tmp_path, name)
    (tmp_path / "images-00001.parquet").unlink()
    assert append(tmp_path, "d").name == "images-00003.parquet"


def test_a_number_that_another_writer_took_meanwhile_is_left_to_it(tmp_path, monkeypatch):
    first = append(tmp_path, "a")
    before = first.read_bytes()
    monkeypatch.setattr(
        shards, "list_shards", lambda folder: []
    )  # as if the other's shard came after we looked
    assert append(tmp_path, "b").name == "images-00001.parquet"
    assert first.read_bytes() == before


def test_a_failed_append_leaves_nothing(tmp_path):
    append(tmp_path / "images", "a")
    with pytest.raises((pa.ArrowInvalid, pa.ArrowTypeError)):
        append_shard(
            tmp_path / "images", [{"image_id": "b", "width": "wide"}], store.IMAGE_SCHEMA, prefix="images"
        )
    assert [path.name for path in tmp_path.rglob("*")] == ["images", "images-00000.parquet"]


def test_a_shard_that_the_disk_did_not_take_has_no_name(tmp_path, monkeypatch):
    def fsync(number):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="Input/output"):
        append(tmp_path / "images", "a")
    assert list(tmp_path.rglob("*")) == [tmp_path / "images"]


def test_an_older_file_index_reads_with_nulls_for_new_columns(tmp_path):
    old = pa.schema([field for field in store.FILE_SCHEMA if field.name != "limits"])
    append_shard(tmp_path, [{"source": "mine", "path": "a.png"}], old, prefix="files")
    assert store.read_tables(tmp_path, store.FILE_SCHEMA)["limits"].isna().all()


def test_the_layout_is_that_of_a_hugging_face_image_set(tmp_path):
    schema = pq.read_schema(append(tmp_path, "a"))
    assert schema.field("image").type == pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    assert features == {"image": {"_type": "Image"}}
    assert not any(pa.types.is_map(field.type) for field in schema)  # `datasets` refuses maps


def test_hugging_face_datasets_reads_the_images(tmp_path):
    rows = [image_row("a", encode(picture(1), "PNG"), camera="new")]
    shard = append_shard(tmp_path, rows, store.IMAGE_SCHEMA, prefix="images")
    table = load_dataset("parquet", data_files=str(shard), cache_dir=str(tmp_path / "cache"))
    assert table["train"][0]["image"].size == (80, 64)
