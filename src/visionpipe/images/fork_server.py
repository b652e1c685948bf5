"""The process that inspecting workers are forked from: small, and up before they are needed."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import ForkServerContext, ForkServerProcess

_PRELOADED = [
    "visionpipe.images.inspection_pool",
    # Pillow imports these at the first photo, which would be once in every worker
    "PIL.BmpImagePlugin",
    "PIL.GifImagePlugin",
    "PIL.JpegImagePlugin",
    "PIL.PngImagePlugin",
    "PIL.PpmImagePlugin",
    "PIL.WebPImagePlugin",
]

_starting = threading.Lock()  # a worker that died is replaced from another thread


class Worker(ForkServerProcess):
    """A process that does not import the caller's main module again.

    `kedro` alone would cost each worker 0.3 s, and a script without an `if __name__ == "__main__"` would start itself
    again. What workers are given must therefore not be defined in that module.
    """

    def start(self) -> None:
        """Start it."""
        main = sys.modules["__main__"]
        with _starting:
            kept = {name: getattr(main, name) for name in ("__file__", "__spec__") if hasattr(main, name)}
            try:  # multiprocessing reads from these what a new process is to import
                for name in kept:
                    setattr(main, name, None)
                super().start()
            finally:
                for name, value in kept.items():
                    setattr(main, name, value)


class _Context(ForkServerContext):
    Process = Worker


def context() -> ForkServerContext:
    """Return what starts workers.

    By a server, since a fork of this process would copy the locks of torch's and pyarrow's threads.
    """
    started_by = _Context()
    started_by.set_forkserver_preload(_PRELOADED)
    return started_by


def start_early() -> None:
    """Start the server now, so that it imports what workers need while this process does something else."""
    context()
    resource_tracker.ensure_running()  # which the server would start, and which unblocks what is blocked below
    with interrupts_later():  # the server inherits that: Ctrl-C is for its parent
        forkserver.ensure_running()


@contextmanager
def interrupts_later() -> Iterator[None]:
    """Keep a Ctrl-C until the block is left."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
