"""Turn files into pixels: upright, in 8 bits, in as little time and memory as the purpose needs."""

from __future__ import annotations

import functools
import io
import math
from collections.abc import Iterator

import numpy as np
from PIL import Image
from scipy import sparse

from visionpipe.images.exif import upright_turn

LUMA_SIDE_PX = 192
"""Statistics are taken at this size: about what a classifier sees, comparable between cameras, and cheap."""

_BAND_PIXELS = (
    4_000_000  # a large photo is converted in bands of so many pixels: it is in memory once, not thrice
)
_BIT_DEPTHS = (8, 10, 12, 14, 16)  # of greyscale sensors
# what decoding needs at its peak [bytes per pixel]: libjpeg keeps the coefficients of a progressive file,
# libwebp a canvas, the frame before and the answer, each with four channels
_BYTES_PER_PIXEL = {"JPEG": 10, "WEBP": 17}
_MODE_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "LA": 4, "PA": 4}


def decoding_bytes(file_format: str, mode: str, width: int, height: int) -> int:
    """Estimate from the header alone what decoding a photo and measuring it needs [bytes].

    >>> decoding_bytes("PNG", "RGBA", 1000, 1000)
    5000000
    """
    return width * height * _BYTES_PER_PIXEL.get(file_format, _MODE_BYTES.get(mode, 4) + 1)


def decode_rgb(data: bytes, side_px: int) -> np.ndarray:
    """Decode stored bytes to a square RGB array, upright.

    Parameters
    ----------
    data : bytes
        A photo that passed `inspect_photo`.
    side_px : int
        Wanted side; the photo is scaled to it on both axes, so that nothing at its edges is lost [pixels].

    Returns
    -------
    numpy.ndarray
        (side_px, side_px, 3) uint8.
    """
    # no warnings.catch_warnings here: it is not thread-safe, and this runs in many threads at once
    with Image.open(io.BytesIO(data)) as image:
        # JPEG decodes at the nearest larger eighth: several times faster
        image.draft("RGB", (side_px, side_px))
        rgb = to_8_bit(image).convert("RGB")
        square = rgb.resize((side_px, side_px), Image.Resampling.BILINEAR, reducing_gap=2.0)
        turn = upright_turn(image)
        return np.asarray(square if turn is None else square.transpose(turn))


def to_8_bit(image: Image.Image, white: tuple[float, float] | None = None) -> Image.Image:
    """Scale deep greyscale to 8 bits and lay transparency over white.

    Whole numbers are divided by the full scale of the sensor that can have made them: the smallest of 8, 10, 12,
    14 and 16 bits that holds their maximum. Floats in [0, 1] are multiplied by 255. Only what has no known scale
    (negative numbers, more than 16 bits, other floats) is stretched from its minimum to its maximum, because a
    stretch makes every photo equally bright and would hide a drift of the light. What is not a number is black.

    Parameters
    ----------
    image : PIL.Image.Image
        In any mode.
    white : tuple of float, optional
        Black and white of the whole photo that this is a part of; by default its own.

    Returns
    -------
    PIL.Image.Image
        In a mode that `convert("L")` and `convert("RGB")` know how to convert.
    """
    if _is_deep(image.mode):
        low, high = white or black_and_white(image)
        values = np.asarray(image, dtype=np.float32)
        with np.errstate(invalid="ignore", over="ignore"):  # infinities are clipped below
            scaled = (values - np.float32(low)) * np.float32(255 / (high - low))
        return Image.fromarray(np.nan_to_num(scaled, nan=0.0).clip(0, 255).astype(np.uint8))
    if image.mode in {"PA", "LA", "RGBA", "La", "RGBa"} or (
        image.mode == "P" and "transparency" in image.info
    ):
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, (255, 255, 255, 255)), rgba)
    return image.convert("RGB") if image.mode == "P" else image


