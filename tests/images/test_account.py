"""What the log says of an ingestion is true, and said once."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from photo_files import class_folders
from visionpipe.images.account import log_moved
from visionpipe.images.parameters import IngestionParameters


@pytest.fixture
def said(caplog):
    caplog.set_level(logging.INFO, "visionpipe.images.account")

    def since_last() -> list[str]:
        found = [r.getMessage() for r in caplog.records if r.name == "visionpipe.images.account"]
        caplog.clear()
        return found

    return since_last


def test_what_is_in_quarantine_is_counted_by_reason_and_a_second_run_says_that_nothing_is_new(
    tmp_path, listed, warehouse, said
):
    folder = class_folders(tmp_path / "photos", cat=3, dog=3)
    (folder / "cat/00.png").write_text("no photo")
    (folder / "dog/empty.png").touch()
    (folder / "README.md").write_text("mine")
    warehouse.take_in(listed(folder))
    [line] = said()
    assert line.startswith("3 of 8 files are in quarantine")
    assert line.endswith(": 2 undecodable, 1 empty")
    warehouse.take_in(listed(folder))
    assert said() == ["nothing new: all 8 files are known"]


def test_of_one_file_the_log_speaks_in_the_singular(tmp_path, listed, warehouse, said):
    folder = class_folders(tmp_path / "photos", cat=1)
    for _ in range(2):
        warehouse.take_in(listed(folder))
    assert said() == ["nothing new: the one file is known"]


def test_photos_that_are_gone_or_replaced_are_counted_and_moved_ones_are_not(
    tmp_path, listed, warehouse, said
):
    folder = class_folders(tmp_path / "photos", cat=3, dog=3)
    warehouse.take_in(listed(folder))
    said()
    (folder / "cat/00.png").unlink()
    (folder / "cat/01.png").rename(folder / "cat/moved.png")
    (folder / "cat/02.png").touch()
    for _ in range(2):
        warehouse.take_in(listed(folder))
        assert "1 stored photo is no longer in the sources; what was taken in stays in use" in said()
    assert len(warehouse.manifest()) == 6


def test_a_label_that_is_taken_back_stays_and_is_named(tmp_path, listed, warehouse, said):
    photos = listed(class_folders(tmp_path / "photos", cat=3, dog=3))
    warehouse.take_in(photos)
    said()
    without = [replace(photo, claims=()) if photo.path == "cat/01.png" else photo for photo in photos]
    warehouse.take_in(without)
    assert [line for line in said() if "label" in line] == [
        "the sources no longer say a label of 1 stored photo (cat/01.png); each keeps the one it had until another "
        "one is said"
    ]
    assert warehouse.manifest()["label"].value_counts().to_dict() == {"cat": 3, "dog": 3}


def test_labels_that_contradict_each_other_are_named_with_the_one_that_was_taken(
    tmp_path, listed, warehouse, said
):
    from visionpipe.images.account import log_contradictions

    folder = class_folders(tmp_path / "photos", cat=3, dog=3)
    (folder / "dog/copy.png").write_bytes((folder / "cat/00.png").read_bytes())
    warehouse.take_in(listed(folder))
    said()
    log_contradictions(warehouse.manifest(), warehouse.images)
    [line] = said()
    assert line == (
        "1 image has labels that contradict each other, and one was taken (cat/00.png: cat); validation lists them all"
    )


def test_photos_that_other_split_settings_moved_are_counted_as_moved_and_not_as_left_alone(
    tmp_path, listed, warehouse, caplog
):
    photos = listed(class_folders(tmp_path / "photos", cat=20, dog=20))
    warehouse.take_in(photos)
    before = warehouse.manifest().set_index("image_id")["split"]
    assert warehouse.images.set_index("image_id")["first_split"].to_dict() == before.to_dict()
    log_moved(warehouse.manifest(), warehouse.images)
    assert "another split" not in caplog.text
    larger = IngestionParameters(workers=1, split={"test": 0.5}, labels={"tie": "quarantine"})
    warehouse.take_in(photos, larger)
    after = warehouse.manifest(larger).set_index("image_id")["split"]
    log_moved(warehouse.manifest(larger), warehouse.images)
    n_moved, n_learned = (before != after).sum(), ((before == "train") & (after == "test")).sum()
    assert n_moved > n_learned > 0
    assert f"{n_moved} stored photos are in another split" in caplog.text
    assert f"{n_learned} of them went from train to test" in caplog.text
    assert "stay as they are" not in caplog.text
