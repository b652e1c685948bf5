"""Images inside Parquet files, as Hugging Face `datasets` stores them."""

from __future__ import annotations

import json
import pickle
import unicodedata
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from photo_files import encode, picture
from visionpipe.errors import VisionpipeError
from visionpipe.images.importers import references
from visionpipe.images.importers.remote import ReadUrl

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
NAMES = {"_type": "ClassLabel", "names": ["cat", "dog"]}
PICTURES = [encode(picture(seed, 40, 40), "PNG") for seed in range(40)]


def shard(
    path: Path, images: list, *, features: dict | None = None, rows_per_group: int = 100, **columns
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table({"image": pa.array(images, IMAGE), **columns})
    if features is not None:
        about = json.dumps({"info": {"features": {"image": {"_type": "Image"}, **features}}})
        table = table.replace_schema_metadata({"huggingface": about})
    pq.write_table(table, path, row_group_size=rows_per_group)
    return path


def embedded(count: int) -> list[dict]:
    return [{"bytes": data, "path": f"{number}.png"} for number, data in enumerate(PICTURES[:count])]


def test_class_codes_are_named_and_scalars_are_attributes(imported, tmp_path):
    shard(
        tmp_path / "data/train-00000.parquet",
        embedded(3),
        features={"label": NAMES},
        label=pa.array([1, 0, -1]),
        site=["A", None, "B"],
        n=[1.5, 2.0, float("nan")],
        box=[[1], [2], [3]],
    )
    photos = imported("image_parquet", tmp_path)
    assert [photo.path for photo in photos] == [f"data/train-00000.parquet#{row}" for row in range(3)]
    assert [[claim.label for claim in photo.claims] for photo in photos] == [["dog"], ["cat"], []]
    assert [photo.attributes for photo in photos] == [{"site": "A", "n": "1.5"}, {"n": "2"}, {"site": "B"}]
    assert [photo.read() for photo in photos] == PICTURES[:3]


@pytest.mark.parametrize("metadata", [None, b"{", b"[]", b'{"info": {"features": {"label": 3}}}'])
def test_labels_may_be_text_and_metadata_may_be_nonsense(metadata, imported, tmp_path):
    path = shard(tmp_path / "a.parquet", embedded(3), label=["T-Shirt", "t shirt", None])
    if metadata is not None:
        pq.write_table(pq.read_table(path).replace_schema_metadata({b"huggingface": metadata}), path)
    photos = imported("image_parquet", tmp_path)
    assert [[claim.label for claim in photo.claims] for photo in photos] == [["T-Shirt"], ["T-Shirt"], []]


def test_columns_can_be_named(imported, tmp_path):
    images = pa.array(PICTURES[:2], pa.binary())
    pq.write_table(pa.table({"png": images, "kind": [3, 4], "n": [1, 2]}), tmp_path / "a.parquet")
    with pytest.raises(VisionpipeError, match=r"a\.parquet: no column holds images.*there are: png, kind, n"):
        imported("image_parquet", tmp_path)
    photos = imported("image_parquet", tmp_path, image_column="png", label_column="kind", attributes=[])
    assert [(photo.read(), photo.claims[0].label, photo.attributes) for photo in photos] == [
        (PICTURES[0], "3", {}),
        (PICTURES[1], "4", {}),
    ]
    with pytest.raises(VisionpipeError, match=r"no column 'klass' \(option `label_column`\)"):
        imported("image_parquet", tmp_path, image_column="png", label_column="klass")


@pytest.mark.parametrize("rows_per_group", [1, 7, 40])
def test_images_are_read_right_in_any_order_and_after_a_trip_to_a_worker(rows_per_group, imported, tmp_path):
    shard(tmp_path / "a.parquet", embedded(40), rows_per_group=rows_per_group)
    photos = pickle.loads(pickle.dumps(imported("image_parquet", tmp_path)))
    for order in (range(40), reversed(range(40)), [3, 39, 0, 17, 16, 18]):
        assert all(photos[row].read() == PICTURES[row] for row in order)


def test_reading_in_order_passes_over_the_file_once(imported, tmp_path, monkeypatch):
    shard(tmp_path / "a.parquet", embedded(40))
    photos = imported("image_parquet", tmp_path)
    opened = []
    whole = pq.ParquetFile

    def counted(*arguments, **options):
        opened.append(arguments)
        return whole(*arguments, **options)

    monkeypatch.setattr(pq, "ParquetFile", counted)
    assert [photo.read() for photo in photos] == PICTURES
    assert len(opened) == 1


def test_rows_that_cannot_be_read_are_named_and_the_others_are_read(imported, said, tmp_path):
    labels = pa.array([b"cat", b"caf\xe9", b"dog"]).cast(pa.string(), safe=False)
    shard(tmp_path / "a.parquet", embedded(3), rows_per_group=1, label=labels)
    photos = imported("image_parquet", tmp_path)
    assert said(photos) == {
        "a.parquet#0": ["table: cat"],
        "a.parquet#1": ["! bad_document"],
        "a.parquet#2": ["table: dog"],
    }
    assert photos[1].refusal[1].startswith("rows 1 to 1 cannot be read: 'utf-8' codec")
    assert photos[2].read() == PICTURES[2]


def test_a_file_that_is_written_anew_is_not_read_from_the_old_one(imported, tmp_path):
    shard(tmp_path / "a.parquet", embedded(2))
    assert imported("image_parquet", tmp_path)[0].read() == PICTURES[0]
    shard(tmp_path / "new/a.parquet", embedded(3)[::-1]).replace(tmp_path / "a.parquet")
    assert imported("image_parquet", tmp_path)[0].read() == PICTURES[2]


def test_listing_reads_no_image_bytes(imported, tmp_path):
    """The bytes of the images are overwritten with nonsense, and the listing does not notice."""
    path = shard(
        tmp_path / "a.parquet", [{"bytes": b"\xab" * 100_000, "path": None}] * 3, label=["a", "b", "a"]
    )
    column = pq.ParquetFile(path).metadata.row_group(0).column(0)
    data = bytearray(path.read_bytes())
    start = column.dictionary_page_offset or column.data_page_offset
    data[start : start + column.total_compressed_size] = b"\x00" * column.total_compressed_size
    path.write_bytes(data)
    photos = imported("image_parquet", tmp_path)
    assert [photo.claims[0].label for photo in photos] == ["a", "b", "a"]
    with pytest.raises(OSError, match="Parquet"):
        photos[0].read()


def test_images_that_are_only_a_path_are_read_from_beside(imported, put, said, tmp_path):
    put(tmp_path, "images/1.png", "images/2.png", "extra.png")
    paths = ["images/1.png", "2.png", "gone.png", None]
    shard(
        tmp_path / "a.parquet", [{"bytes": None, "path": path} for path in paths], label=["a", "b", "a", "b"]
    )
    photos = imported("image_parquet", tmp_path)
    assert said(photos) == {
        "a.parquet#0": ["table: a"],
        "a.parquet#1": ["table: b"],
        "a.parquet#2": ["! no_image"],
        "a.parquet#3": ["! no_image"],
        "extra.png": [],
    }
    assert photos[1].read() == (tmp_path / "images/2.png").read_bytes()
    assert photos[1].n_bytes == (tmp_path / "images/2.png").stat().st_size


def test_the_files_beside_are_listed_by_name_once_however_many_row_groups_there_are(
    imported, put, tmp_path, monkeypatch
):
    put(tmp_path, *(f"files/{number}.png" for number in range(30)))
    shard(tmp_path / "a.parquet", [{"path": f"{row}.png"} for row in range(30)], rows_per_group=1)
    normalized = []

    def normalize(form: str, text: str) -> str:
        normalized.append(text)
        return unicodedata.normalize(form, text)

    monkeypatch.setattr(references, "unicodedata", SimpleNamespace(normalize=normalize))
    assert [photo.read.path for photo in imported("image_parquet", tmp_path)] == [
        str(tmp_path / f"files/{number}.png") for number in range(30)
    ]
    assert len(normalized) < 10 * 30


def test_some_images_inside_and_some_beside(imported, put, tmp_path):
    put(tmp_path, "1.png")
    shard(
        tmp_path / "a.parquet",
        [{"bytes": PICTURES[5], "path": "x.png"}, {"bytes": None, "path": "1.png"}, None],
    )
    inside, beside, nothing = imported("image_parquet", tmp_path)
    assert (inside.read(), beside.read()) == (PICTURES[5], (tmp_path / "1.png").read_bytes())
    with pytest.raises(FileNotFoundError, match="no image bytes"):
        nothing.read()


def test_a_file_that_is_no_parquet_costs_that_file(imported, said, tmp_path):
    whole = shard(tmp_path / "a.parquet", embedded(1), label=["cat"]).read_bytes()
    (tmp_path / "b.parquet").write_bytes(whole[:-20])
    (tmp_path / "c.parquet").touch()
    assert said(imported("image_parquet", tmp_path)) == {
        "a.parquet#0": ["table: cat"],
        "b.parquet": ["! bad_document"],
        "c.parquet": ["! bad_document"],
    }


def test_one_file_can_be_named_and_one_is_needed(imported, tmp_path):
    path = shard(tmp_path / "a.parquet", embedded(1))
    shard(tmp_path / "b.parquet", embedded(2))
    assert [photo.path for photo in imported("image_parquet", path)] == ["a.parquet#0"]
    with pytest.raises(VisionpipeError, match=r"gone\.parquet: no such file"):
        imported("image_parquet", tmp_path / "gone.parquet")
    (tmp_path / "empty").mkdir()
    with pytest.raises(VisionpipeError, match=r"empty holds no \.parquet file"):
        imported("image_parquet", tmp_path / "empty")


def test_parquet_behind_a_url(imported, memory, tmp_path):
    shard(tmp_path / "data/a.parquet", embedded(20), features={"label": NAMES}, label=pa.array([0, 1] * 10))
    photos = imported("image_parquet", memory(tmp_path))
    assert [photo.read() for photo in photos] == PICTURES[:20]
    assert photos[1].claims[0].label == "dog"


class Refused(Exception):  # noqa: N818 - as a backend's own
    """An error as backends have them: no OSError, and nothing that a worker could hand over."""

    def __init__(self, request: object, status: int) -> None:
        super().__init__(f"{status} at https://me:SECRET@host/?sig=SECRET")


def test_an_error_of_the_backend_costs_what_could_not_be_read(imported, memory, tmp_path, monkeypatch):
    def refuse(_self):
        raise Refused(None, 503)

    url = memory(shard(tmp_path / "a.parquet", embedded(2), label=["cat", "dog"]).parent)
    photos = imported("image_parquet", url)
    monkeypatch.setattr(ReadUrl, "stream", refuse)
    with pytest.raises(OSError, match=r"^Parquet: 503 at https://host/$"):
        photos[1].read()
    [unread] = imported("image_parquet", url)
    assert unread.refusal == ("bad_document", "cannot be read as Parquet: 503 at https://host/")


@pytest.mark.parametrize("images", [["a"], [1], [{"bytes": [1, 2]}], [{"bytes": "ab"}]])
def test_a_column_that_cannot_hold_images_is_refused(images, imported, tmp_path):
    pq.write_table(pa.table({"picture": images}), tmp_path / "a.parquet")
    with pytest.raises(VisionpipeError, match=r"a\.parquet: column 'picture' .* holds .*, not images"):
        imported("image_parquet", tmp_path, image_column="picture")
    with pytest.raises(VisionpipeError, match="no column holds images"):
        imported("image_parquet", tmp_path)
