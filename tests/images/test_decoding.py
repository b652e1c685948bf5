"""Decoded pixels are upright RGB of the wanted size, whatever was stored."""

from __future__ import annotations

import errno
import io
import os
import warnings
from typing import ClassVar

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from photo_files import encode, picture
from visionpipe.errors import VisionpipeError
from visionpipe.images.decode import decode_rgb
from visionpipe.images.gallery import thumbnail_jpeg, with_paths, worst_mistakes
from visionpipe.images.prepare import (
    ImagePlan,
    PreparedImages,
    decode_batches,
    read_prepared,
    write_prepared,
)


def reader(files: dict[str, bytes]):
    """Stream files as the image store does: in its own order, not in that of the request."""

    def read(image_ids):
        wanted = set(image_ids)
        return ((name, data) for name, data in files.items() if name in wanted)

    return read


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
@pytest.mark.parametrize("side_px", [32, 100])
def test_every_mode_becomes_rgb_of_the_wanted_side(mode, side_px):
    pixels_HWC = decode_rgb(encode(picture(1).convert(mode), "PNG"), side_px)
    assert pixels_HWC.shape == (side_px, side_px, 3)
    assert pixels_HWC.dtype == np.uint8
    assert pixels_HWC.std() > 10


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP"])
def test_photos_are_turned_as_pillow_turns_them(orientation, file_format):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    data = encode(picture(2, 96, 64), file_format, exif=exif)
    with Image.open(io.BytesIO(data)) as stored:
        upright = ImageOps.exif_transpose(stored).convert("RGB")
    expected = np.asarray(upright.resize((64, 64), Image.Resampling.BILINEAR), dtype=float)
    assert abs(decode_rgb(data, 64).astype(float) - expected).mean() < 3


def test_a_camera_held_upright_shows_its_first_row_on_the_right():
    sideways = np.zeros((64, 64, 3), dtype=np.uint8)
    sideways[:8] = [255, 0, 0]
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    upright = decode_rgb(encode(Image.fromarray(sideways), "PNG", exif=exif), 64)
    assert (upright[:, -8:] == [255, 0, 0]).all()
    assert (upright[:, :-8] == 0).all()


def test_a_large_jpeg_decoded_small_looks_like_the_photo():
    photo = picture(3, 1600, 1200)
    expected = np.asarray(photo.resize((64, 64), Image.Resampling.BOX), dtype=float)
    found = decode_rgb(encode(photo, "JPEG", quality=95), 64).astype(float)
    assert abs(found - expected).mean() < 4


def test_16_bit_grey_keeps_its_order():
    ramp = np.tile(np.linspace(0, 65_535, 64), (64, 1)).astype(np.uint16)
    row = decode_rgb(encode(Image.fromarray(ramp), "PNG"), 64)[32, :, 0].astype(int)
    assert (np.diff(row) >= 0).all()
    assert (row[0], row[-1]) == (0, 255)
    assert len(set(row)) > 50


def test_batches_bring_every_image_once_in_the_order_of_the_store():
    files = {str(number): encode(picture(number % 7), "PNG") for number in range(300)}
    batches = list(decode_batches(reader(files), list(reversed(files)), 16))
    assert [len(image_ids) for image_ids, _ in batches] == [256, 44]
    assert [name for image_ids, _ in batches for name in image_ids] == list(files)
    for image_ids, pixels_BHWC in batches:
        assert pixels_BHWC.shape == (len(image_ids), 16, 16, 3)
        np.testing.assert_array_equal(pixels_BHWC[3], decode_rgb(files[image_ids[3]], 16))


def test_decoding_in_threads_leaves_the_warning_filters_alone():
    before = list(warnings.filters)
    files = {str(number): encode(picture(1), "JPEG") for number in range(500)}
    list(decode_batches(reader(files), list(files), 16))
    assert list(warnings.filters) == before


