"""Near-duplicates: the same picture recompressed, resized, cropped by up to 10 %, brightened or mirrored.

A descriptor finds candidates among a million pictures, the fine detail of the aligned looks confirms them
(`visionpipe.images.alignment`). An arrival is compared with everything that came before it, so the answer for an
image never changes and is stored with it.

N = images, Q = queries, D = 63 (descriptor), S = 64 (side of a look in pixels).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from tempfile import TemporaryFile
from typing import NamedTuple

import numpy as np

from visionpipe.images.alignment import WORTH_A_CLOSER_LOOK, detail_correlation
from visionpipe.images.frequencies import COSINES, DCT_SIDE_PX

LOOK_SIDE_PX = DCT_SIDE_PX
_FREQUENCIES = 8  # 8 x 8 lowest frequencies of the DCT …
DESCRIPTOR_LENGTH = _FREQUENCIES**2 - 1  # … without the constant one
_CANDIDATES = 3  # the nearest that came earlier
_MIN_COSINE = 0.85  # crops of 10 % of the area keep 0.91 in 99 of 100 photos
_MIN_DETAIL = 0.65  # planted near-duplicates reach 0.75 in 99 of 100 photos, look-alikes 0.64 at most
_LOOKALIKE_RANK, _LOOKALIKES = 32, 4  # too far down the list to be copies, in all but large bursts
# where pictures that are no copies agree in detail, too, copies must agree more: detail of look-alikes -> bar
_BARS = ((0.2, 0.4), (_MIN_DETAIL, 0.995))
_FLAT_UNTIL = 65_536  # images searched one by one; beyond, by inverted lists
_LISTS, _PROBES = 2048, 6
_BATCH = 128  # pairs aligned at a time: their arrays stay in the processor's cache


class Link(NamedTuple):
    """An earlier image that a new one is a near-duplicate of; `kind` is `"near"` or `"flipped"`."""

    image_id: str
    kind: str


def describe(looks_NSS: np.ndarray) -> np.ndarray:
    """Compute descriptors of looks: the direction of their low-frequency DCT coefficients.

    Parameters
    ----------
    looks_NSS : numpy.ndarray
        (N, 64, 64) luma, uint8.

    Returns
    -------
    numpy.ndarray
        (N, 63) int8; the cosine between two tells how alike the pictures are in the large, whatever their
        brightness and contrast.
    """
    low = COSINES[:_FREQUENCIES]
    spectrum = low @ looks_NSS.astype(np.float32) @ low.T
    vectors = spectrum.reshape(len(looks_NSS), -1)[:, 1:]
    length = np.abs(vectors).max(axis=1, keepdims=True)
    return np.rint(vectors * (127 / np.maximum(length, 1e-3))).astype(np.int8)


def flip(descriptors_ND: np.ndarray) -> np.ndarray:
    """Return the descriptors of the mirrored pictures: odd horizontal frequencies change their sign.

    Examples
    --------
    >>> look = np.random.default_rng(0).integers(0, 256, (1, 64, 64), dtype=np.uint8)
    >>> bool((describe(look[:, :, ::-1]) == flip(describe(look))).all())
    True
    """
    signs = np.where(np.arange(_FREQUENCIES**2) % 2, -1, 1)[1:]
    return descriptors_ND * signs.astype(np.int8)


class DescriptorIndex:
    """Nearest neighbours by cosine among all descriptors added so far.

    Exact up to 65,536 images; beyond, the inverted lists of Jégou et al., "Product quantization for nearest
    neighbor search", PAMI 2011, without the quantisation. The lists are made from the first images, once, so that
    adding is cheap at any size.
    """

    def __init__(self) -> None:
        import faiss

        self._faiss = faiss
        self._index = faiss.IndexFlatIP(DESCRIPTOR_LENGTH)

    def __len__(self) -> int:
        return self._index.ntotal

    def add(self, descriptors_ND: np.ndarray) -> None:
        """Add descriptors; their numbers go on from those added before."""
        vectors = _unit(descriptors_ND)
        flat = isinstance(self._index, self._faiss.IndexFlatIP)
        if flat and len(self) + len(vectors) > _FLAT_UNTIL:
            vectors = np.concatenate([self._index.reconstruct_n(0, len(self)), vectors])
            width = vectors.shape[1]
            quantiser = self._faiss.IndexFlatIP(width)
            self._index = self._faiss.IndexIVFFlat(quantiser, width, _LISTS, self._faiss.METRIC_INNER_PRODUCT)
            self._index.cp.min_points_per_centroid = 1
            self._index.train(vectors[:_FLAT_UNTIL])
            self._index.nprobe = _PROBES
        self._index.add(vectors)

    def search(self, descriptors_QD: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return (Q, k) cosines, best first, and (Q, k) numbers; -1 where there are fewer images."""
        return self._index.search(_unit(descriptors_QD), k)


