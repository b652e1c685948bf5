"""Pictures that are none of a model's business: the user's own, or drawn ones."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence

import numpy as np

from visionpipe.counting import counted
from visionpipe.errors import VisionpipeError
from visionpipe.images.decode import decode_rgb
from visionpipe.images.importers import Photo

logger = logging.getLogger(__name__)


def unrelated_pictures(
    photos: Sequence[Photo], count: int, side_px: int, seed: int
) -> tuple[np.ndarray, str]:
    """Return unrelated pictures, and in words where they come from.

    Parameters
    ----------
    photos : sequence of Photo
        The user's; when empty, pictures are drawn.
    count : int
        At most so many; of more photos, some are drawn by lot.
    side_px : int
        Side of the square that each is scaled to [pixels].
    seed : int
        Of the lot, or of the drawing.

    Returns
    -------
    pixels_NHWC, origin
        uint8.

    Raises
    ------
    VisionpipeError
        When none of the photos can be read.
    """
    if not photos:
        return draw_pictures(
            count, side_px, seed
        ), "drawn: plain colours, gradients, stripes, checks, clouds, noise"
    order = np.random.default_rng(seed).permutation(len(photos))
    pixels = []
    for place in order:
        if len(pixels) < count and (read := _read(photos[place], side_px)) is not None:
            pixels.append(read)
    if not pixels:
        raise VisionpipeError(
            f"unrelated_photos: none of {len(photos)} files can be read as a photo; "
            "give other ones in the catalog, or none to have pictures drawn"
        )
    return np.stack(pixels), f"{counted(len(pixels), 'photo')} of your own (catalog entry unrelated_photos)"


def draw_pictures(count: int, side_px: int, seed: int) -> np.ndarray:
    """Draw plain colours, gradients, stripes, checks, clouds and noise in turn, every other round in greys.

    Returns
    -------
    numpy.ndarray
        (count, side_px, side_px, 3) uint8.
    """
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:side_px, 0:side_px] / side_px
    pictures = np.empty((count, side_px, side_px, 3), dtype=np.uint8)
    for number in range(count):
        angle, cycles = random.uniform(0, 2 * np.pi), random.uniform(3, 20)
        along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        pattern = (
            lambda: np.zeros_like(x),
            lambda along=along: (along - along.min()) / np.ptp(along),
            lambda along=along, cycles=cycles: 0.5 + 0.5 * np.sin(2 * np.pi * cycles * along),
            lambda along=along, across=across, cycles=cycles: (
                (np.floor(cycles * along) + np.floor(cycles * across)) % 2
            ),
            lambda: _clouds(side_px, random),
            lambda: random.random((side_px, side_px)),
        )[number % 6]()
        first, second = random.random((2, 3))
        if number // 6 % 2:
            first, second = np.full(3, first[0]), np.full(3, second[0])
        picture = first + pattern[:, :, None] * (second - first)
        pictures[number] = np.round(255 * picture)
    return pictures


def _clouds(side_px: int, random: np.random.Generator) -> np.ndarray:
    """Draw noise whose amplitude falls with the frequency, 0 to 1."""
    frequency = np.hypot(np.fft.fftfreq(side_px)[:, None], np.fft.rfftfreq(side_px)[None, :])
    spectrum = (
        np.fft.rfft2(random.normal(size=(side_px, side_px))) / np.maximum(frequency, 1 / side_px) ** 1.5
    )
    clouds = np.fft.irfft2(spectrum, (side_px, side_px))
    return (clouds - clouds.min()) / max(np.ptp(clouds), 1e-12)


def _read(photo: Photo, side_px: int) -> np.ndarray | None:
    if photo.refusal is not None:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return decode_rgb(photo.read(), side_px)
    except Exception as error:  # noqa: BLE001 - decoders raise nearly anything on hostile bytes
        logger.warning("unrelated_photos: %s is left out: %s", photo.path, error)
        return None
