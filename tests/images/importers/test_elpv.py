"""The demo's photos are read as their authors publish them."""

from __future__ import annotations

import importlib.util
from datetime import UTC, datetime

import numpy as np
import pytest

from visionpipe.errors import VisionpipeError
from visionpipe.images.importers import Source, iterate_photos

NOW = datetime(2026, 1, 5, tzinfo=UTC)


def test_elpv_is_read_as_its_authors_publish_it(elpv):
    published = np.genfromtxt(elpv / "labels.csv", dtype=None, encoding="utf-8", names="path,p,cell")
    photos = list(iterate_photos(Source(name="cells", importer="elpv"), NOW))
    assert len(photos) == 2624
    assert [photo.path for photo in photos] == list(published["path"])
    assert [photo.claims[0].label == "defective" for photo in photos] == list(published["p"] > 0.5)
    assert [photo.attributes["cell_type"] for photo in photos] == list(published["cell"])
    np.testing.assert_allclose(
        [photo.claims[0].confidence for photo in photos], np.maximum(published["p"], 1 - published["p"])
    )
    assert photos[0].read() == (elpv / photos[0].path).read_bytes()


def test_where_keeps_only_the_wanted_cells(elpv):
    def cells(**where):
        return list(iterate_photos(Source(name="cells", importer="elpv", where=where), NOW))

    mono, poly = cells(cell_type=["mono"]), cells(cell_type=["poly"])
    assert (len(mono), len(poly)) == (1074, 1550)
    assert {photo.attributes["cell_type"] for photo in mono} == {"mono"}
    with pytest.raises(VisionpipeError, match=r"no.* attribute 'celltype'; there are: cell_type"):
        cells(celltype=["mono"])


def test_the_missing_demo_extra_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(VisionpipeError, match="pip install elpv-dataset"):
        list(iterate_photos(Source(name="cells", importer="elpv"), NOW))
