"""What a photo looks like, in numbers: light, contrast, sharpness, content, and the hash of its low frequencies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from visionpipe.images.decode import LUMA_SIDE_PX
from visionpipe.images.duplicates import describe
from visionpipe.images.frequencies import COSINES, DCT_SIDE_PX

_GREYS = np.arange(256, dtype=np.float64)
_CLIPPED = 2  # greys that count as black or white


@dataclass(frozen=True)
class Measurements:
    """Numbers of one photo.

    Attributes
    ----------
    brightness, contrast : float
        Mean and standard deviation of luma [0, 255].
    sharpness : float
        Variance of the Laplacian of luma at 192 px [luma^2]; small means blurred.
    entropy : float
        Shannon entropy of the histogram of luma [bits, 0..8].
    clipped_dark, clipped_bright : float
        Share of pixels within two greys of black, of white [0, 1].
    perceptual_hash : str
        256-bit DCT hash, 64 hexadecimal digits (Zauner, "Implementation and benchmarking of perceptual
        image hash functions", 2010).
    thumbnail : bytes
        64 x 64 luma, uint8, row-major: what near-duplicates are told by.
    descriptor : bytes
        63 int8, what they are found by (`duplicates.describe`).
    """

    brightness: float
    contrast: float
    sharpness: float
    entropy: float
    clipped_dark: float
    clipped_bright: float
    perceptual_hash: str
    thumbnail: bytes
    descriptor: bytes


def measure(luma_WH: np.ndarray, turn: Image.Transpose | None = None) -> Measurements:
    """Measure a photo.

    Parameters
    ----------
    luma_WH : numpy.ndarray
        (192, 192) [0, 255], float32; the first axis is the column.
    turn : Image.Transpose, optional
        What puts it upright.

    Returns
    -------
    Measurements
    """
    grey_WH = (luma_WH + np.float32(0.5)).astype(np.uint8)
    grey = Image.fromarray(grey_WH)
    tiny = grey.reduce(LUMA_SIDE_PX // DCT_SIDE_PX).transpose(Image.Transpose.TRANSPOSE)
    if turn is not None:
        tiny = tiny.transpose(turn)
    shares = np.array(grey.histogram(), dtype=np.float64) / LUMA_SIDE_PX**2
    brightness = shares @ _GREYS
    seen = shares[shares > 0]
    return Measurements(
        brightness=round(float(brightness), 4),
        contrast=round(float(np.sqrt(shares @ (_GREYS - brightness) ** 2)), 4),
        sharpness=round(_laplacian_variance(grey_WH), 4),
        entropy=round(abs(float(seen @ np.log2(seen))), 4),
        clipped_dark=round(float(shares[: _CLIPPED + 1].sum()), 4),
        clipped_bright=round(float(shares[-_CLIPPED - 1 :].sum()), 4),
        perceptual_hash=_dct_hash(np.asarray(tiny, dtype=np.float32)),
        thumbnail=tiny.tobytes(),
        descriptor=describe(np.asarray(tiny)[None]).tobytes(),
    )


def _laplacian_variance(grey: np.ndarray) -> float:
    values = grey.astype(np.int16)  # the Laplacian of 8-bit luma is a whole number below 1,021
    laplacian = values[1:-1, 1:-1] << 2
    laplacian -= values[:-2, 1:-1]
    laplacian -= values[2:, 1:-1]
    laplacian -= values[1:-1, :-2]
    laplacian -= values[1:-1, 2:]
    values_HW = laplacian.astype(np.float32)
    # sums of a row are whole numbers that float32 holds; a dot product of them all would start threads in every worker
    total = np.einsum("ij->i", values_HW).sum(dtype=np.float64)
    squares = np.einsum("ij,ij->i", values_HW, values_HW).sum(dtype=np.float64)
    return float(squares / values_HW.size - (total / values_HW.size) ** 2)


def _dct_hash(tiny: np.ndarray) -> str:
    frequencies = (COSINES @ tiny @ COSINES.T).ravel()
    # the constant term says brightness, not content: the median is that of the other 255
    middle = frequencies.size // 2 - 1
    return np.packbits(frequencies > np.partition(frequencies[1:], middle)[middle]).tobytes().hex()
