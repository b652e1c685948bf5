"""Photos for scoring are received once, whatever a killed run left."""

from __future__ import annotations

from dataclasses import replace

import pytest

from photo_files import class_folders
from visionpipe.images import store
from visionpipe.images.ingest import receive
from visionpipe.images.parameters import IngestionParameters
from visionpipe.images.shards import append_shard

ALONE = IngestionParameters(workers=1)


class TestReceive:
    """Photos for scoring: kept, never split, and their late labels never lost."""

    @pytest.fixture
    def photos(self, tmp_path, listed):
        return listed(class_folders(tmp_path / "photos", cat=3))

    def receive(self, photos, warehouse):
        return list(receive(photos, warehouse.images, warehouse.labels, warehouse.files, ALONE))

    @staticmethod
    def append(warehouse, name, rows):
        schemas = {"images": store.IMAGE_SCHEMA, "labels": store.LABEL_SCHEMA, "files": store.FILE_SCHEMA}
        append_shard(warehouse.root / name, rows, schemas[name], prefix=name)

    def test_photos_without_a_label_are_kept(self, photos, warehouse):
        [chunk] = self.receive([replace(photo, claims=()) for photo in photos], warehouse)
        assert (len(chunk.images), len(chunk.labels), len(chunk.files)) == (3, 0, 3)
        assert {row["reason"] for row in chunk.files} == {None}

    def test_what_was_received_is_not_received_again(self, photos, warehouse):
        [chunk] = self.receive(photos, warehouse)
        for name in ("images", "labels", "files"):
            self.append(warehouse, name, getattr(chunk, name))
        assert self.receive(photos, warehouse) == [([], [], [])]

    @pytest.mark.parametrize("saved", [["images"], ["images", "labels"], ["labels"], []])
    def test_a_run_killed_between_two_saves_is_completed_by_the_next(self, saved, photos, warehouse):
        [whole] = self.receive(photos, warehouse)
        for name in saved:
            self.append(warehouse, name, getattr(whole, name))
        [rest] = self.receive(photos, warehouse)
        for name in ("images", "labels", "files"):
            assert len(getattr(rest, name)) == (0 if name in saved else 3), name
