"""Inspection in worker processes gives what inspection in this process gives, in the same order."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from multiprocessing import active_children

import pandas as pd
import pytest

from photo_files import class_folders
from photo_readers import devour, die, hang
from visionpipe.errors import VisionpipeError
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


@pytest.mark.parametrize(
    ("read", "reason", "timeout_s"),
    [(die, "decoder_died", 60), (hang, "decoder_hung", 1), (devour, "out_of_memory", 60)],
)
def test_a_decoder_that_dies_hangs_or_devours_memory_costs_one_file(
    read, reason, timeout_s, tmp_path, listed
):
    photos = listed(class_folders(tmp_path / "photos", cat=40, dog=30))
    limits = IngestionParameters(workers=2, file_timeout_s=timeout_s, worker_memory_mb=1024)
    expected = [verdict for _, _, verdict in inspect_photos(photos, limits)]
    photos[33] = replace(photos[33], read=read)
    found = [verdict for _, _, verdict in inspect_photos(photos, limits)]
    assert found[33].reason == reason
    assert found[:33] + found[34:] == expected[:33] + expected[34:]


def test_a_defect_of_ours_is_no_verdict_on_the_file(tmp_path, listed):
    [photo] = listed(class_folders(tmp_path / "photos", cat=1))
    with pytest.raises(TypeError):
        list(inspect_photos([replace(photo, read=len)], IngestionParameters()))


def test_a_script_needs_no_guard_and_stays_what_it_was(tmp_path):
    folder = class_folders(tmp_path / "photos", cat=3)
    script = tmp_path / "run.py"
    script.write_text(
        """
import sys
from datetime import UTC, datetime
from pathlib import Path
from visionpipe.images.importers import Source, iterate_photos
from visionpipe.errors import VisionpipeError
from visionpipe.images.inspection_pool import inspect_photos
from visionpipe.images.parameters import IngestionParameters

print("begins")
photos = iterate_photos(Source(name="mine", importer="folder", path=Path(sys.argv[1])), datetime.now(UTC))
print(sum(1 for _ in inspect_photos(list(photos), IngestionParameters(workers=2))))
print(Path(sys.modules["__main__"].__file__).name)
"""
    )
    run = subprocess.run([sys.executable, script, folder], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["begins", "3", "run.py"]


def test_a_reader_that_workers_cannot_import_is_refused_in_one_line(tmp_path, listed):
    [photo] = listed(class_folders(tmp_path / "photos", cat=1))
    own = type("Own", (), {"__module__": "__main__", "__call__": lambda self: b""})
    with pytest.raises(VisionpipeError, match=r"is read by Own of the main script.*define it in a module"):
        list(inspect_photos([replace(photo, read=own())], IngestionParameters(workers=1)))


def test_no_worker_outlives_the_run(tmp_path, listed):
    photos = listed(class_folders(tmp_path / "photos", cat=40))
    list(inspect_photos(photos, IngestionParameters(workers=2)))
    assert not [child for child in active_children() if "Pool" in type(child).__name__]
