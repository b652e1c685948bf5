"""Every file is looked at once, and ends as exactly one of stored or refused."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace

import pandas as pd
import pytest

from photo_files import class_folders, encode, picture
from visionpipe.errors import VisionpipeError
from visionpipe.images import store
from visionpipe.images.importers import Photo
from visionpipe.images.ingest import receive
from visionpipe.images.parameters import IngestionParameters

ALONE = IngestionParameters(workers=1)


def assert_all_accounted_for(warehouse, photos: Iterable[Photo], parameters=ALONE) -> None:
    """See that each file is in the manifest by its bytes or in quarantine by its path, never both."""
    manifest, quarantine = warehouse.manifest(parameters), warehouse.quarantine(parameters)
    files = warehouse.files.drop_duplicates(["source", "path"], keep="last").set_index(["source", "path"])
    refused = set(zip(quarantine["source"], quarantine["path"], strict=True))
    kept_out = set(quarantine["sha256"]) - set(manifest["image_id"])
    for photo in photos:
        row = files.loc[(photo.source, photo.path)]
        in_quarantine = (photo.source, photo.path) in refused or row["sha256"] in kept_out
        in_manifest = pd.isna(row["reason"]) and row["sha256"] in set(manifest["image_id"])
        assert in_manifest != in_quarantine, photo.path


def test_every_input_is_in_the_manifest_or_in_quarantine(tmp_path, listed, warehouse):
    folder = class_folders(tmp_path / "photos", cat=5, dog=5)
    (folder / "stray.png").write_bytes(encode(picture(90), "PNG"))
    (folder / "cat/empty.png").touch()
    (folder / "cat/text.png").write_text("no photo")
    (folder / "cat/cut.png").write_bytes(encode(picture(91), "PNG")[:200])
    (folder / "dog/small.png").write_bytes(encode(picture(92, 20, 20), "PNG"))
    (folder / "dog/film.gif").write_bytes(encode(picture(93), "GIF"))
    (folder / "dog/twin.png").write_bytes((folder / "dog/00.png").read_bytes())
    (folder / "dog/gone.png").symlink_to(folder / "nowhere")
    photos = listed(folder)
    warehouse.take_in(photos)
    assert_all_accounted_for(warehouse, photos)
    assert len(warehouse.manifest()) == 10
    assert warehouse.quarantine().set_index("path")["reason"].to_dict() == {
        "stray.png": "no_label",
        "cat/empty.png": "empty",
        "cat/text.png": "undecodable",
        "cat/cut.png": "undecodable",
        "dog/small.png": "too_small",
        "dog/film.gif": "format",
        "dog/gone.png": "unreadable",
    }


def test_the_stored_bytes_are_those_of_the_file(tmp_path, listed, warehouse):
    folder = class_folders(tmp_path / "photos", cat=3)
    warehouse.take_in(listed(folder))
    stored = dict(store.read_images(warehouse.root / "images", warehouse.images["image_id"]))
    assert sorted(stored.values()) == sorted(path.read_bytes() for path in folder.rglob("*.png"))


def test_the_bytes_decide_the_format_not_the_name(tmp_path, listed, warehouse):
    (tmp_path / "photos/cat").mkdir(parents=True)
    (tmp_path / "photos/cat/photo.txt").write_bytes(encode(picture(1), "JPEG"))
    warehouse.take_in(listed(tmp_path / "photos"))
    assert warehouse.manifest()["format"].tolist() == ["JPEG"]


def test_a_column_to_split_by_that_is_misspelt_is_named_before_a_file_is_opened(
    tmp_path, listed, counted, warehouse
):
    photos = counted(listed(class_folders(tmp_path / "photos", cat=2)))
    with pytest.raises(VisionpipeError, match="no image has an attribute 'sendr'"):
        warehouse.take_in(photos, IngestionParameters(split={"group_by": "sendr"}))
    assert photos.read_paths == []


def test_a_refusal_of_the_importer_is_accounted_for(tmp_path, listed, counted, warehouse):
    photos = listed(class_folders(tmp_path / "photos", cat=2))
    row = replace(photos[0], path="labels.csv row 7", refusal=("no_image", "no file is called x.png"))
    with_row = counted([*photos, row])
    warehouse.take_in(with_row)
    assert "labels.csv row 7" not in with_row.read_paths
    quarantine = warehouse.quarantine()
    assert quarantine[["path", "reason", "detail"]].to_numpy().tolist() == [
        ["labels.csv row 7", "no_image", "no file is called x.png"]
    ]
    assert warehouse.take_in([*photos, row]) == [([], [], [])]


def test_photos_of_people_need_a_privacy_record(tmp_path, listed, counted, warehouse):
    photos = counted(listed(class_folders(tmp_path / "photos", cat=2), contains_people=True))
    with pytest.raises(VisionpipeError, match=r"source mine: contains people.*ingestion\.privacy\.purpose"):
        warehouse.take_in(photos)
    assert photos.read_paths == []
    record = {
        "purpose": "sorting",
        "lawful_basis": "consent",
        "retention": "2 years",
        "informed": "all, by mail",
    }
    warehouse.take_in(photos, IngestionParameters(privacy=record))
    assert len(warehouse.manifest()) == 2


def test_near_duplicates_of_stored_images_share_their_group(tmp_path, listed, warehouse):
    folder = class_folders(tmp_path / "photos", cat=12)
    warehouse.take_in(listed(folder))
    first = warehouse.images.set_index("path")["image_id"]["cat/05.png"]
    (folder / "cat/again.jpg").write_bytes(encode(picture(5), "JPEG", quality=90))
    warehouse.take_in(listed(folder))
    stored = warehouse.images.set_index("path")
    assert stored["duplicate_of"]["cat/again.jpg"] == ((first, "near"),)
    manifest = warehouse.manifest().set_index("image_id")
    assert manifest["group_id"][stored["image_id"]["cat/again.jpg"]] == manifest["group_id"][first]
    alone = replace(warehouse, root=tmp_path / "alone")
    alone.take_in(listed(folder), IngestionParameters(near_duplicates=False))
    assert not alone.images["duplicate_of"].map(len).any()


def test_a_photo_that_many_senders_forward_stays_in_one_split(tmp_path, listed, warehouse):
    """Copies from senders of other splits are refused; they must not keep later copies from the group."""
    folder = tmp_path / "photos/cat"
    folder.mkdir(parents=True)
    for number in range(24):
        (folder / f"own_{number % 12:02d}_{number}.png").write_bytes(encode(picture(number), "PNG"))
    for number in range(30):  # of the first twelve senders, then of newcomers who send nothing else
        copy = encode(picture(500), "JPEG", quality=60 + number)
        (folder / f"sent_{number:02d}.jpg").write_bytes(copy)
    photos = [
        replace(photo, attributes={"sender": photo.path.split("_")[1].removesuffix(".jpg")})
        for photo in listed(tmp_path / "photos")
    ]
    by_sender = IngestionParameters(workers=1, split={"group_by": "sender"})
    warehouse.take_in(photos, by_sender)
    assert set(warehouse.quarantine(by_sender)["reason"]) == {"group_spans_splits"}
    sent = warehouse.images.set_index("path").filter(like="sent", axis="index")["image_id"]
    manifest = warehouse.manifest(by_sender).set_index("image_id").loc[sent]
    assert len(manifest) > 18
    assert manifest["group_id"].nunique() == manifest["split"].nunique() == 1


def test_chunks_are_bounded_by_bytes(tmp_path, listed, warehouse):
    photos = listed(class_folders(tmp_path / "photos", cat=12))
    size = max(photo.n_bytes for photo in photos)
    chunks = warehouse.take_in(photos, IngestionParameters(chunk_bytes=3 * size))
    assert sum(len(chunk.images) for chunk in chunks) == 12
    assert max(len(chunk.images) for chunk in chunks) <= 5


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_permission_is_unreadable(tmp_path, listed, warehouse):
    folder = class_folders(tmp_path / "photos", cat=2)
    (folder / "cat/01.png").chmod(0)
    warehouse.take_in(listed(folder))
    assert warehouse.quarantine()["reason"].tolist() == ["unreadable"]


def test_a_file_above_max_bytes_is_not_opened(tmp_path, listed, counted, warehouse):
    folder = class_folders(tmp_path / "photos", cat=1)
    with (folder / "cat/huge.png").open("wb") as huge:
        huge.truncate(10 * 2**30)  # sparse: ten gigabytes that take no room
    photos = counted(listed(folder))
    warehouse.take_in(photos)
    assert photos.read_paths == ["cat/00.png"]
    [refused] = warehouse.quarantine().itertuples()
    assert (refused.reason, refused.n_bytes) == ("too_large", 10 * 2**30)
    assert "ingestion.max_bytes" in refused.detail


def test_chunks_hold_no_more_files_than_asked_for_and_lose_none(tmp_path, listed, warehouse):
    photos = listed(class_folders(tmp_path / "photos", cat=5, dog=5))
    chunks = warehouse.take_in(photos, IngestionParameters(workers=1, chunk_images=3))
    assert [len(chunk.files) for chunk in chunks] == [3, 3, 3, 1]
    assert len(list((warehouse.root / "images").iterdir())) == 4
    assert len(warehouse.manifest()) == 10


def test_the_chunk_size_changes_nothing_but_the_shards(tmp_path, listed, warehouse):
    photos = listed(class_folders(tmp_path / "photos", cat=5, dog=5))
    one, many = replace(warehouse, root=tmp_path / "one"), replace(warehouse, root=tmp_path / "many")
    one.take_in(photos)
    many.take_in(photos, IngestionParameters(workers=1, chunk_images=2))
    pd.testing.assert_frame_equal(one.manifest(), many.manifest())


def test_no_file_at_all_is_an_error(warehouse):
    with pytest.raises(VisionpipeError, match="no photos: the sources"):
        warehouse.take_in([])


def test_no_usable_file_is_an_error_that_counts_the_reasons_in_every_run(tmp_path, listed, warehouse):
    folder = tmp_path / "photos/cat"
    folder.mkdir(parents=True)
    for name in ("a.png", "b.png"):
        (folder / name).write_text(name)
    (folder / "c.png").touch()
    for _ in range(2):
        with pytest.raises(VisionpipeError, match="among 3 files: 2 undecodable, 1 empty"):
            warehouse.take_in(listed(folder.parent))


@pytest.mark.parametrize("name", ["split", "label", "source", "image_id", "confidence", "embedding"])
def test_an_attribute_named_like_a_column_of_ours_is_refused_before_anything_is_written(
    name, tmp_path, listed, warehouse
):
    [photo] = listed(class_folders(tmp_path / "photos", cat=1))
    clash = replace(photo, attributes={name: "x"})
    with pytest.raises(VisionpipeError, match=f"source mine: attribute '{name}' has the name of a column"):
        warehouse.take_in([photo, clash])
    assert not warehouse.root.exists()
    empty = pd.DataFrame(columns=["image_id"])
    with pytest.raises(VisionpipeError, match=name):
        list(receive([clash], empty, warehouse.labels, warehouse.files, ALONE))


def test_attributes_become_columns_of_the_manifest(tmp_path, listed, warehouse):
    first, second = listed(class_folders(tmp_path / "photos", cat=2))
    warehouse.take_in([replace(first, attributes={"camera": "new", "site": "A"}), second])
    manifest = warehouse.manifest()
    assert sorted(manifest["camera"].fillna("none")) == ["new", "none"]
    assert manifest.loc[manifest["camera"] == "new", "site"].tolist() == ["A"]


@pytest.mark.parametrize("name", [b"a b.png", "照片.png".encode(), b"two\nlines.png", b"\xff\xfe.png"])
def test_a_strange_file_name_reaches_every_table(name, tmp_path, listed, warehouse):
    folder = tmp_path / "photos" / os.fsdecode(b"caf\xe9")
    folder.mkdir(parents=True)
    (folder / os.fsdecode(name)).write_bytes(encode(picture(1), "PNG"))
    (folder / os.fsdecode(b"not " + name)).write_bytes(b"no photo")
    photos = listed(tmp_path / "photos")
    warehouse.take_in(photos)
    assert_all_accounted_for(warehouse, photos)
    assert (len(warehouse.manifest()), len(warehouse.quarantine())) == (1, 1)
    assert warehouse.manifest()["label"].tolist() == ["caf\\xe9"]
    assert warehouse.take_in(listed(tmp_path / "photos")) == [([], [], [])]


def test_the_same_bytes_at_two_paths_are_one_image_with_one_vote(tmp_path, listed, warehouse):
    folder = class_folders(tmp_path / "photos", cat=1)
    (folder / "cat/copy.png").write_bytes((folder / "cat/00.png").read_bytes())
    photos = listed(folder)
    warehouse.take_in(photos)
    assert_all_accounted_for(warehouse, photos)
    assert len(warehouse.labels) == 1
    assert warehouse.manifest()["label_confidence"].tolist() == [1.0]
