"""What a photo tells about people goes; its pixels, colours, orientation and time of capture stay as they are."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageCms, PngImagePlugin

from photo_files import encode, picture
from visionpipe.images.exif import KEPT_DETAILS, KEPT_TAGS
from visionpipe.images.inspect import Inspection, Refusal, inspect_photo
from visionpipe.images.parameters import IngestionParameters

EVERYTHING = IngestionParameters(formats=("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"))
PHOTO = picture(1, 96, 64)
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
B, SECRET = ExifTags.Base, "Ada Lovelace"
XMP = f'<x:xmpmeta><rdf:Description dc:creator="{SECRET}"/></x:xmpmeta>'.encode()


def telltale_exif(orientation: int = 6) -> bytes:
    """Write an EXIF block as a phone does, with all that it should not tell."""
    block = Image.Exif()
    block[B.Orientation] = orientation
    block[B.Make], block[B.Model] = "Phones Inc.", "P 1"
    block[B.Artist] = block[B.Copyright] = block[B.ImageDescription] = SECRET
    details = block.get_ifd(ExifTags.IFD.Exif)
    details[B.DateTimeOriginal], details[B.OffsetTimeOriginal] = "2026:01:05 10:00:00", "+02:00"
    details[B.ExposureTime], details[B.FNumber], details[B.ISOSpeedRatings] = 0.01, 2.8, 400
    details[B.BodySerialNumber] = details[B.CameraOwnerName] = details[B.LensSerialNumber] = SECRET
    details[B.MakerNote] = SECRET.encode()
    position = block.get_ifd(ExifTags.IFD.GPSInfo)
    position[ExifTags.GPS.GPSLatitudeRef], position[ExifTags.GPS.GPSLatitude] = "N", (50.0, 6.0, 7.0)
    return block.tobytes()


def with_thumbnail(exif: bytes) -> bytes:
    """Append a second directory with a preview to an EXIF block, as every camera does."""
    body = bytearray(exif[6:])
    order = "<" if body[:2] == b"II" else ">"
    (first,) = struct.unpack(order + "I", body[4:8])
    (count,) = struct.unpack(order + "H", body[first : first + 2])
    preview = encode(picture(2, 16, 16), "JPEG")
    start = len(body)
    struct.pack_into(order + "I", body, first + 2 + 12 * count, start)
    entries = [(0x0201, 4, 1, start + 30), (0x0202, 4, 1, len(preview))]
    body += struct.pack(order + "H", 2) + b"".join(struct.pack(order + "HHII", *entry) for entry in entries)
    return exif[:6] + bytes(body) + struct.pack(order + "I", 0) + preview


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def phone_jpeg(photo: Image.Image = PHOTO, **options) -> bytes:
    """Write a JPEG with everything that a JPEG can tell."""
    data = encode(
        photo, "JPEG", exif=with_thumbnail(telltale_exif()), icc_profile=PROFILE, dpi=(300, 300), **options
    )
    more = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP)
    more += segment(0xED, b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0" + SECRET.encode())
    more += segment(0xFE, SECRET.encode()) + segment(0xE5, SECRET.encode())
    return data[:2] + more + data[2:] + SECRET.encode()


def phone_png(photo: Image.Image = PHOTO) -> bytes:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Author", SECRET)
    texts.add_itxt("XML:com.adobe.xmp", XMP.decode())
    texts.add_text("Comment", SECRET, zip=True)
    data = encode(photo, "PNG", pnginfo=texts, exif=telltale_exif(), icc_profile=PROFILE, dpi=(300, 300))
    private = struct.pack(">I", len(SECRET)) + b"prVt" + SECRET.encode()
    private += struct.pack(">I", zlib.crc32(private[4:]))
    return data[:33] + private + data[33:] + SECRET.encode()


def phone_webp(photo: Image.Image = PHOTO, **options) -> bytes:
    return (
        encode(photo, "WEBP", exif=telltale_exif(), xmp=XMP, icc_profile=PROFILE, **options) + SECRET.encode()
    )


FILES = {
    "jpeg": phone_jpeg(),
    "progressive jpeg": phone_jpeg(progressive=True),
    "grey jpeg": phone_jpeg(PHOTO.convert("L")),
    "cmyk jpeg": phone_jpeg(PHOTO.convert("CMYK")),
    "png": phone_png(),
    "palette png": phone_png(PHOTO.convert("P")),
    "16-bit png": phone_png(Image.fromarray(np.arange(96 * 64, dtype=np.uint16).reshape(64, 96) * 9)),
    "webp": phone_webp(),
    "lossless webp": phone_webp(lossless=True),
    "transparent webp": phone_webp(PHOTO.convert("RGBA"), lossless=True),
}


def pixels(data: bytes) -> bytes:
    with Image.open(io.BytesIO(data)) as image:
        return image.tobytes()


def strip(data: bytes) -> tuple[bytes, Inspection]:
    stored, seen = inspect_photo(data, EVERYTHING)
    assert isinstance(seen, Inspection), seen
    return stored, seen


@pytest.mark.parametrize("name", FILES)
def test_nothing_told_about_people_is_left(name):
    stored, seen = strip(FILES[name])
    assert SECRET.encode() in FILES[name]
    assert SECRET.encode() not in stored
    assert {"gps", "owner", "serial_number", "maker_note"} <= set(seen.redactions)
    with Image.open(io.BytesIO(stored)) as image:
        exif = image.getexif()
        assert set(exif) - {ExifTags.IFD.Exif} <= KEPT_TAGS
        assert set(exif.get_ifd(ExifTags.IFD.Exif)) <= KEPT_DETAILS
        assert not exif.get_ifd(ExifTags.IFD.GPSInfo)
        assert not exif.get_ifd(ExifTags.IFD.IFD1)
        assert not {"xmp", "comment", "photoshop"} & set(image.info)


@pytest.mark.parametrize("name", FILES)
def test_pixels_colours_orientation_and_time_of_capture_stay(name):
    stored, seen = strip(FILES[name])
    assert pixels(stored) == pixels(FILES[name])
    assert seen.captured_at == datetime(2026, 1, 5, 8, tzinfo=UTC)
    assert (seen.width, seen.height) == (64, 96)
    with Image.open(io.BytesIO(stored)) as after, Image.open(io.BytesIO(FILES[name])) as before:
        assert after.info.get("icc_profile") == before.info.get("icc_profile") == PROFILE
        assert after.info.get("dpi") == before.info.get("dpi")
        assert after.getexif()[B.Orientation] == 6
        assert (after.getexif()[B.Make], after.getexif()[B.Model]) == ("Phones Inc.", "P 1")
        details = after.getexif().get_ifd(ExifTags.IFD.Exif)
        assert (details[B.ISOSpeedRatings], float(details[B.FNumber])) == (400, 2.8)


@pytest.mark.parametrize("name", FILES)
def test_the_stored_file_has_nothing_more_to_remove(name):
    stored, seen = strip(FILES[name])
    again, seen_again = strip(stored)
    assert again == stored
    assert seen_again.redactions == ()
    assert seen_again.image_id == seen.image_id == seen_again.original_sha256
    assert seen.original_sha256 != seen.image_id


def test_a_jpeg_names_all_that_was_taken_from_it():
    removed = {
        "gps",
        "owner",
        "serial_number",
        "maker_note",
        "thumbnail",
        "xmp",
        "iptc",
        "comment",
        "trailer",
    }
    assert removed <= set(strip(FILES["jpeg"])[1].redactions)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"])
def test_a_file_with_nothing_to_remove_keeps_its_bytes(file_format):
    data = encode(PHOTO, file_format)
    stored, seen = strip(data)
    assert stored == data
    assert seen.redactions == ()
    assert seen.image_id == seen.original_sha256


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
def test_a_file_that_tells_only_what_is_kept_keeps_its_bytes(file_format):
    block = Image.Exif()
    block[B.Orientation], block[B.Make] = 6, "Phones Inc."
    block.get_ifd(ExifTags.IFD.Exif)[B.DateTimeOriginal] = "2026:01:05 10:00:00"
    data = encode(PHOTO, file_format, exif=block.tobytes())
    assert strip(data)[0] == data


def test_bytes_in_the_exif_block_that_no_directory_names_are_removed():
    block = Image.Exif()
    block[B.Orientation] = 6
    stored, seen = strip(encode(PHOTO, "JPEG", exif=block.tobytes() + SECRET.encode() * 20))
    assert SECRET.encode() not in stored
    assert (seen.width, seen.height) == (64, 96)


def test_a_second_exif_block_is_removed():
    data = encode(PHOTO, "JPEG", exif=Image.Exif())
    data = data[:2] + segment(0xE1, b"Exif\0\1" + SECRET.encode()) + data[2:]
    stored, seen = strip(data)
    assert SECRET.encode() not in stored
    assert seen.redactions == ("other_segments",)


def test_an_orientation_that_only_xmp_says_is_kept():
    xmp = b'<rdf:Description tiff:Orientation="6" dc:creator="' + SECRET.encode() + b'"/>'
    data = encode(PHOTO, "JPEG")
    data = data[:2] + segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp) + data[2:]
    stored, seen = strip(data)
    assert SECRET.encode() not in stored
    assert (seen.width, seen.height) == (64, 96)
    assert strip(stored)[1].width == 64


def test_previews_behind_a_phone_photo_are_removed():
    data = encode(PHOTO, "MPO", save_all=True, append_images=[picture(2, 96, 64)])
    stored, seen = strip(data)
    assert len(stored) < 0.7 * len(data)
    assert {"thumbnail", "trailer"} <= set(seen.redactions)
    with Image.open(io.BytesIO(stored)) as image:
        assert image.format == "JPEG"
    assert pixels(stored) == pixels(data)


def test_a_jfif_thumbnail_is_removed_and_the_density_kept():
    data = encode(PHOTO, "JPEG", dpi=(300, 300))
    length = int.from_bytes(data[4:6], "big")
    body = data[6 : 4 + length][:12] + b"\x02\x02" + SECRET.encode()
    stored, seen = strip(data[:2] + segment(0xE0, body) + data[4 + length :])
    assert SECRET.encode() not in stored
    assert seen.redactions == ("thumbnail",)
    assert stored == data


def test_a_gif_loses_its_comments_and_keeps_its_frames():
    frames = [picture(seed, 64, 64).convert("P") for seed in range(3)]
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:], comment=SECRET.encode(), loop=0)
    stored, seen = strip(data)
    assert SECRET.encode() not in stored
    assert seen.redactions == ("comment",)
    with Image.open(io.BytesIO(stored)) as after, Image.open(io.BytesIO(data)) as before:
        assert after.n_frames == before.n_frames == 3
        for frame in range(3):
            after.seek(frame)
            before.seek(frame)
            assert after.tobytes() == before.tobytes()


def test_metadata_stays_where_the_user_wants_it():
    keep = IngestionParameters(privacy={"strip_metadata": False})
    stored, seen = inspect_photo(FILES["jpeg"], keep)
    assert stored == FILES["jpeg"]
    assert seen.redactions == ()


def test_a_photo_whose_parts_cannot_be_told_apart_is_refused_because_no_one_could_say_what_it_still_tells():
    data = encode(PHOTO, "GIF", comment=SECRET.encode())
    # a byte between two blocks: Pillow skips it, others stop there
    broken = data[:-1] + b"\x01\x02" + data[-1:]
    stored, refusal = inspect_photo(broken, EVERYTHING)
    assert isinstance(refusal, Refusal)
    assert (stored, refusal.reason) == (b"", "metadata")
    assert "strip_metadata" in refusal.detail
    kept = EVERYTHING.model_copy(
        update={"privacy": EVERYTHING.privacy.model_copy(update={"strip_metadata": False})}
    )
    assert isinstance(inspect_photo(broken, kept)[1], Inspection)


@settings(max_examples=400, deadline=None)
@given(
    name=st.sampled_from(sorted(FILES)),
    changes=st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), max_size=6),
    cut=st.integers(0, 3000) | st.just(0),
    inserted=st.tuples(st.integers(0, 3000), st.binary(max_size=6)),
)
def test_a_damaged_header_is_refused_or_stripped_to_the_same_pixels(name, changes, cut, inserted):
    data = bytearray(FILES[name])
    for position, value in changes:
        data[position % len(data)] = value
    data[inserted[0] : inserted[0]] = inserted[1]
    data = bytes(data[: len(data) - cut])
    stored, seen = inspect_photo(data, EVERYTHING)
    if isinstance(seen, Refusal):
        assert stored == b""
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert pixels(stored) == pixels(data)
        again, seen_again = inspect_photo(stored, EVERYTHING)
    assert again == stored
    assert seen_again.captured_at == seen.captured_at
    assert (seen_again.width, seen_again.height) == (seen.width, seen.height)
    assert seen_again.perceptual_hash == seen.perceptual_hash


@pytest.mark.parametrize("collection", ["clothing", "elpv"])
def test_real_photos_keep_their_pixels(collection, request):
    folder = request.getfixturevalue(collection)
    n_changed = 0
    for path in sorted(path for path in folder.rglob("*") if path.suffix in {".jpg", ".png"})[::23]:
        data = path.read_bytes()
        stored, _ = strip(data)
        n_changed += stored != data
        assert pixels(stored) == pixels(data)
    assert collection == "clothing" or n_changed > 50  # the solar cells have comments
