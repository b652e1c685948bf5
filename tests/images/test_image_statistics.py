"""The statistics of a photo against numpy and scipy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from PIL import Image
from scipy import ndimage
from scipy.fft import dctn
from scipy.fftpack import dct

from photo_files import encode, picture
from visionpipe.images.inspect import Inspection, inspect_photo
from visionpipe.images.measurements import _dct_hash
from visionpipe.images.parameters import IngestionParameters

ANY_CONTENT = IngestionParameters(rules={"blank": {"action": "ignore"}})


def inspect(image: Image.Image, file_format: str = "PNG", **options) -> Inspection:
    _, seen = inspect_photo(encode(image, file_format, **options), ANY_CONTENT)
    assert isinstance(seen, Inspection)
    return seen


@pytest.mark.parametrize("seed", range(5))
def test_brightness_contrast_and_sharpness_are_those_of_numpy_and_scipy(seed):
    grey = picture(seed, 192, 192).convert("L")  # 192 px: measured as it is, without scaling
    luma = np.asarray(grey, dtype=np.float64)
    seen = inspect(grey)
    assert seen.brightness == pytest.approx(luma.mean(), abs=1e-3)
    assert seen.contrast == pytest.approx(luma.std(), abs=1e-3)
    assert seen.sharpness == pytest.approx(ndimage.laplace(luma)[1:-1, 1:-1].var(), rel=1e-5)


def test_brightness_is_luma_not_the_mean_of_the_channels():
    rgb = np.asarray(picture(3, 192, 192), dtype=np.float64)
    luma = rgb @ [0.299, 0.587, 0.114]  # ITU-R BT.601
    assert inspect(picture(3, 192, 192)).brightness == pytest.approx(luma.mean(), abs=0.5)


@pytest.mark.parametrize("seed", range(5))
def test_the_perceptual_hash_is_the_sign_of_low_frequencies(seed):
    grey = picture(seed, 192, 192).convert("L")
    blocks = np.asarray(grey, dtype=np.float64).reshape(64, 3, 64, 3).mean(axis=(1, 3))
    frequencies = dct(dct(blocks, axis=0, norm="ortho"), axis=1, norm="ortho")[:16, :16].ravel()
    above_median = frequencies - np.median(frequencies[1:])
    found = np.unpackbits(np.frombuffer(bytes.fromhex(inspect(grey).perceptual_hash), dtype=np.uint8))
    clear = abs(above_median) > 1.2  # the photo is rounded to whole greys before the transform
    assert clear.mean() > 0.5
    assert ((above_median > 0) == found)[clear].all()


def test_a_blurred_photo_is_less_sharp_and_a_dark_one_less_bright():
    photo = picture(4, 192, 192)
    blurred = Image.fromarray(ndimage.gaussian_filter(np.asarray(photo), (2, 2, 0)))
    dark = Image.fromarray(np.asarray(photo) // 2)
    assert inspect(blurred).sharpness < inspect(photo).sharpness / 4
    assert inspect(dark).brightness == pytest.approx(inspect(photo).brightness / 2, abs=1)


def test_statistics_of_a_photo_hardly_depend_on_its_resolution():
    large, small = picture(5, 1024, 1024), picture(5, 1024, 1024).resize((512, 512), Image.Resampling.BOX)
    assert inspect(large).brightness == pytest.approx(inspect(small).brightness, abs=0.5)
    assert inspect(large).contrast == pytest.approx(inspect(small).contrast, rel=0.02)


def test_a_recompressed_photo_keeps_most_of_its_hash_and_another_photo_does_not():
    def bits(seen: Inspection) -> np.ndarray:
        return np.unpackbits(np.frombuffer(bytes.fromhex(seen.perceptual_hash), dtype=np.uint8))

    for seed in range(10):
        original = bits(inspect(picture(seed, 192, 192)))
        recompressed = bits(inspect(picture(seed, 192, 192), "JPEG", quality=70))
        another = bits(inspect(picture(seed + 1, 192, 192)))
        assert (original != recompressed).sum() < 40  # most of a smooth blob's frequencies are noise
        assert (original != another).sum() > 80


@pytest.mark.parametrize("seed", range(5))
def test_entropy_is_that_of_scipy(seed):
    grey = picture(seed, 192, 192).convert("L")
    counts_G = np.bincount(np.asarray(grey).ravel(), minlength=256)
    assert inspect(grey).entropy == pytest.approx(scipy.stats.entropy(counts_G, base=2), abs=1e-4)


def test_entropy_of_one_grey_is_zero_of_two_one_bit_and_of_all_eight():
    greys = np.arange(256, dtype=np.uint8)
    pictures = {
        0: np.full((192, 192), 7),
        1: np.kron([[0, 255]], np.ones((192, 96))),
        8: np.tile(greys, 144).reshape(192, 192),
    }
    for bits, values in pictures.items():
        assert inspect(Image.fromarray(values.astype(np.uint8))).entropy == pytest.approx(bits, abs=1e-4)


@pytest.mark.parametrize("seed", range(5))
def test_the_thumbnail_is_the_mean_of_3_by_3_blocks(seed):
    grey = picture(seed, 192, 192).convert("L")
    blocks = np.asarray(grey, dtype=float).reshape(64, 3, 64, 3).mean(axis=(1, 3))
    found = np.frombuffer(inspect(grey).thumbnail, dtype=np.uint8).reshape(64, 64)
    assert abs(found - blocks).max() <= 1


@pytest.mark.parametrize("seed", range(20))
def test_the_hash_by_matrix_products_has_the_bits_of_scipys_transform(seed):
    tiny = np.asarray(picture(seed, 64, 64).convert("L"), dtype=np.float32)
    frequencies = dctn(tiny, norm="ortho")[:16, :16].ravel()
    expected = np.packbits(frequencies > np.median(frequencies[1:])).tobytes().hex()
    assert _dct_hash(tiny) == expected
