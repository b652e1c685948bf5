"""One run at a time appends to a table; another one waits for it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from kedro.framework.hooks import hook_impl

if TYPE_CHECKING:
    from filelock import FileLock
    from kedro.io import CatalogProtocol
    from kedro.pipeline import Pipeline

logger = logging.getLogger(__name__)


class RunLockHook:
    """Holds a lock on every append-only table that a run writes, from before its first node to its end.

    A run reads such a table, decides what is new and appends it: two at once would append it twice. The operating
    system releases the lock of a run that is killed.
    """

    def __init__(self) -> None:
        self._held: list[FileLock] = []

    @hook_impl(tryfirst=True)
    def before_pipeline_run(self, pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """Wait until no other run writes the tables that this one appends to."""
        self._release()
        from filelock import FileLock, Timeout

        from visionpipe.datasets.photos import ShardedTable

        written = (catalog.get(name) for name in pipeline.all_outputs() if name in catalog)
        tables = {dataset.path for dataset in written if isinstance(dataset, ShardedTable)}
        for path in sorted(tables):  # in one order always, so that two runs never wait for each other
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(_lock_of(path))
            try:
                lock.acquire(timeout=0)
            except Timeout:
                logger.warning("another run is writing %s: waiting for it to end", path)
                lock.acquire()
            self._held.append(lock)

    @hook_impl(trylast=True)
    def after_pipeline_run(self) -> None:
        """Let the next run go on."""
        self._release()

    @hook_impl(trylast=True)
    def on_pipeline_error(self) -> None:
        """Let the next run go on."""
        self._release()

    def _release(self) -> None:
        while self._held:
            self._held.pop().release()


def _lock_of(table: Path) -> Path:
    return table.with_name(f".{table.name}.lock")
