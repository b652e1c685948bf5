"""Inspect many photos at once, in order, in worker processes, with bounded memory."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from itertools import chain
from multiprocessing import get_context, parent_process

from visionpipe.images.importers import Photo
from visionpipe.images.inspect import Inspection, Refusal, inspect_photo
from visionpipe.images.parameters import IngestionParameters

_BATCH = 32  # photos a worker takes at a time: enough to hide the cost of handing them over


def inspect_photos(
    photos: list[Photo], limits: IngestionParameters
) -> Iterator[tuple[Photo, bytes, Inspection | Refusal]]:
    """Read and inspect photos in parallel and yield them in order.

    At most `limits.chunk_images` are in flight, so memory does not grow with the collection.
    """
    with _executor(limits.workers, len(photos)) as pool:
        mapper = pool.map if pool else map
        for start in range(0, len(photos), limits.chunk_images):
            window = photos[start : start + limits.chunk_images]
            batches = [
                [(photo.n_bytes, photo.read) for photo in window[first : first + _BATCH]]
                for first in range(0, len(window), _BATCH)
            ]
            inspected = chain.from_iterable(mapper(_inspect_batch, batches, [limits] * len(batches)))
            for photo, (data, verdict) in zip(window, inspected, strict=True):
                yield photo, data, verdict


def _inspect_batch(
    files: list[tuple[int, Callable[[], bytes]]], limits: IngestionParameters
) -> list[tuple[bytes, Inspection | Refusal]]:
    results = []
    for n_bytes, read in files:
        if n_bytes > limits.max_bytes:  # not opened: it might not fit into memory
            detail = f"{n_bytes} bytes, at most {limits.max_bytes} (ingestion.max_bytes)"
            results.append((b"", Refusal("too_large", detail, sha256="", n_bytes=n_bytes)))
            continue
        try:
            data = read()
        except OSError as error:
            detail = f"{type(error).__name__}: {error.strerror or error}"
            results.append((b"", Refusal("unreadable", detail, sha256="", n_bytes=0)))
        else:
            verdict = inspect_photo(data, limits)
            results.append((data if isinstance(verdict, Inspection) else b"", verdict))
    return results


@contextmanager
def _executor(workers: int, n_tasks: int) -> Iterator[Executor | None]:
    """Give a process pool, or None where so little is to do that starting one costs more.

    Parameters
    ----------
    workers : int
        Processes; 0 means one per core.
    n_tasks : int
        Photos to work on.
    """
    count = workers or os.cpu_count() or 1
    if count == 1 or n_tasks < 4 * _BATCH:
        yield None
        return
    # forkserver: a fork of this process would copy the locks of torch's and pyarrow's threads
    with ProcessPoolExecutor(
        count, mp_context=get_context("forkserver"), initializer=_end_with_the_run
    ) as pool:
        yield pool


def _end_with_the_run() -> None:
    """End this worker when the run that it works for is killed; otherwise it would wait for work for ever."""
    run = parent_process()

    def watch() -> None:
        if run is not None:
            run.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
