"""What the store has lost comes back from the sources, and the log says so."""

from __future__ import annotations

import shutil

import pandas as pd
import pytest

from photo_files import class_folders
from visionpipe.images.ingest import receive
from visionpipe.images.parameters import IngestionParameters

IN_TWOS = IngestionParameters(workers=1, chunk_images=2)


def shards(warehouse):
    return sorted((warehouse.root / "images").iterdir())


def test_photos_whose_shard_was_deleted_are_taken_in_again(tmp_path, listed, counted, warehouse, caplog):
    folder = class_folders(tmp_path / "photos", cat=3, dog=3)
    warehouse.take_in(listed(folder), IN_TWOS)
    before = warehouse.manifest()
    assert "not in the store" not in caplog.text
    shards(warehouse)[1].unlink()
    photos = counted(listed(folder))
    warehouse.take_in(photos, IN_TWOS)
    assert photos.read_paths == ["cat/02.png", "dog/00.png"]
    assert "2 photos were stored once and not in the store any more" in caplog.text
    pd.testing.assert_frame_equal(warehouse.manifest(), before)
    assert warehouse.quarantine().empty
    caplog.clear()
    assert warehouse.take_in(listed(folder), IN_TWOS) == [([], [], [])]
    assert "not in the store" not in caplog.text


def test_a_store_that_was_emptied_is_filled_again(tmp_path, listed, warehouse):
    folder = class_folders(tmp_path / "photos", cat=3)
    warehouse.take_in(listed(folder))
    before = warehouse.manifest()
    shutil.rmtree(warehouse.root / "images")
    warehouse.take_in(listed(folder))
    pd.testing.assert_frame_equal(warehouse.manifest(), before)


def test_a_lost_photo_that_no_source_holds_any_more_is_counted(tmp_path, listed, warehouse, caplog):
    folder = class_folders(tmp_path / "photos", cat=3)
    warehouse.take_in(listed(folder), IN_TWOS)
    shards(warehouse)[1].unlink()
    (folder / "cat/02.png").unlink()
    warehouse.take_in(listed(folder), IN_TWOS)
    assert "1 photo was stored once and not in the store any more" in caplog.text
    assert len(warehouse.manifest()) == 2


@pytest.mark.parametrize("n_kept", [0, 2])
def test_an_arrival_that_was_lost_is_received_again(n_kept, tmp_path, listed, warehouse, caplog):
    photos = listed(class_folders(tmp_path / "photos", cat=3))
    warehouse.take_in(photos)
    kept = warehouse.images.head(n_kept)
    [chunk] = receive(
        photos, kept, warehouse.labels, warehouse.files, IN_TWOS.model_copy(update={"chunk_images": 9})
    )
    assert len(chunk.images) == 3 - n_kept
    assert f"{3 - n_kept} photo" in caplog.text
