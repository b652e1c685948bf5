"""A photo decoded in a fraction of its size is refused when the whole is, and measures the same."""

from __future__ import annotations

import io
import random
import warnings

import numpy as np
import pytest
from PIL import Image

from photo_files import encode, picture
from visionpipe.images.decode import black_and_white, decode_rgb, decoding_bytes, luma, luma_square, to_8_bit
from visionpipe.images.inspect import Inspection, Refusal, inspect_photo
from visionpipe.images.parameters import IngestionParameters

LIMITS = IngestionParameters()


def verdict(data: bytes, size: tuple[int, int] | None) -> str | None:
    """Return why Pillow does not decode the file, None where it does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(io.BytesIO(data)) as image:
                if size:
                    image.draft("L", size)
                image.load()
        except Image.UnidentifiedImageError:
            return "no known image format"
        except Exception as error:  # noqa: BLE001
            return f"{type(error).__name__}: {error}"
    return None


def damaged(data: bytes, generator: random.Random) -> bytes:
    """Cut a file off or flip some of its bits."""
    if generator.random() < 0.4:
        return data[: generator.randrange(len(data))]
    changed = bytearray(data)
    for _ in range(generator.choice([1, 1, 2, 5, 20])):
        changed[generator.randrange(len(changed))] ^= 1 << generator.randrange(8)
    return bytes(changed)


LARGE = picture(1, 1400, 1100)
JPEGS = {
    "baseline": encode(LARGE, "JPEG", quality=60),
    "progressive": encode(LARGE, "JPEG", quality=60, progressive=True),
    "restart markers": encode(LARGE, "JPEG", quality=60, restart_marker_blocks=8),
    "4:4:4": encode(LARGE, "JPEG", quality=40, subsampling=0),
    "grey": encode(LARGE.convert("L"), "JPEG"),
    "cmyk": encode(LARGE.convert("CMYK"), "JPEG", quality=40),
    "small": encode(picture(2, 300, 200), "JPEG"),
}


@pytest.mark.parametrize("name", JPEGS)
def test_a_damaged_jpeg_is_refused_at_a_fraction_of_its_size_exactly_when_the_whole_is(name):
    generator = random.Random(name)
    verdicts = []
    for _ in range(40):
        data = damaged(JPEGS[name], generator)
        verdicts.append(verdict(data, None))
        assert verdict(data, (512, 512)) == verdicts[-1]
    assert len(set(verdicts)) > 1


def test_real_damaged_jpegs_are_refused_at_a_fraction_of_their_size_exactly_when_the_whole_is(clothing):
    folder = clothing.parent / "malformed/jpeg"
    files = sorted(folder.iterdir())
    assert len(files) == 299
    for path in files:
        data = path.read_bytes()
        assert verdict(data, (512, 512)) == verdict(data, None)


@pytest.mark.parametrize("name", sorted(set(JPEGS) - {"cmyk"}))
def test_a_jpeg_measures_the_same_at_a_fraction_of_its_size(name):
    with Image.open(io.BytesIO(JPEGS[name])) as image:
        whole = encode(image, "PNG")
    seen, expected = inspect_photo(JPEGS[name], LIMITS)[1], inspect_photo(whole, LIMITS)[1]
    assert (seen.width, seen.height) == (expected.width, expected.height)
    assert seen.brightness == pytest.approx(expected.brightness, abs=0.5)
    assert seen.contrast == pytest.approx(expected.contrast, rel=0.01)
    assert seen.sharpness == pytest.approx(expected.sharpness, rel=0.1)
    assert seen.entropy == pytest.approx(expected.entropy, abs=0.02)


@pytest.mark.parametrize(
    "size", [(192, 192), (400, 533), (301, 700), (64, 100), (1023, 511), (1600, 1200), (3000, 40)]
)
def test_luma_is_scaled_as_pillow_scales_it(size):
    grey = picture(3, *size).convert("L")
    expected = np.asarray(grey.resize((192, 192), Image.Resampling.BILINEAR, reducing_gap=2.0), dtype=float)
    found = luma_square(grey, *size).T
    assert abs(found - expected).max() <= 1.01  # Pillow rounds to whole greys between the axes
    assert (
        abs(found - expected).mean() < 0.35
    )  # one rounding to whole greys is off by 0.25 on average, this is two


@pytest.mark.parametrize("depth", [8, 10, 12, 14, 16])
def test_deep_grey_is_scaled_by_the_depth_that_holds_it_so_that_a_dark_photo_stays_dark(depth):
    full = 2**depth - 1
    ramp = np.linspace(0, full, 64 * 64).round().astype(np.uint16).reshape(64, 64)
    bright, dark = Image.fromarray(ramp), Image.fromarray((ramp * 0.6).astype(np.uint16))
    assert black_and_white(bright) == black_and_white(dark) == (0, full)
    np.testing.assert_allclose(np.asarray(to_8_bit(bright)), ramp / full * 255, atol=1)
    assert np.asarray(to_8_bit(dark)).max() == pytest.approx(0.6 * 255, abs=1)


def test_brightness_of_16_bit_photos_can_drift():
    greys = np.random.default_rng(0).integers(40_000, 60_000, (64, 64)).astype(np.uint16)
    day, dusk = (
        inspect_photo(encode(Image.fromarray(grey), "PNG"), LIMITS)[1] for grey in (greys, greys - 7_000)
    )
    assert day.brightness - dusk.brightness == pytest.approx(7_000 / 257, abs=0.6)


@pytest.mark.parametrize(
    ("values", "black_white"),
    [
        ([[0.0, 0.5], [0.2, 0.4]], (0, 1)),
        ([[-1.0, 0.5], [0.2, 3.0]], (-1, 3)),
        ([[0.0, 0.5], [np.nan, np.inf]], (0, 1)),
        ([[np.nan, np.nan], [np.nan, np.nan]], (0, 1)),
        ([[5.0, 5.0], [5.0, 5.0]], (5, 5)),
    ],
)
def test_floats_are_shares_of_white_or_stretched(values, black_white):
    image = Image.fromarray(np.array(values, dtype=np.float32))
    assert black_and_white(image) == pytest.approx(black_white)
    eight_bit = np.asarray(to_8_bit(image))
    assert eight_bit.dtype == np.uint8
    if black_white == (0, 1):
        expected = np.nan_to_num(np.array(values), posinf=1) * 255
        np.testing.assert_allclose(eight_bit, expected, atol=1)


def test_whole_numbers_that_no_sensor_gives_are_stretched():
    values = np.array([[-100, 0], [100, 70_000]], dtype=np.int32)
    assert black_and_white(Image.fromarray(values)) == (-100, 70_000)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "LA", "I;16", "CMYK"])
def test_a_large_photo_is_converted_in_bands_to_the_same_luma(mode, monkeypatch):
    image = picture(4, 120, 90).convert(mode)
    whole = np.asarray(luma(image))
    monkeypatch.setattr("visionpipe.images.decode._BAND_PIXELS", 1000)
    np.testing.assert_array_equal(np.asarray(luma(image)), whole)


def test_a_photo_whose_header_asks_for_too_much_memory_is_refused_before_a_pixel_is_decoded(monkeypatch):
    data = encode(picture(1, 800, 600), "WEBP")
    assert isinstance(inspect_photo(data, LIMITS)[1], Inspection)
    monkeypatch.setattr("visionpipe.images.inspect.decoding_bytes", lambda *_: 10**10)
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("pixels were decoded"))
    refusal = inspect_photo(data, LIMITS)[1]
    assert isinstance(refusal, Refusal)
    assert refusal.reason == "too_many_pixels"
    assert "ingestion.worker_memory_mb" in refusal.detail


def test_the_largest_photo_allowed_fits_into_a_worker():
    worst = max(
        decoding_bytes(file_format, mode, 10_000, LIMITS.max_pixels // 10_000)
        for file_format in ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
        for mode in ("L", "RGB", "RGBA", "I;16", "F", "CMYK")
    )
    assert worst < 0.75 * LIMITS.worker_memory_mb * 2**20


def test_a_turned_photo_is_decoded_upright_without_turning_all_of_it():
    exif = Image.Exif()
    exif[0x0112] = 6
    photo = picture(5, 90, 60)
    turned = decode_rgb(encode(photo, "PNG", exif=exif.tobytes()), 48).astype(int)
    expected = decode_rgb(encode(photo.transpose(Image.Transpose.ROTATE_270), "PNG"), 48)
    assert abs(turned - expected).max() <= 1
