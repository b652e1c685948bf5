"""A corrupted photo is what a bad day would have made of it, as scipy and the standards have it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from visionpipe.models.examination.corruptions import CORRUPTIONS, STRENGTHS, corrupt

SIDE_PX = 112  # half of 224: blur is scaled by a half


@pytest.fixture(scope="module")
def photos():
    """Smooth scenes with an edge, away from black and white."""
    random = np.random.default_rng(0)
    fields = ndimage.gaussian_filter(random.normal(size=(3, SIDE_PX, SIDE_PX, 3)), (0, 6, 6, 0))
    scenes = 120 + 40 * fields / np.abs(fields).max()
    scenes[:, 30:70, 40:90] += 40
    return scenes.round().astype(np.uint8)


def flat(value, n=2):
    return np.full((n, 64, 64, 3), value, dtype=np.uint8)


def distance(changed, photos):
    return np.abs(changed.astype(float) - photos).mean()


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_each_strength_changes_more_than_the_one_before(name, photos):
    found = [distance(corrupt(photos, name, strength, seed=0), photos) for strength in STRENGTHS]
    assert found[0] > 0.1
    assert found == sorted(found)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_same_seed_gives_the_same_bytes_and_the_photos_are_left_alone(name, photos):
    before = photos.copy()
    photos.setflags(write=False)
    changed = corrupt(photos, name, 3, seed=7)
    np.testing.assert_array_equal(changed, corrupt(photos, name, 3, seed=7))
    np.testing.assert_array_equal(photos, before)
    assert (changed.shape, changed.dtype) == (photos.shape, np.uint8)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_no_photo_is_no_trouble(name, photos):
    assert corrupt(photos[:0], name, 1, seed=0).shape == (0, SIDE_PX, SIDE_PX, 3)


@pytest.mark.parametrize("name", ["noise", "fog", "rotation"])
def test_chance_is_the_seeds(name, photos):
    assert distance(corrupt(photos, name, 3, seed=1), corrupt(photos, name, 3, seed=2)) > 0.5


def test_blur_is_a_gaussian_of_the_stated_width(photos):
    for strength in STRENGTHS:
        sigma_px = CORRUPTIONS["blur"].amounts[strength - 1] / 2
        expected = ndimage.gaussian_filter(
            photos.astype(float), (0, sigma_px, sigma_px, 0), mode="nearest", radius=(0, 20, 20, 0)
        )
        assert np.abs(corrupt(photos, "blur", strength, seed=0) - expected).max() <= 1.5


def test_noise_has_the_stated_deviation_and_grows_in_place():
    weak, strong = (corrupt(flat(128), "noise", strength, seed=0) / 255.0 for strength in (1, 2))
    assert weak.std() == pytest.approx(0.08, rel=0.03)
    grey, unclipped = 128 / 255, (strong > 0) & (strong < 1)
    np.testing.assert_allclose((strong - grey)[unclipped] / 0.12, (weak - grey)[unclipped] / 0.08, atol=0.1)


def test_a_stop_is_a_factor_of_two_of_light():
    """In sRGB 188 is half the light of 255, 137 a quarter and 99 an eighth."""
    stops = dict(zip(CORRUPTIONS["dark"].amounts, STRENGTHS, strict=True))
    assert np.unique(corrupt(flat(255), "dark", stops[-1], seed=0)) == [188]
    assert np.unique(corrupt(flat(255), "dark", stops[-2], seed=0)) == [137]
    assert np.unique(corrupt(flat(255), "dark", stops[-3], seed=0)) == [99]
    stops = dict(zip(CORRUPTIONS["bright"].amounts, STRENGTHS, strict=True))
    assert np.unique(corrupt(flat(137), "bright", stops[1], seed=0)) == [188]
    assert np.unique(corrupt(flat(137), "bright", stops[2], seed=0)) == [255]
    assert np.unique(corrupt(flat(0), "bright", stops[2], seed=0)) == [0]


def test_fog_is_white_and_takes_contrast_away(photos):
    np.testing.assert_array_equal(corrupt(flat(255), "fog", 5, seed=0), flat(255))
    thickness = CORRUPTIONS["fog"].amounts[2]
    haze = corrupt(flat(0), "fog", 3, seed=0) / 255.0
    assert haze.min() == pytest.approx(1 - np.exp(-0.5 * thickness), abs=0.003)
    assert haze.max() == pytest.approx(1 - np.exp(-1.5 * thickness), abs=0.003)
    assert np.abs(np.diff(haze, axis=1)).max() < 0.1, "fog has no edges"


def test_a_photo_is_turned_by_the_stated_angle_either_way(photos):
    turned = corrupt(np.repeat(photos[:1], 12, axis=0), "rotation", 3, seed=0)
    inside = slice(SIDE_PX // 4, 3 * SIDE_PX // 4)
    ways = [
        ndimage.rotate(photos[0].astype(float), degrees, axes=(0, 1), reshape=False, order=1, mode="mirror")
        for degrees in (15, -15)
    ]
    nearest = [
        int(np.argmin([np.abs(one[inside, inside] - way[inside, inside]).mean() for way in ways]))
        for one in turned
    ]
    assert set(nearest) == {0, 1}
    for one, way in zip(turned, nearest, strict=True):
        assert np.abs(one[inside, inside] - ways[way][inside, inside]).mean() < 1