def black_and_white(image: Image.Image) -> tuple[float, float]:
    """Return the values of a deep greyscale photo that stand for black and white."""
    lows, highs = [0.0], [0.0]
    for _, band in _bands(image):
        finite = np.asarray(band)
        if finite.dtype.kind == "f":
            finite = finite[np.isfinite(finite)]
        if finite.size:
            lows.append(float(finite.min()))
            highs.append(float(finite.max()))
    low, high = min(lows[1:], default=0.0), max(highs[1:], default=0.0)
    if image.mode == "F":
        return (0.0, 1.0) if low >= 0 and high <= 1 else (low, max(high, low + 1e-12))
    for depth in _BIT_DEPTHS:
        if low >= 0 and high < 2**depth:
            return 0.0, 2.0**depth - 1
    return low, max(high, low + 1)


def luma(image: Image.Image) -> Image.Image:
    """Convert a decoded photo to 8-bit luma (ITU-R BT.601), not turned."""
    if image.mode == "L" and "transparency" not in image.info:
        return image
    white = black_and_white(image) if _is_deep(image.mode) else None
    if image.width * image.height <= _BAND_PIXELS:
        return to_8_bit(image, white).convert("L")
    whole = Image.new("L", image.size)
    for top, band in _bands(image):
        whole.paste(to_8_bit(band, white).convert("L"), (0, top))
    return whole


def luma_square(grey: Image.Image, width: int, height: int) -> np.ndarray:
    """Scale luma to `LUMA_SIDE_PX` on both axes with an anti-aliasing triangle filter.

    The same filter as Pillow's `resize(BILINEAR, reducing_gap=2.0)`, as two sparse matrix products: three times as
    fast, and the largest cost of an inspection after the decoding itself.

    Parameters
    ----------
    grey : PIL.Image.Image
        In mode L; may have been decoded at a fraction of its size.
    width, height : int
        Size of the whole photo, in the same orientation [pixels].

    Returns
    -------
    numpy.ndarray
        luma_WH: (192, 192) float32 [0, 255]; the first axis is the column, as the products leave it.
    """
    across, down = grey.width / width, grey.height / height
    factor = max(grey.width // (2 * LUMA_SIDE_PX), 1), max(grey.height // (2 * LUMA_SIDE_PX), 1)
    if factor != (1, 1):
        across, down = across / factor[0], down / factor[1]
        grey = grey.reduce(factor)
    values = np.asarray(grey).astype(np.float32)
    rows = _triangle(grey.height, min(height * down, grey.height)) @ values
    return _triangle(grey.width, min(width * across, grey.width)) @ np.ascontiguousarray(rows.T)


@functools.lru_cache(maxsize=512)
def _triangle(n_pixels: int, length: float) -> sparse.csr_array:
    """Return the (192, n_pixels) float32 weights that scale `length` pixels to 192."""
    scale = length / LUMA_SIDE_PX
    reach = max(scale, 1.0)
    centre = (np.arange(LUMA_SIDE_PX)[:, None] + 0.5) * scale
    column = np.floor(centre - reach).astype(np.int32) + np.arange(2 * math.ceil(reach) + 2, dtype=np.int32)
    weight = 1 - abs(column + 0.5 - centre) / reach
    used = (weight > 0) & (column >= 0) & (column < n_pixels)
    weight = np.where(used, weight, 0)
    weight = (weight / weight.sum(axis=1, keepdims=True)).astype(np.float32)
    row_ends = np.concatenate([[0], used.sum(axis=1).cumsum()]).astype(np.int32)
    return sparse.csr_array((weight[used], column[used], row_ends), shape=(LUMA_SIDE_PX, n_pixels))


def _is_deep(mode: str) -> bool:
    return mode.startswith("I;16") or mode in {"I", "F"}


def _bands(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    rows = max(_BAND_PIXELS // max(image.width, 1), 1)
    for top in range(0, image.height, rows):
        box = (0, top, image.width, min(top + rows, image.height))
        yield top, image if box[3] - top == image.height else image.crop(box)