class TestPreparedImages:
    """The array of decoded images that training maps into memory."""

    FILES: ClassVar = {name: encode(picture(seed), "PNG") for seed, name in enumerate("abc")}

    def plan(self, image_ids="cab", side_px=24, files=None):
        return ImagePlan(tuple(image_ids), side_px, reader(self.FILES if files is None else files))

    def failing_read(self, image_ids):
        yield "a", self.FILES["a"]
        raise OSError("no space left on the device")

    def test_rows_follow_the_plan(self, tmp_path):
        write_prepared(self.plan(), tmp_path / "prepared")
        images = read_prepared(tmp_path / "prepared")
        assert images.image_ids == ("c", "a", "b")
        assert images.pixels_NHWC.shape == (3, 24, 24, 3)
        for name in "abc":
            row = images.rows([name])[0]
            np.testing.assert_array_equal(images.pixels_NHWC[row], decode_rgb(self.FILES[name], 24))

    def test_the_same_plan_is_not_carried_out_again(self, tmp_path):
        write_prepared(self.plan(), tmp_path)
        write_prepared(self.plan(files={}), tmp_path)  # nothing could be decoded if it were

    @pytest.mark.parametrize("other", [{"image_ids": "ab"}, {"image_ids": "abc"}, {"side_px": 25}])
    def test_another_plan_is_carried_out(self, other, tmp_path):
        write_prepared(self.plan(), tmp_path)
        write_prepared(self.plan(**other), tmp_path)
        images = read_prepared(tmp_path)
        assert images.image_ids == tuple(other.get("image_ids", "cab"))
        assert images.pixels_NHWC.shape[1] == other.get("side_px", 24)

    def test_an_array_that_was_not_finished_is_never_used(self, tmp_path):
        write_prepared(self.plan(), tmp_path)
        with pytest.raises(OSError, match="no space left"):
            write_prepared(ImagePlan(("a", "b"), 24, self.failing_read), tmp_path)
        with pytest.raises(VisionpipeError, match="no finished array of decoded images"):
            read_prepared(tmp_path)
        write_prepared(self.plan(), tmp_path)
        assert read_prepared(tmp_path).image_ids == ("c", "a", "b")

    def test_a_disk_without_room_is_said_before_anything_is_decoded(self, small_disk):
        with pytest.raises(OSError, match=r"No space left on device: .*images\.npy") as raised:
            write_prepared(self.plan(side_px=1_000, files={}), small_disk)  # 9 MB
        assert raised.value.errno == errno.ENOSPC
        assert not (small_disk / "images.npy").exists()
        write_prepared(self.plan(), small_disk)
        assert len(read_prepared(small_disk).pixels_NHWC) == 3

    def test_a_file_system_that_reserves_no_room_is_written_to_all_the_same(self, tmp_path, monkeypatch):
        def unknown(*_args):
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")

        monkeypatch.setattr(os, "posix_fallocate", unknown)
        write_prepared(self.plan(), tmp_path)
        assert len(read_prepared(tmp_path).pixels_NHWC) == 3

    def test_an_unknown_image_is_an_error(self, tmp_path):
        write_prepared(self.plan(), tmp_path)
        with pytest.raises(KeyError):
            read_prepared(tmp_path).rows(["d"])


def test_a_thumbnail_is_a_jpeg_of_at_most_128_px():
    with Image.open(io.BytesIO(thumbnail_jpeg(np.asarray(picture(1, 300, 200))))) as thumbnail:
        assert (thumbnail.format, thumbnail.size) == ("JPEG", (128, 85))


def test_the_worst_mistakes_are_the_surest_wrong_ones():
    import pandas as pd

    predictions = pd.DataFrame(
        {
            "image_id": ["right", "sure", "unsure", "surest"],
            "label": ["cat"] * 4,
            "predicted_label": ["cat", "dog", "dog", "dog"],
            "confidence": [1.0, 0.9, 0.4, 0.95],
        }
    )
    images = PreparedImages(tuple(predictions["image_id"]), np.zeros((4, 8, 8, 3), dtype=np.uint8))
    worst = worst_mistakes(predictions, images, 2)
    assert [mistake["image_id"] for mistake in worst] == ["surest", "sure"]
    assert (worst[0]["true"], worst[0]["predicted"], worst[0]["confidence"]) == ("cat", "dog", 0.95)
    store = pd.DataFrame({"image_id": ["sure", "surest"], "path": ["cat/1.jpg", "cat/2.jpg"]})
    named = worst_mistakes(with_paths(predictions, store), images, 2)
    assert [mistake["source_path"] for mistake in named] == ["cat/2.jpg", "cat/1.jpg"]
    own = worst_mistakes(with_paths(predictions.assign(path="the user's own"), store), images, 1)
    assert own[0]["source_path"] == "cat/2.jpg"
