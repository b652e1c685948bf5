"""Inspection in worker processes gives what inspection in this process gives, in the same order."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from photo_files import class_folders
from visionpipe.images.inspection_pool import inspect_photos
from visionpipe.images.parameters import IngestionParameters


def test_worker_processes_change_nothing(tmp_path, listed, warehouse):
    folder = class_folders(tmp_path / "photos", cat=80, dog=70)
    (folder / "cat/05.png").write_text("no photo")
    (folder / "dog/gone.png").symlink_to(tmp_path / "nowhere")
    with (folder / "dog/huge.png").open("wb") as huge:
        huge.truncate(2**30)
    photos = listed(folder)
    alone = IngestionParameters(workers=1, chunk_images=60)
    together = IngestionParameters(workers=2, chunk_images=60)
    expected = list(inspect_photos(photos, alone))
    assert list(inspect_photos(photos, together)) == expected
    assert len(expected) == 152

    one, two = replace(warehouse, root=tmp_path / "one"), replace(warehouse, root=tmp_path / "two")
    one.take_in(photos, alone)
    two.take_in(photos, together)
    pd.testing.assert_frame_equal(one.manifest(), two.manifest())
    pd.testing.assert_frame_equal(one.quarantine(), two.quarantine())
    assert len(one.manifest()) == 149
