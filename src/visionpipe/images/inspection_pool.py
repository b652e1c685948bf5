"""Inspect many photos at once, in order, in worker processes, with bounded memory.

A decoder is C code that reads strangers' bytes: it may crash, hang or eat memory. It does so in a process of its
own, under a time and a memory limit, and costs the one file that made it.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from visionpipe.errors import VisionpipeError
from visionpipe.images.inspect import Inspection, Refusal, inspect_photo
from visionpipe.images.local_pool import local_pool
from visionpipe.images.parameters import IngestionParameters

if TYPE_CHECKING:
    from distributed import Client

    from visionpipe.images.importers import Photo

logger = logging.getLogger(__name__)

_BATCH_IMAGES = 32  # a worker takes as many at a time: enough to hide the cost of handing them over …
_BATCH_BYTES = 8 * 2**20  # … or as much, so that what is in flight stays small
_UNKNOWN_BYTES = 2 * 2**20
_IN_FLIGHT_BATCHES = 32  # a worker: enough to go on with while the run places and writes a chunk …
_IN_FLIGHT_BYTES = 96 * 2**20  # … in all, unless a single batch is larger

Outcome = tuple[bytes, Inspection | Refusal]
_File = tuple[int, Callable[[], bytes]]


class Pending(Protocol):
    """A batch on its way."""

    def result(self) -> list[Outcome]:
        """Wait for the outcomes; raises when the worker died or took too long."""


class Pool(Protocol):
    """What inspects batches somewhere else."""

    workers: int
    failures: tuple[type[Exception], ...]
    """What a batch's result raises when its worker died, or was too late."""

    def submit(self, files: list[_File], parameters: IngestionParameters, *, timeout_s: float) -> Pending:
        """Start inspecting a batch."""


def inspect_photos(
    photos: Iterable[Photo], parameters: IngestionParameters
) -> Iterator[tuple[Photo, bytes, Inspection | Refusal]]:
    """Read and inspect photos in parallel and yield them in order.

    A bounded number of bytes is in flight, so memory does not grow with the collection.

    Yields
    ------
    tuple of Photo, bytes, Inspection or Refusal
        The bytes to store. A file that kills its worker, or keeps it longer than `parameters.file_timeout_s`, is
        refused as `decoder_died` or `decoder_hung`.
    """
    with _pool(parameters) as pool:
        running: deque[tuple[list[Photo], int, Pending]] = deque()
        batches = _batches(photos)
        while True:
            while _has_room(running, pool) and (following := next(batches, None)):
                batch, n_bytes = following
                # one slow file must not spoil a batch that is merely large: those of a late batch are tried alone
                pending = pool.submit(_files(batch), parameters, timeout_s=2 * parameters.file_timeout_s)
                running.append((batch, n_bytes, pending))
            if not running:
                return
            batch, _, pending = running.popleft()
            for photo, (data, verdict) in zip(
                batch, _outcomes(batch, pending, pool, parameters), strict=True
            ):
                yield photo, data, verdict


def _has_room(running: deque[tuple[list[Photo], int, Pending]], pool: Pool) -> bool:
    n_bytes = sum(size for _, size, _ in running)
    return not running or (len(running) < _IN_FLIGHT_BATCHES * pool.workers and n_bytes < _IN_FLIGHT_BYTES)


def _outcomes(
    batch: list[Photo], pending: Pending, pool: Pool, parameters: IngestionParameters
) -> list[Outcome]:
    try:
        return pending.result()
    except pool.failures as error:
        if len(batch) == 1:
            return [(b"", _blame(batch[0], error, parameters))]
        logger.warning("a decoder failed on one of %d files; they are tried one by one", len(batch))
    outcomes = []
    for photo in batch:
        alone = pool.submit(_files([photo]), parameters, timeout_s=parameters.file_timeout_s)
        outcomes += _outcomes([photo], alone, pool, parameters)
    return outcomes


def _blame(photo: Photo, error: Exception, parameters: IngestionParameters) -> Refusal:
    if isinstance(error, TimeoutError):
        detail = f"not done after {parameters.file_timeout_s:g} s (ingestion.file_timeout_s)"
        return Refusal("decoder_hung", detail, sha256="", n_bytes=photo.n_bytes)
    return Refusal("decoder_died", "its decoder ended the process", sha256="", n_bytes=photo.n_bytes)


