"""Decode every image once, to one size, into one array on disk that training maps into memory."""

from __future__ import annotations

import errno
import hashlib
import os
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import PIL

from visionpipe.errors import VisionpipeError
from visionpipe.images.decode import decode_rgb
from visionpipe.images.store import ImageReader
from visionpipe.progress import progress_bar

_BATCH = 256


@dataclass(frozen=True)
class PreparedImages:
    """Decoded images and whose they are.

    Attributes
    ----------
    image_ids : tuple of str
        One an image, in the array's order.
    pixels_NHWC : numpy.ndarray
        (N, side, side, 3) uint8; usually memory-mapped, so only what is indexed is read.
    """

    image_ids: tuple[str, ...]
    pixels_NHWC: np.ndarray

    def rows(self, image_ids: Sequence[str]) -> np.ndarray:
        """Return the array rows of the given images, int64."""
        position = {image_id: row for row, image_id in enumerate(self.image_ids)}
        return np.array([position[image_id] for image_id in image_ids], dtype=np.int64)


@dataclass(frozen=True)
class ImagePlan:
    """What is to be decoded; the dataset that saves it carries the plan out.

    Attributes
    ----------
    image_ids : tuple of str
        The images wanted, in the order of the array.
    side_px : int
        Side of the square that each is scaled to [pixels].
    read : ImageReader
        Streams the bytes.
    """

    image_ids: tuple[str, ...]
    side_px: int
    read: ImageReader

    @property
    def key(self) -> str:
        """Fingerprint of content, size and decoder: an array with another key is stale."""
        listed = "\n".join([str(self.side_px), f"Pillow {PIL.__version__}", *self.image_ids])
        return hashlib.sha256(listed.encode()).hexdigest()

    def decode(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Decode in batches, as (rows int64, pixels (B, side, side, 3) uint8)."""
        row_of = {image_id: row for row, image_id in enumerate(self.image_ids)}
        for image_ids, pixels_BHWC in decode_batches(self.read, self.image_ids, self.side_px):
            yield np.array([row_of[image_id] for image_id in image_ids]), pixels_BHWC


def decode_batches(
    read: ImageReader, image_ids: Sequence[str], side_px: int
) -> Iterator[tuple[list[str], np.ndarray]]:
    """Stream images, decoded on all cores, in the store's order.

    Parameters
    ----------
    read : ImageReader
        Streams their bytes.
    image_ids : sequence of str
        The images wanted.
    side_px : int
        Side of the square that each is scaled to [pixels].

    Yields
    ------
    image_ids, pixels_BHWC
        At most 256 at a time; uint8.
    """
    stream = iter(read(image_ids))
    # threads: Pillow and the resampling release the interpreter's lock while they work
    with ThreadPoolExecutor() as pool, progress_bar() as progress:
        task = progress.add_task("Decoding", total=len(image_ids), note="")
        while batch := list(islice(stream, _BATCH)):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # these bytes passed inspection; EXIF noise is no fault
                pixels = list(pool.map(lambda item: decode_rgb(item[1], side_px), batch))
            yield [image_id for image_id, _ in batch], np.stack(pixels)
            progress.advance(task, len(batch))


def write_prepared(plan: ImagePlan, folder: Path) -> None:
    """Carry out a plan into `images.npy` and `image_ids.txt`; an array of the same plan is kept as it is.

    Raises
    ------
    OSError
        When the disk has no room for the array, before anything is decoded.
    """
    key_file = folder / "key.txt"
    if key_file.exists() and key_file.read_text() == plan.key:
        return
    folder.mkdir(parents=True, exist_ok=True)
    key_file.unlink(missing_ok=True)  # from here until the key is written again the array counts as stale
    shape = (len(plan.image_ids), plan.side_px, plan.side_px, 3)
    array = np.lib.format.open_memmap(folder / "images.npy", mode="w+", dtype=np.uint8, shape=shape)
    _take_room(folder / "images.npy")
    for rows, pixels_BHWC in plan.decode():
        array[rows] = pixels_BHWC
    array.flush()
    (folder / "image_ids.txt").write_text("\n".join(plan.image_ids) + "\n")
    key_file.write_text(plan.key)


def _take_room(path: Path) -> None:
    """Give a file its blocks on the disk: writing to a map of one that has none, the full disk kills the process."""
    with path.open("rb+") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        except OSError as error:
            if error.errno in {errno.EOPNOTSUPP, errno.EINVAL}:  # a file system that cannot tell beforehand
                return
            path.unlink()  # or what it did get would keep the disk full
            raise OSError(error.errno, error.strerror, str(path)) from None


def read_prepared(folder: Path) -> PreparedImages:
    """Map the array into memory.

    Raises
    ------
    VisionpipeError
        When there is no finished array in the folder.
    """
    if not (folder / "key.txt").exists():
        raise VisionpipeError(f"{folder}: no finished array of decoded images; run the training pipeline")
    image_ids = tuple((folder / "image_ids.txt").read_text().split())
    return PreparedImages(image_ids, np.load(folder / "images.npy", mmap_mode="r"))
