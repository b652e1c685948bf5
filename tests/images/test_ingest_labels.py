"""What sources say of an image: moves, contradictions, copies, and labels that change."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime

import pandas as pd

from photo_files import class_folders
from visionpipe.images.importers import LabelClaim, Source, iterate_photos
from visionpipe.images.parameters import IngestionParameters


def test_a_file_that_moved_to_another_class_is_relabelled(tmp_path, listed, warehouse):
    folder = class_folders(tmp_path / "photos", cat=3, dog=1)
    warehouse.take_in(listed(folder))
    for _ in range(2):  # and back again
        (folder / "cat/01.png").rename(folder / "dog/moved.png")
        warehouse.take_in(listed(folder))
        manifest = warehouse.manifest()
        assert sorted(manifest["label"]) == ["cat", "cat", "dog", "dog"]
        assert not manifest["contradicted"].any()
        (folder / "dog/moved.png").rename(folder / "cat/01.png")
        warehouse.take_in(listed(folder))
        assert sorted(warehouse.manifest()["label"]) == ["cat", "cat", "cat", "dog"]
    assert warehouse.take_in(listed(folder)) == [([], [], [])]


def test_a_photo_in_two_class_folders_is_a_contradiction_until_one_of_them_goes(tmp_path, listed, warehouse):
    folder = class_folders(tmp_path / "photos", cat=3, dog=1)
    warehouse.take_in(listed(folder))
    shutil.copy(folder / "cat/01.png", folder / "dog/copy.png")
    warehouse.take_in(listed(folder))
    assert warehouse.manifest()["contradicted"].sum() == 1
    tie = IngestionParameters(labels={"tie": "quarantine"})
    assert len(warehouse.manifest(tie)) == 3
    assert warehouse.quarantine(tie)["reason"].tolist() == ["tied_label"]
    (folder / "cat/01.png").unlink()
    warehouse.take_in(listed(folder))
    assert sorted(warehouse.manifest()["label"]) == ["cat", "cat", "dog", "dog"]
    assert not warehouse.manifest()["contradicted"].any()


def test_contradictions_within_one_run_are_found_in_that_run(tmp_path, listed, warehouse):
    folder = class_folders(tmp_path / "photos", a=2, b=3, c=1)
    shutil.copy(folder / "a/00.png", folder / "b/first.png")
    for number in (1, 2):
        shutil.copy(folder / f"b/0{number}.png", folder / f"c/copy{number}.png")
    warehouse.take_in(listed(folder))
    assert warehouse.manifest()["contradicted"].sum() == 3
    assert warehouse.take_in(listed(folder)) == [([], [], [])]


def test_labels_written_before_a_kill_are_not_taken_back_and_said_again(tmp_path, listed, warehouse):
    folder = class_folders(tmp_path / "photos", cat=2)
    (folder / "dog").mkdir()
    shutil.copy(folder / "cat/01.png", folder / "dog/copy.png")
    warehouse.take_in(listed(folder))
    whole = warehouse.labels
    for table in ("images", "files"):  # as if killed after the labels, which are saved first
        shutil.rmtree(warehouse.root / table)
    for photos in (listed(folder), listed(folder)[::-1]):
        warehouse.take_in(photos)
        pd.testing.assert_frame_equal(warehouse.labels, whole)


def test_a_copy_that_moves_takes_nothing_back(tmp_path, listed, warehouse):
    folder = class_folders(tmp_path / "photos", cat=2)
    (folder / "dog").mkdir()
    shutil.copy(folder / "cat/01.png", folder / "dog/copy.png")
    warehouse.take_in(listed(folder))
    whole = warehouse.labels
    (folder / "dog/copy.png").rename(folder / "dog/moved.png")
    warehouse.take_in(listed(folder))
    pd.testing.assert_frame_equal(warehouse.labels, whole)


def test_a_copy_in_another_folder_does_not_turn_the_older_label(tmp_path, listed, warehouse):
    folder = class_folders(tmp_path / "photos", hat=2, dress=1)
    warehouse.take_in(listed(folder))
    shutil.copy(folder / "hat/01.png", folder / "dress/copy.png")
    later = listed(folder, arrived_at=datetime(2026, 3, 1, tzinfo=UTC))
    warehouse.take_in(later)
    assert sorted(warehouse.manifest()["label"]) == ["dress", "hat", "hat"]
    assert warehouse.manifest()["contradicted"].sum() == 1


def test_an_importer_that_is_used_no_longer_falls_silent(tmp_path, listed, warehouse):
    photos = listed(class_folders(tmp_path / "photos", cat=3))
    warehouse.take_in(photos)
    by_table = [replace(photo, claims=(LabelClaim("Dog", annotator="table"),)) for photo in photos]
    warehouse.take_in(by_table)
    manifest = warehouse.manifest()
    assert manifest["label"].tolist() == ["Dog"] * 3
    assert manifest["label_confidence"].tolist() == [1.0] * 3
    assert not manifest["contradicted"].any()


def test_folder_and_table_that_agree_are_trusted_in_full(tmp_path, warehouse):
    folder = class_folders(tmp_path / "photos", cat=3, dog=3)
    rows = [f"{name}/{number:02d}.png,{name}" for name in ("cat", "dog") for number in range(3)]
    (folder / "labels.csv").write_text("\n".join(["image,label", *rows]))
    source = {"importer": "table", "table": "labels.csv", "path_column": "image", "label_column": "label"}
    options = Source(name="mine", path=folder, folder_labels=True, **source)
    warehouse.take_in(iterate_photos(options, datetime(2026, 1, 5, tzinfo=UTC)))
    manifest = warehouse.manifest()
    assert manifest["n_annotators"].tolist() == [2] * 6
    assert (manifest["label_confidence"] > 0.999).all()


def test_a_label_that_changed_is_taken_in_without_opening_the_file(tmp_path, listed, counted, warehouse):
    photos = listed(class_folders(tmp_path / "photos", cat=2))
    warehouse.take_in(photos)
    changed = counted([replace(photos[0], claims=(replace(photos[0].claims[0], label="dog"),)), photos[1]])
    warehouse.take_in(changed)
    assert changed.read_paths == []
    assert sorted(warehouse.manifest()["label"]) == ["cat", "dog"]
    assert warehouse.take_in(changed) == [([], [], [])]


def test_the_same_image_in_two_class_folders_is_a_visible_contradiction(tmp_path, listed, warehouse):
    folder = class_folders(tmp_path / "photos", cat=1, dog=1)
    (folder / "dog/cat.png").write_bytes((folder / "cat/00.png").read_bytes())
    warehouse.take_in(listed(folder))
    manifest = warehouse.manifest().set_index("label_confidence")
    assert sorted(manifest.index) == [0.5, 1.0]
    assert manifest.loc[0.5, "label"] == "cat"  # a tie goes to the first name
