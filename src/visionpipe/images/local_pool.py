"""Worker processes on this machine: one that is late or dead is replaced, and none outlives its run."""

from __future__ import annotations

import os
import resource
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import active_children, parent_process
from typing import TYPE_CHECKING, Any

from visionpipe.errors import VisionpipeError
from visionpipe.images import fork_server
from visionpipe.images.allocator import keep_freed_memory

if TYPE_CHECKING:
    from pebble import ProcessPool

_LOOK_S = 1.0  # between two looks at whether the workers still answer
_GRACE_S = 60.0  # for a worker to be ended and another one to start
_JOIN_S = 10.0  # for workers to end in order


@contextmanager
def local_pool(work: Callable[..., Any], workers: int | None, memory_mb: int) -> Iterator[LocalPool]:
    """Start workers, as many as there are cores by default, and end them.

    Parameters
    ----------
    work : callable
        What each of them does; a function of a module.
    workers : int or None
        Processes.
    memory_mb : int
        What each may take [MiB of address space].
    """
    from pebble import ProcessPool

    count = workers or len(os.sched_getaffinity(0))
    processes = ProcessPool(
        count, initializer=_start_worker, initargs=[memory_mb], context=fork_server.context()
    )
    fork_server.start_early()
    try:
        with fork_server.interrupts_later():  # a worker that nobody knows of yet could not be ended
            started = processes.active
        if not started:
            raise _gone()
        yield LocalPool(processes, work, count)
    except BrokenProcessPool as error:
        raise _gone() from error
    finally:
        processes.stop()
        ending = threading.Thread(target=processes.join, daemon=True)
        ending.start()
        ending.join(_JOIN_S)
        if ending.is_alive():  # it waits for the rest of a message whose sender was killed
            for child in active_children():
                if isinstance(child, fork_server.Worker):
                    child.kill()


class LocalPool:
    """Hands work to processes of this machine."""

    def __init__(self, processes: ProcessPool, work: Callable[..., Any], workers: int) -> None:
        from pebble import ProcessExpired

        self._processes, self._work = processes, work
        self._heard = time.monotonic()
        self.workers = workers
        self.failures = (TimeoutError, ProcessExpired)

    def submit(self, *arguments: Any, timeout_s: float) -> LocalResult:
        """Start a piece of work.

        Raises
        ------
        VisionpipeError
            When the workers cannot be started, or are gone.
        """
        try:
            future = self._processes.submit(self._work, timeout_s, *arguments)
        except RuntimeError as error:  # so pebble calls a pool that has broken
            raise _gone() from error
        self._hear(future)
        future.add_done_callback(self._hear)
        return LocalResult(future, timeout_s, self)

    def _hear(self, _: Future) -> None:
        self._heard = time.monotonic()

    def require_life(self, timeout_s: float) -> None:
        """Raise when nothing has come back for so long that the workers must be stuck [s]."""
        if time.monotonic() - self._heard > timeout_s:
            raise _gone()


@dataclass(frozen=True)
class LocalResult:
    """A piece of work on its way."""

    future: Future
    timeout_s: float
    pool: LocalPool

    def result(self) -> Any:
        """Wait; a worker that was killed while it handed over a result may leave all the others stuck."""
        while not wait([self.future], timeout=_LOOK_S).done:
            self.pool.require_life(self.timeout_s + _GRACE_S)  # one that is late is ended after `timeout_s`
        return self.future.result()


def _gone() -> VisionpipeError:
    return VisionpipeError(
        "the processes that inspect photos no longer answer; were they killed? What was taken in is kept: run "
        "again to go on"
    )


def _start_worker(memory_mb: int) -> None:
    """Bound this worker's memory, silence its decoders, and end it when the run that it works for is killed."""
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123 - libtiff prints what it thinks of every bad tag
        os.dup2(nowhere.fileno(), 2)
    keep_freed_memory()
    resource.setrlimit(resource.RLIMIT_AS, (memory_mb * 2**20, resource.RLIM_INFINITY))
    run = parent_process()

    def watch() -> None:
        if run is not None:
            run.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
