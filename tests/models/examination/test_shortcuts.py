"""What is looked at in the photos and their manifest for shortcuts, of which a model may have learned any."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from visionpipe.images.prepare import PreparedImages
from visionpipe.metrics.parameters import EvaluationParameters
from visionpipe.metrics.shortcuts import border_features, border_width
from visionpipe.models.examination.shortcuts import hide, shortcuts

N = 300
LABELS = np.array(["ok"] * (N - 24) + ["defect"] * 24)
IS_OK = LABELS == "ok"
RANDOM = np.random.default_rng(0)


def found_in(**columns):
    """Look for shortcuts among photos of noise with such columns in the manifest."""
    ids = tuple(f"image-{i}" for i in range(N))
    pixels = np.random.default_rng(1).integers(0, 256, (N, 32, 32, 3), dtype=np.uint8)
    manifest = pd.DataFrame({"image_id": ids, "label": LABELS, "group_id": ids, "source": "line"} | columns)
    found = shortcuts(manifest, PreparedImages(ids, pixels), EvaluationParameters(resamples=100))
    return {entry["name"]: (entry["verdict"], entry["balanced_accuracy"]["estimate"]) for entry in found}


@pytest.mark.parametrize(
    "name, columns",
    [
        (
            "image size and format",
            {"width": np.where(IS_OK, 600, RANDOM.integers(601, 800, N)), "format": "JPEG"},
        ),
        ("file size", {"n_bytes": np.where(IS_OK, 1_080_054, RANDOM.integers(1_100_000, 2_000_000, N))}),
        (
            "temperature",
            {"temperature": [f"{t:.2f}" for t in np.where(IS_OK, 20, 40) + RANDOM.normal(size=N)]},
        ),
    ],
)
def test_numbers_that_tell_the_label_are_found(name, columns):
    """More than nine photos in ten are of one width or one file size; a measurement is text, as importers keep it."""
    found = found_in(**columns)
    assert list(found) == ["border of the photo", name]
    assert found["border of the photo"][0] == "no sign"
    verdict, balanced_accuracy = found[name]
    assert verdict == "predicts the label"
    assert balanced_accuracy > 0.95


def test_what_is_the_same_of_all_photos_is_not_listed():
    assert list(found_in(width=600, height=400, format="JPEG", camera="north")) == ["border of the photo"]


@pytest.mark.parametrize("side", [5, 32, 64, 100])
@pytest.mark.parametrize("border", [0.01, 0.03, 0.1, 0.15, 0.3, 0.48])
def test_the_border_is_as_wide_as_the_one_that_is_hidden(border, side):
    """It knows nothing of the centre, and of each of its own pixels something."""
    photos = np.random.default_rng(0).integers(0, 256, (4, side, side, 3), dtype=np.uint8)
    known = border_features(photos, border)
    np.testing.assert_array_equal(known, border_features(hide(photos, border, centre=True), border))
    for inwards in range(border_width(side, border)):
        for place in (0, side // 2):
            others = photos.copy()
            others[:, inwards, place] = others[:, place, -1 - inwards] = 255 - photos[:, inwards, place]
            assert (border_features(others, border) != known).any()
