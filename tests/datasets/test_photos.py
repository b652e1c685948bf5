"""Photo sources are checked and listed; the tables behind them only grow."""

from __future__ import annotations

import importlib.util
from datetime import UTC, datetime

import pytest
from kedro.io.core import DatasetError

from photo_files import class_folders, encode, picture
from visionpipe.datasets.photos import DecodedImages, PhotoSources, ShardedTable, StoredImages
from visionpipe.errors import VisionpipeError
from visionpipe.images.prepare import ImagePlan


def complaint(sources) -> str:
    """Return the one line that the command line prints of sources that cannot be read."""
    with pytest.raises(DatasetError) as error:
        PhotoSources(sources=sources).load()
    found = error.value.__cause__
    assert isinstance(found, VisionpipeError), repr(found)
    assert "\n" not in str(found)
    return str(found)


def test_sources_are_listed_one_after_another(tmp_path):
    folders = {name: class_folders(tmp_path / name, cat=1, dog=1) for name in ("second", "first")}
    sources = {name: {"importer": "folder", "path": str(folder)} for name, folder in folders.items()}
    photos = PhotoSources(sources=sources).load()
    assert [(photo.source, photo.claims[0].label) for photo in photos] == [
        ("second", "cat"),
        ("second", "dog"),
        ("first", "cat"),
        ("first", "dog"),
    ]


def test_photos_arrive_when_they_are_first_listed(tmp_path):
    folder = class_folders(tmp_path, cat=2)
    before = datetime.now(UTC).replace(microsecond=0)
    photos = PhotoSources(sources={"mine": {"importer": "folder", "path": str(folder)}}).load()
    assert len({photo.arrived_at for photo in photos}) == 1
    assert before <= photos[0].arrived_at <= datetime.now(UTC)


def test_an_unknown_importer_is_answered_with_those_there_are():
    line = complaint({"mine": {"importer": "telepathy", "path": "/photos"}})
    assert "sources.mine.importer" in line
    assert "'folder', 'table', 'coco', " in line


def test_credentials_are_in_no_description(tmp_path):
    options = {"importer": "folder", "path": "s3://b/x", "storage_options": {"secret": "s3cr3t"}}
    assert "s3cr3t" not in repr(PhotoSources(sources={"mine": options}))


def test_a_misspelt_option_is_named():
    said = complaint({"mine": {"importer": "folder", "pth": "/photos"}})
    assert said == "catalog: sources.mine.pth: unknown key; did you mean 'path'?"


def test_an_empty_choice_is_named():
    assert "where.cell_type" in complaint({"cells": {"importer": "elpv", "where": {"cell_type": []}}})


@pytest.mark.parametrize("sources", [None, [], "photos", {"mine": None}, {"mine": "/photos"}])
def test_sources_of_another_shape_are_answered_with_an_example(sources):
    assert "importer: folder" in complaint(sources)


def test_a_source_of_another_shape_gives_away_no_password_of_the_next():
    said = complaint({"a": {"importer": "folder", "storage_options": {"secret": "s3cr3t"}}, "b": "/photos"})
    assert "b is no section" in said
    assert "s3cr3t" not in said


def test_a_missing_folder_is_named(tmp_path):
    line = complaint({"mine": {"importer": "folder", "path": str(tmp_path / "gone")}})
    assert line == f"source mine: {tmp_path / 'gone'} is not a folder"


def test_a_missing_package_is_answered_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "pip install elpv-dataset" in complaint({"cells": {"importer": "elpv"}})


def test_photos_are_not_ours_to_change():
    for dataset in (PhotoSources(sources={}), StoredImages(path="images")):
        with pytest.raises(DatasetError, match="read only"):
            dataset.save(object())


def test_a_table_that_was_never_written_is_empty_and_has_its_columns(tmp_path):
    for table in ("images", "labels", "files"):
        loaded = ShardedTable(path=str(tmp_path / table), table=table).load()
        assert len(loaded) == 0
        assert len(loaded.columns) > 5


def test_a_table_grows_by_a_shard_a_save_and_by_none_for_no_rows(tmp_path):
    dataset = ShardedTable(path=str(tmp_path / "labels"), table="labels")
    dataset.save([{"image_id": "a", "label": "cat"}])
    dataset.save([])
    dataset.save([{"image_id": "b", "label": "dog"}, {"image_id": "a", "label": "dog"}])
    assert dataset.load()[["image_id", "label"]].to_numpy().tolist() == [
        ["a", "cat"],
        ["b", "dog"],
        ["a", "dog"],
    ]
    assert len(list((tmp_path / "labels").iterdir())) == 2


def test_saving_no_rows_still_makes_the_folder_for_dvc(tmp_path):
    dataset = ShardedTable(path=str(tmp_path / "labels"), table="labels")
    dataset.save([])
    assert list((tmp_path / "labels").iterdir()) == []


def test_stored_images_are_streamed_by_id_and_decoded_once(tmp_path):
    files = {name: encode(picture(seed), "PNG") for seed, name in enumerate("ab")}
    ShardedTable(path=str(tmp_path / "images"), table="images").save(
        [{"image_id": name, "image": {"bytes": data, "path": name}} for name, data in files.items()]
    )
    read = StoredImages(path=str(tmp_path / "images")).load()
    assert dict(read(["b", "a"])) == files
    prepared = DecodedImages(path=str(tmp_path / "prepared"))
    prepared.save(ImagePlan(("b", "a"), 16, read))
    assert prepared.load().image_ids == ("b", "a")
    assert prepared.load().pixels_NHWC.shape == (2, 16, 16, 3)