class NearDuplicates:
    """Finds, for images in the order of their arrival, the earlier ones that they are near-duplicates of.

    Parameters
    ----------
    image_ids : iterable of str
        Images stored already.
    descriptors_ND : numpy.ndarray
        (N, 63) int8, theirs.
    read_looks : callable
        Given numbers of stored images, returns their looks, (M, 64, 64) uint8.
    """

    def __init__(
        self,
        image_ids: Iterable[str],
        descriptors_ND: np.ndarray,
        read_looks: Callable[[np.ndarray], np.ndarray],
    ) -> None:
        self._image_ids = list(image_ids)
        self._looks = _Looks(len(self._image_ids), read_looks)
        self._index = DescriptorIndex()
        if len(self._image_ids):
            self._index.add(descriptors_ND)

    def close(self) -> None:
        """Give back the scratch file."""
        self._looks.close()

    def find(
        self, image_ids: Sequence[str], looks_NSS: np.ndarray, descriptors_ND: np.ndarray
    ) -> list[list[Link]]:
        """Find the near-duplicates of new images among all earlier ones, the new ones before them included.

        Parameters
        ----------
        image_ids : sequence of str
            New images, in order of arrival.
        looks_NSS : numpy.ndarray
            (N, 64, 64) uint8, theirs.
        descriptors_ND : numpy.ndarray
            (N, 63) int8, `describe(looks_NSS)`.

        Returns
        -------
        list of list of Link
            One list an image, the surest link first.
        """
        pairs = self._candidates(descriptors_ND)
        self._image_ids += image_ids
        self._index.add(descriptors_ND)
        self._looks.append(looks_NSS)
        mine = looks_NSS[pairs.query]
        mine[pairs.flipped] = mine[pairs.flipped][:, :, ::-1]
        detail = self._compare(pairs.other, mine)
        likely = np.flatnonzero(detail >= _MIN_DETAIL)
        suspects = np.unique(pairs.query[likely])
        bars = dict(zip(suspects, self._bars(descriptors_ND[suspects], looks_NSS[suspects]), strict=True))
        links: list[dict[str, Link]] = [{} for _ in image_ids]
        for pair in likely[np.argsort(-detail[likely], kind="stable")]:
            if detail[pair] >= bars[pairs.query[pair]]:
                link = Link(self._image_ids[pairs.other[pair]], "flipped" if pairs.flipped[pair] else "near")
                links[pairs.query[pair]].setdefault(link.image_id, link)  # a symmetric one matches both ways
        return [list(found.values()) for found in links]

    def _candidates(self, descriptors: np.ndarray) -> _Pairs:
        """Return the pairs worth a look: with the nearest images in the index, and with earlier ones of the batch."""
        n_before, n_new = len(self._index), len(descriptors)
        units = _unit(descriptors)
        is_later = np.triu(np.ones((n_new, n_new), bool))
        parts = []
        for flipped, wanted in ((False, descriptors), (True, flip(descriptors))):
            among = np.where(is_later, -1, _unit(wanted) @ units.T)
            nearest = np.argpartition(-among, min(_CANDIDATES, n_new) - 1, axis=1)[:, :_CANDIDATES]
            cosines = np.take_along_axis(among, nearest, axis=1)
            found = nearest + n_before
            if n_before:
                stored_cosines, stored = self._index.search(wanted, _CANDIDATES)
                cosines, found = np.hstack([stored_cosines, cosines]), np.hstack([stored, found])
            best = np.argsort(-cosines, axis=1, kind="stable")[:, :_CANDIDATES]
            cosines, found = np.take_along_axis(cosines, best, 1), np.take_along_axis(found, best, 1)
            query, column = np.nonzero((cosines >= _MIN_COSINE) & (found >= 0))
            parts.append(_Pairs(query, found[query, column], np.full(len(query), flipped)))
        return _Pairs(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))

    def _bars(self, descriptors: np.ndarray, looks: np.ndarray) -> np.ndarray:
        """Say how much detail must agree: more where pictures that are no copies agree in detail, too."""
        k = min(_LOOKALIKE_RANK + _LOOKALIKES, len(self._index))
        if not len(descriptors) or k <= 2 * _LOOKALIKES:
            return np.full(len(descriptors), _MIN_DETAIL)
        lookalikes = self._index.search(descriptors, k)[1][:, -_LOOKALIKES:]
        rows, columns = np.nonzero(lookalikes >= 0)
        detail = np.full(lookalikes.shape, -1, np.float32)
        detail[rows, columns] = self._compare(lookalikes[rows, columns], looks[rows], -1)
        return np.interp(detail.max(axis=1), *_BARS)

    def _compare(
        self, numbers: np.ndarray, mine: np.ndarray, worth_a_closer_look: float = WORTH_A_CLOSER_LOOK
    ) -> np.ndarray:
        unique, place = np.unique(numbers, return_inverse=True)
        theirs = self._looks.take(unique)

        def compare(start: int) -> np.ndarray:
            batch = slice(start, start + _BATCH)
            return detail_correlation(theirs[place[batch]], mine[batch], worth_a_closer_look)

        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:  # NumPy lets them run side by side
            parts = list(threads.map(compare, range(0, len(mine), _BATCH)))
        return np.concatenate([np.zeros(0, np.float32), *parts])


