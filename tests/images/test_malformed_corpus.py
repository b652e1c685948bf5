"""1,284 real malformed files: each gets a verdict, the same in every run, and each is accounted for once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from project_copy import ROOT
from visionpipe.images.importers import Photo
from visionpipe.images.inspect import Inspection
from visionpipe.images.inspection_pool import inspect_photos
from visionpipe.images.parameters import IngestionParameters
from visionpipe.images.prepare import decode_batches

EVERYTHING = IngestionParameters(formats=("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"), workers=1)


@pytest.fixture(scope="module")
def corpus() -> Path:
    folder = ROOT.parent / "shared/data/malformed"
    if not folder.is_dir():
        pytest.skip(f"needs the malformed files in {folder}, which the published repository does not hold")
    return folder


@pytest.fixture(scope="module")
def photos(corpus, listed) -> list[Photo]:
    return [photo for photo in listed(corpus) if photo.claims]


def test_every_file_gets_the_same_verdict_twice(photos):
    first = [verdict for _, _, verdict in inspect_photos(photos, EVERYTHING)]
    assert [verdict for _, _, verdict in inspect_photos(photos, EVERYTHING)] == first
    assert len(first) == len(photos) >= 1284


def test_worker_processes_survive_the_files_and_give_the_same_verdicts(photos):
    usual = [verdict for _, _, verdict in inspect_photos(photos, IngestionParameters(workers=1))]
    assert [verdict for _, _, verdict in inspect_photos(photos, IngestionParameters(workers=2))] == usual


def test_what_is_accepted_can_be_decoded_and_measured(photos):
    found = [
        (data, seen) for _, data, seen in inspect_photos(photos, EVERYTHING) if isinstance(seen, Inspection)
    ]
    assert len(found) > 100
    stored = {str(number): data for number, (data, _) in enumerate(found)}
    batches = list(decode_batches(lambda image_ids: iter(stored.items()), list(stored), 32))
    assert sum(len(pixels_BHWC) for _, pixels_BHWC in batches) == len(found)
    for _, seen in found:
        assert np.isfinite([seen.brightness, seen.contrast, seen.sharpness]).all()
        assert 0 <= seen.brightness <= 255


def test_every_file_is_in_the_manifest_or_in_quarantine(photos, warehouse):
    warehouse.take_in(photos, EVERYTHING)
    files, quarantine = warehouse.files, warehouse.quarantine(EVERYTHING)
    stored = files[files["reason"].isna()]
    assert len(files) == len(photos)
    assert set(stored["image_id"]) == set(warehouse.manifest(EVERYTHING)["image_id"])
    assert set(quarantine["path"]) | set(stored["path"]) == {photo.path for photo in photos}
    assert not set(quarantine["path"]) & set(stored["path"])
    before = warehouse.files
    warehouse.take_in(photos, EVERYTHING)
    pd.testing.assert_frame_equal(warehouse.files, before)
