"""A second run opens only what is new, changed or mended, and takes back what no longer holds."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from photo_files import class_folders, encode, picture
from photo_readers import deny, die
from visionpipe.images import ingest
from visionpipe.images.inspect import Refusal
from visionpipe.images.parameters import IngestionParameters


def test_a_second_run_opens_no_file_and_appends_nothing(tmp_path, listed, counted, warehouse):
    folder = class_folders(tmp_path / "photos", cat=3)
    (folder / "cat/text.png").write_text("no photo")
    (folder / "stray.png").write_bytes(encode(picture(90), "PNG"))
    first = counted(listed(folder))
    warehouse.take_in(first)
    assert len(first.read_paths) == 5
    second = counted(listed(folder))
    assert warehouse.take_in(second) == [([], [], [])]
    assert second.read_paths == []


def test_only_a_new_or_changed_file_is_opened(tmp_path, listed, counted, warehouse):
    folder = class_folders(tmp_path / "photos", cat=3)
    warehouse.take_in(listed(folder))
    (folder / "cat/new.png").write_bytes(encode(picture(50), "PNG"))
    (folder / "cat/01.png").write_bytes(encode(picture(51), "PNG"))
    photos = counted(listed(folder))
    warehouse.take_in(photos)
    assert photos.read_paths == ["cat/01.png", "cat/new.png"]
    assert len(warehouse.manifest()) == 5  # the store only grows: what 01.png was is still there


def test_a_file_of_the_same_size_that_was_touched_is_opened(tmp_path, listed, counted, warehouse):
    folder = class_folders(tmp_path / "photos", cat=1)
    warehouse.take_in(listed(folder))
    os.utime(folder / "cat/00.png", ns=(1, 1))
    photos = counted(listed(folder))
    warehouse.take_in(photos)
    assert photos.read_paths == ["cat/00.png"]
    assert len(warehouse.images) == len(warehouse.labels) == 1


def test_a_mended_file_leaves_quarantine(tmp_path, listed, warehouse):
    folder = class_folders(tmp_path / "photos", cat=1)
    whole = encode(picture(60), "PNG")
    (folder / "cat/cut.png").write_bytes(whole[:100])
    warehouse.take_in(listed(folder))
    assert warehouse.quarantine()["path"].tolist() == ["cat/cut.png"]
    (folder / "cat/cut.png").write_bytes(whole)
    warehouse.take_in(listed(folder))
    assert warehouse.quarantine().empty
    assert len(warehouse.manifest()) == 2


def test_a_file_refused_under_other_limits_is_looked_at_again(tmp_path, listed, counted, warehouse):
    folder = class_folders(tmp_path / "photos", cat=2)
    (folder / "cat/small.png").write_bytes(encode(picture(60, 20, 20), "PNG"))
    warehouse.take_in(listed(folder))
    assert len(warehouse.manifest()) == 2
    wider = IngestionParameters(workers=1, min_side_px=16)
    photos = counted(listed(folder))
    warehouse.take_in(photos, wider)
    assert photos.read_paths == ["cat/small.png"]
    assert len(warehouse.manifest()) == 3
    assert warehouse.quarantine().empty


def test_photos_taken_in_under_other_rules_are_counted(tmp_path, listed, warehouse, caplog):
    photos = listed(class_folders(tmp_path / "photos", cat=4))
    warehouse.take_in(photos)
    assert "other settings" not in caplog.text
    warehouse.take_in(photos, IngestionParameters(rules={"dark": {"action": "quarantine"}}))
    assert "4 stored photos were taken in under other settings" in caplog.text


def test_a_row_whose_image_came_leaves_quarantine_and_one_that_was_mended_is_looked_at(
    tmp_path, listed, warehouse
):
    photos = listed(class_folders(tmp_path / "photos", cat=3))
    row = replace(photos[0], path="labels.csv row 7", refusal=("no_image", "no file is called x.png"))
    mended = replace(photos[1], refusal=("bad_row", "confidence is 7"))
    warehouse.take_in([photos[0], mended, row])
    assert sorted(warehouse.quarantine()["reason"]) == ["bad_row", "no_image"]
    warehouse.take_in(photos)
    assert warehouse.quarantine().empty
    assert len(warehouse.manifest()) == 3


def test_a_refused_file_that_was_deleted_leaves_quarantine_and_may_come_back(tmp_path, listed, warehouse):
    folder = class_folders(tmp_path / "photos", cat=2)
    (folder / "cat/text.png").write_text("no photo")
    before = (folder / "cat/text.png").stat()
    for _ in range(2):
        warehouse.take_in(listed(folder))
        assert warehouse.quarantine()["path"].tolist() == ["cat/text.png"]
        (folder / "cat/text.png").unlink()
        warehouse.take_in(listed(folder))
        assert warehouse.quarantine().empty
        assert warehouse.take_in(listed(folder)) == [([], [], [])]
        (folder / "cat/text.png").write_text("no photo")
        os.utime(folder / "cat/text.png", ns=(before.st_mtime_ns, before.st_mtime_ns))


def test_chunk_size_and_workers_are_no_limits(tmp_path, listed, counted, warehouse):
    folder = class_folders(tmp_path / "photos", cat=1)
    (folder / "cat/text.png").write_text("no photo")
    warehouse.take_in(listed(folder))
    photos = counted(listed(folder))
    warehouse.take_in(photos, IngestionParameters(workers=2, chunk_images=7))
    assert photos.read_paths == []


def test_a_file_that_cannot_be_read_is_tried_again_and_listed_once(tmp_path, listed, counted, warehouse):
    folder = class_folders(tmp_path / "photos", cat=2)
    first, second = listed(folder)
    for _ in range(3):
        warehouse.take_in([first, replace(second, read=deny)])
    assert warehouse.quarantine()[["path", "reason", "detail"]].to_numpy().tolist() == [
        ["cat/01.png", "unreadable", "PermissionError: Permission denied"]
    ]
    assert len(warehouse.files) == 2  # two files, two rows, after three runs
    warehouse.take_in([first, second])
    assert warehouse.quarantine().empty
    assert len(warehouse.manifest()) == 2


@pytest.mark.parametrize("reason", ["decoder_hung", "decoder_died", "out_of_memory"])
def test_a_decoder_s_failure_is_believed_when_it_comes_twice(
    reason, tmp_path, listed, warehouse, monkeypatch
):
    """A slow server or a full memory may be the cause; what truly hangs must not cost its time in every run."""
    photos = listed(class_folders(tmp_path / "photos", cat=2))

    def fail(photos, parameters):
        for photo in photos:
            tried.append(photo.path)
            yield photo, b"", Refusal(reason, f"try {len(tried)}", sha256="", n_bytes=photo.n_bytes)

    tried: list[str] = []
    warehouse.take_in(photos[:1])
    with monkeypatch.context() as patch:
        patch.setattr(ingest, "inspect_photos", fail)
        for _ in range(4):
            warehouse.take_in(photos)
    assert tried == ["cat/01.png"] * 2
    assert warehouse.quarantine()[["path", "reason"]].to_numpy().tolist() == [["cat/01.png", reason]]
    raised = IngestionParameters(workers=1, file_timeout_s=90)
    warehouse.take_in(photos, raised)
    assert warehouse.quarantine(raised).empty
    assert len(warehouse.manifest(raised)) == 2


def test_a_file_whose_decoder_failed_once_enters_when_it_does_well(tmp_path, listed, warehouse):
    first, second = listed(class_folders(tmp_path / "photos", cat=2))
    warehouse.take_in([first, replace(second, read=die)])
    assert warehouse.quarantine()["reason"].tolist() == ["decoder_died"]
    warehouse.take_in([first, second])
    assert warehouse.quarantine().empty
    assert len(warehouse.manifest()) == 2