class _Pairs(NamedTuple):
    """Which new image (by its place in the batch) is compared, mirrored or not, with which (by its number)."""

    query: np.ndarray
    other: np.ndarray
    flipped: np.ndarray


class _Looks:
    """The looks of all images by number: stored ones are read when asked for, this run's lie in a scratch file."""

    def __init__(self, n_stored: int, read_stored: Callable[[np.ndarray], np.ndarray]) -> None:
        self._n_stored = n_stored
        self._read_stored = read_stored
        self._scratch = TemporaryFile()  # noqa: SIM115 - closed by close()

    def close(self) -> None:
        self._scratch.close()

    def append(self, looks: np.ndarray) -> None:
        self._scratch.seek(0, os.SEEK_END)
        self._scratch.write(np.ascontiguousarray(looks).tobytes())
        self._scratch.flush()

    def take(self, numbers: np.ndarray) -> np.ndarray:
        looks = np.empty((len(numbers), LOOK_SIDE_PX, LOOK_SIDE_PX), np.uint8)
        is_stored = numbers < self._n_stored
        if is_stored.any():
            looks[is_stored] = self._read_stored(numbers[is_stored])
        if not is_stored.all():
            # read, not mapped: of a mapped file the kernel brings in 16 pages for each that is touched
            for row in np.flatnonzero(~is_stored):
                offset = (int(numbers[row]) - self._n_stored) * LOOK_SIDE_PX**2
                os.preadv(self._scratch.fileno(), [looks[row]], offset)
        return looks


def _unit(descriptors: np.ndarray) -> np.ndarray:
    vectors = descriptors.astype(np.float32)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-3)
