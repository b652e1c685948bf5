"""Thumbnails of stored photos stand upright, in their own proportions."""

import io

from PIL import Image

from photo_files import encode, picture
from visionpipe.images.gallery import photo_thumbnails


def test_a_photo_keeps_its_proportions_and_stands_upright():
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    files = {
        "lying": encode(picture(1, 300, 150), "JPEG"),
        "turned": encode(picture(1, 300, 150), "JPEG", exif=exif),
    }
    made = photo_thumbnails(
        lambda ids: ((each, files[each]) for each in files if each in ids), ["lying", "turned"]
    )
    sizes = {name: Image.open(io.BytesIO(data)).size for name, data in made.items()}
    assert sizes == {"lying": (128, 64), "turned": (64, 128)}


def test_deep_greyscale_and_transparency_become_pictures_too():
    grey = Image.new("I;16", (40, 40), 30_000)
    files = {"grey": encode(grey, "PNG"), "clear": encode(Image.new("RGBA", (40, 40), (9, 9, 9, 0)), "PNG")}
    made = photo_thumbnails(lambda ids: files.items(), list(files))
    assert {Image.open(io.BytesIO(data)).mode for data in made.values()} == {"RGB"}
