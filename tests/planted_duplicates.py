"""Near-duplicates made from real photos, as they come about on their way through phones, shops and archives."""

from __future__ import annotations

import io
import random
from collections.abc import Callable

from PIL import Image, ImageEnhance, ImageOps


def _recompressed(photo: Image.Image, chance: random.Random) -> Image.Image:
    return _as_jpeg(photo, chance.randint(20, 80))


def _resized(photo: Image.Image, chance: random.Random) -> Image.Image:
    factor = chance.uniform(0.3, 0.9)
    return photo.resize((max(32, round(photo.width * factor)), max(32, round(photo.height * factor))))


def _cropped(photo: Image.Image, chance: random.Random) -> Image.Image:
    """Cut off up to 10 % of the area, at any side."""
    kept = 1 - chance.uniform(0.02, 0.1)
    across = chance.uniform(kept, 1)
    width, height = round(photo.width * across), round(photo.height * kept / across)
    left, top = chance.randint(0, photo.width - width), chance.randint(0, photo.height - height)
    return photo.crop((left, top, left + width, top + height))


def _brightened(photo: Image.Image, chance: random.Random) -> Image.Image:
    return ImageEnhance.Brightness(photo).enhance(chance.choice([0.6, 0.75, 0.9, 1.1, 1.25, 1.4]))


def _flipped(photo: Image.Image, chance: random.Random) -> Image.Image:
    return ImageOps.mirror(photo)


CHANGES: dict[str, Callable[[Image.Image, random.Random], Image.Image]] = {
    "recompressed": _recompressed,
    "resized": _resized,
    "cropped": _cropped,
    "brightened": _brightened,
    "flipped": _flipped,
}


def plant(data: bytes, change: str, chance: random.Random) -> bytes:
    """Return a photo changed in one way and saved as JPEG anew."""
    with Image.open(io.BytesIO(data)) as photo:
        upright = ImageOps.exif_transpose(photo).convert("RGB")
    return _jpeg(CHANGES[change](upright, chance), 90)


def _jpeg(photo: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    photo.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _as_jpeg(photo: Image.Image, quality: int) -> Image.Image:
    return Image.open(io.BytesIO(_jpeg(photo, quality)))
