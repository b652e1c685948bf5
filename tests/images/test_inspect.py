"""Whatever the bytes, a photo gets a verdict, and the verdict says what a person would see."""

from __future__ import annotations

import struct
import zlib
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageFile

from photo_files import encode, picture
from visionpipe.images.inspect import Inspection, Refusal, inspect_photo
from visionpipe.images.parameters import IngestionParameters

LIMITS = IngestionParameters()
ANY_CONTENT = IngestionParameters(rules={"blank": {"action": "ignore"}})
PHOTO = picture(1)


def refused(data: bytes, limits: IngestionParameters = LIMITS) -> Refusal:
    _, verdict = inspect_photo(data, limits)
    assert isinstance(verdict, Refusal), verdict
    return verdict


def accepted(data: bytes, limits: IngestionParameters = LIMITS) -> Inspection:
    _, verdict = inspect_photo(data, limits)
    assert isinstance(verdict, Inspection), verdict
    return verdict


def empty_png(width: int, height: int) -> bytes:
    """Write a PNG that claims a size and holds no pixel."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def exif(orientation: int | None = None, captured: str | None = None, offset: str | None = None) -> bytes:
    block = Image.Exif()
    if orientation is not None:
        block[ExifTags.Base.Orientation] = orientation
    details = block.get_ifd(ExifTags.IFD.Exif)
    if captured is not None:
        details[ExifTags.Base.DateTimeOriginal] = captured
    if offset is not None:
        details[ExifTags.Base.OffsetTimeOriginal] = offset
    return block.tobytes()


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "BMP"])
def test_every_accepted_format_is_measured(file_format):
    data = encode(PHOTO, file_format)
    seen = accepted(data)
    assert (seen.format, seen.width, seen.height, seen.n_bytes) == (file_format, 80, 64, len(data))
    assert 0 < seen.brightness < 255
    assert 0 < seen.contrast <= 127.5
    assert len(seen.perceptual_hash) == 64


@pytest.mark.parametrize("file_format", ["TIFF", "GIF", "PPM"])
def test_another_format_is_named_and_can_be_allowed(file_format):
    data = encode(PHOTO, file_format)
    assert refused(data).reason == "format"
    assert file_format in refused(data).detail
    assert accepted(data, IngestionParameters(formats=(file_format,))).format == file_format


def test_a_phone_jpeg_with_appended_previews_is_a_jpeg():
    data = encode(PHOTO, "MPO", save_all=True, append_images=[picture(2, 32, 32)])
    assert accepted(data).format == "JPEG"
    assert (accepted(data).width, accepted(data).height) == (80, 64)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_size_is_that_of_the_upright_photo(orientation):
    seen = accepted(encode(PHOTO, "JPEG", exif=exif(orientation)))
    assert (seen.width, seen.height) == ((80, 64) if orientation < 5 else (64, 80))


@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_turned_photo_looks_like_its_upright_twin(orientation):
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    upright, turned = accepted(encode(PHOTO, "PNG")), PHOTO.transpose(undo[orientation])
    twin = accepted(encode(turned, "PNG", exif=exif(orientation)))
    assert twin.perceptual_hash == upright.perceptual_hash
    # rows are scaled before columns, so a quarter turn rounds a few pixels the other way
    assert twin.sharpness == pytest.approx(upright.sharpness, rel=1e-3)


@pytest.mark.parametrize(
    ("captured", "offset", "utc"),
    [
        ("2026:01:05 10:00:00", None, datetime(2026, 1, 5, 10, tzinfo=UTC)),
        ("2026:01:05 10:00:00", "+02:00", datetime(2026, 1, 5, 8, tzinfo=UTC)),
        ("2026:01:05 10:00:00", "-05:30", datetime(2026, 1, 5, 15, 30, tzinfo=UTC)),
        ("2026:01:05 10:00:00", "nonsense", datetime(2026, 1, 5, 10, tzinfo=UTC)),
        ("0001:01:01 00:00:00", "+02:00", datetime(1, 1, 1, tzinfo=UTC)),
        ("    :  :     :  :  ", None, None),
        ("0000:00:00 00:00:00", None, None),
        (None, None, None),
    ],
)
def test_the_time_of_capture_is_utc_or_unknown(captured, offset, utc):
    data = encode(PHOTO, "JPEG", exif=exif(captured=captured, offset=offset))
    assert accepted(data).captured_at == utc


@settings(max_examples=150)
@given(
    file_format=st.sampled_from(["JPEG", "PNG", "WEBP"]),
    changes=st.lists(st.tuples(st.integers(6, 150), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_a_damaged_exif_block_never_costs_the_photo(file_format, changes):
    block = bytearray(exif(6, "2026:01:05 10:00:00", "+02:00"))
    for position, value in changes:
        block[position % len(block)] = value
    block[:6] = b"Exif\0\0"
    seen = accepted(encode(PHOTO, file_format, exif=bytes(block)))
    assert {seen.width, seen.height} == {80, 64}


def test_16_bit_grey_keeps_its_greys():
    ramp = np.linspace(0, 65_535, 256 * 256).reshape(256, 256).astype(np.uint16)
    seen = accepted(encode(Image.fromarray(ramp), "PNG"))
    assert seen.brightness == pytest.approx(
        127, abs=1.5
    )  # Pillow's own conversion clips all but 255 to white
    assert seen.contrast == pytest.approx(255 / np.sqrt(12), rel=0.02)
    assert seen.mode == "I;16"


def test_a_16_bit_photo_of_one_grey_is_blank_and_no_error():
    flat = Image.fromarray(np.full((64, 64), 30_000, dtype=np.uint16))
    assert refused(encode(flat, "PNG")).reason == "blank"
    assert accepted(encode(flat, "PNG"), ANY_CONTENT).contrast == 0


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_every_pixel_mode_is_measured(mode):
    file_format = "JPEG" if mode == "CMYK" else "PNG"
    assert accepted(encode(PHOTO.convert(mode), file_format)).contrast > 0


def test_transparency_is_seen_as_white():
    clear = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    assert accepted(encode(clear, "PNG"), ANY_CONTENT).brightness == 255
    palette = Image.new("P", (64, 64), 0)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    assert accepted(encode(palette, "PNG", transparency=0), ANY_CONTENT).brightness == 255
    assert accepted(encode(palette, "PNG"), ANY_CONTENT).brightness == 0


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "BMP"])
def test_a_truncated_photo_is_undecodable(file_format):
    data = encode(PHOTO, file_format)
    assert refused(data[: len(data) // 2]).reason == "undecodable"


def test_a_file_that_is_no_image_is_undecodable_and_says_so_in_the_same_words_in_every_run():
    assert refused(b"hello, world").reason == "undecodable"
    assert refused(b"hello, world").detail == "no known image format"
    assert refused(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic").detail.endswith("convert it to JPEG")


def test_an_empty_file_has_its_own_reason():
    assert refused(b"").reason == "empty"


def test_a_small_photo_names_the_limit():
    refusal = refused(encode(picture(1, 100, 31), "PNG"))
    assert refusal.reason == "too_small"
    assert "31 px" in refusal.detail
    assert "ingestion.min_side_px" in refusal.detail
    assert accepted(encode(picture(1, 100, 31), "PNG"), IngestionParameters(min_side_px=31))


def test_a_large_file_names_the_limit():
    data = encode(PHOTO, "PNG")
    assert accepted(data, IngestionParameters(max_bytes=len(data)))
    refusal = refused(data, IngestionParameters(max_bytes=len(data) - 1))
    assert refusal.reason == "too_large"
    assert "ingestion.max_bytes" in refusal.detail


@pytest.mark.parametrize("side", [9_000, 200_000], ids=["above our limit", "above Pillow's own"])
def test_a_decompression_bomb_is_refused_before_a_pixel_is_allocated(side, monkeypatch):
    def allocate(image):
        raise AssertionError("pixels were allocated")

    monkeypatch.setattr(ImageFile.ImageFile, "load", allocate)
    bomb = empty_png(side, side)
    assert len(bomb) < 100
    assert refused(bomb).reason == "too_many_pixels"


def test_a_refusal_keeps_size_and_hash_for_the_auditor():
    import hashlib

    refusal = refused(b"hello, world")
    assert (refusal.n_bytes, refusal.sha256) == (12, hashlib.sha256(b"hello, world").hexdigest())


@settings(max_examples=200)
@given(st.binary(max_size=4000))
def test_any_bytes_get_a_verdict(data):
    assert isinstance(inspect_photo(data, LIMITS)[1], Inspection | Refusal)


@settings(max_examples=300)
@given(
    file_format=st.sampled_from(["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "ICO"]),
    changes=st.lists(st.tuples(st.integers(0), st.integers(0, 255)), max_size=12),
    cut=st.integers(0, 400),
)
def test_any_damage_to_a_real_photo_gets_a_verdict(file_format, changes, cut):
    data = bytearray(encode(PHOTO, file_format))
    for position, value in changes:
        data[position % len(data)] = value
    everything = IngestionParameters(formats=("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "ICO"))
    assert isinstance(inspect_photo(bytes(data[: len(data) - cut]), everything)[1], Inspection | Refusal)