def _batches(photos: Iterable[Photo]) -> Iterator[tuple[list[Photo], int]]:
    """Cut the photos into batches, each with its size in bytes."""
    batch: list[Photo] = []
    n_bytes = 0
    for photo in photos:
        if batch and (len(batch) == _BATCH_IMAGES or n_bytes + _size(photo) > _BATCH_BYTES):
            yield batch, n_bytes
            batch, n_bytes = [], 0
        batch.append(photo)
        n_bytes += _size(photo)
    if batch:
        yield batch, n_bytes


def _size(photo: Photo) -> int:
    """Return how much memory a photo may take; of some it is not known before they are read."""
    return photo.n_bytes or _UNKNOWN_BYTES


def _files(batch: list[Photo]) -> list[_File]:
    for photo in batch:
        if getattr(photo.read, "__module__", None) == "__main__":
            raise VisionpipeError(
                f"{photo.path}: is read by {type(photo.read).__name__} of the main script, which worker processes do "
                "not import; define it in a module"
            )
    return [(photo.n_bytes, photo.read) for photo in batch]


def inspect_batch(files: list[_File], parameters: IngestionParameters) -> list[Outcome]:
    """Inspect files one after the other; what a worker does."""
    return [_inspect_file(n_bytes, read, parameters) for n_bytes, read in files]


def _inspect_file(n_bytes: int, read: Callable[[], bytes], parameters: IngestionParameters) -> Outcome:
    if n_bytes > parameters.max_bytes:  # not opened: it might not fit into memory
        detail = f"{n_bytes} bytes, at most {parameters.max_bytes} (ingestion.max_bytes)"
        return b"", Refusal("too_large", detail, sha256="", n_bytes=n_bytes)
    try:
        return inspect_photo(read(), parameters)
    except OSError as error:
        detail = f"{type(error).__name__}: {error.strerror or error}"
        return b"", Refusal("unreadable", detail, sha256="", n_bytes=0)
    except MemoryError:
        detail = f"more than {parameters.worker_memory_mb} MB needed (ingestion.worker_memory_mb)"
        return b"", Refusal("out_of_memory", detail, sha256="", n_bytes=n_bytes)


@contextmanager
def _pool(parameters: IngestionParameters) -> Iterator[Pool]:
    """Give processes on this machine, or the workers of a Dask cluster."""
    if parameters.scheduler is None:
        with local_pool(inspect_batch, parameters.workers, parameters.worker_memory_mb) as processes:
            yield processes
    else:
        with _dask_client(parameters.scheduler) as client:
            yield _DaskPool(client)


class _DaskPool:
    """The workers of a Dask cluster; visionpipe must be installed on them, and the photos within their reach."""

    def __init__(self, client: Client) -> None:
        from distributed import KilledWorker

        self._client = client
        self.failures = (TimeoutError, KilledWorker)
        self.workers = max(1, sum(client.nthreads().values()))

    def submit(self, files: list[_File], parameters: IngestionParameters, *, timeout_s: float) -> _DaskResult:
        future = self._client.submit(inspect_batch, files, parameters, pure=False, retries=0)
        # it may have to wait its turn
        return _DaskResult(self._client, future, timeout_s * _IN_FLIGHT_BATCHES)


@dataclass(frozen=True)
class _DaskResult:
    client: Client
    future: Any
    timeout_s: float

    def result(self) -> list[Outcome]:
        """Wait; a worker that is late is started anew, for a thread cannot be stopped."""
        try:
            return self.future.result(timeout=self.timeout_s)
        except TimeoutError:
            late = [worker for worker, keys in self.client.processing().items() if self.future.key in keys]
            self.future.cancel(force=True)
            self.client.restart_workers(late)
            raise


@contextmanager
def _dask_client(scheduler: str) -> Iterator[Client]:
    try:
        from distributed import Client
    except ImportError as error:
        raise VisionpipeError(
            "ingestion.scheduler needs Dask: install the extra `distributed` (pip install 'visionpipe[distributed]')"
        ) from error
    try:
        client = Client(scheduler, timeout=10)
    except (OSError, ValueError) as error:
        raise VisionpipeError(
            f"ingestion.scheduler: no Dask scheduler answers at {scheduler}; start one with `dask scheduler`"
        ) from error
    with client:
        if not client.nthreads():
            raise VisionpipeError(
                f"ingestion.scheduler: {scheduler} has no workers; start some with `dask worker`"
            )
        yield client
