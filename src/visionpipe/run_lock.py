"""Runs that would change each other's data wait for each other."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from kedro.framework.hooks import hook_impl

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from filelock import FileLock
    from kedro.io import CatalogProtocol
    from kedro.pipeline import Pipeline

logger = logging.getLogger(__name__)


class RunLockHook:
    """Lets a run wait for others that would change its data under it, from before its first node to its end.

    A run reads an append-only table, decides what is new and appends it: two at once would append it twice. And all
    runs on the way to a model share one manifest, one array of prepared images, one folder of checkpoints and one
    candidate. The operating system releases the locks of a run that is killed.
    """

    def __init__(self) -> None:
        self._held: list[FileLock] = []

    @hook_impl(wrapper=True)
    def before_pipeline_run(
        self, pipeline: Pipeline, catalog: CatalogProtocol
    ) -> Generator[None, object, object]:
        """Wait until no other run writes what this one reads and writes; let it go on if this one cannot begin."""
        self._release()  # what a run was holding that was interrupted in this process
        try:
            self._acquire(pipeline, catalog)
            return (yield)
        except BaseException:
            self._release()
            raise

    def _acquire(self, pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        from filelock import FileLock, Timeout

        # in one order always, so that two runs never wait for each other
        for path in sorted(_shared(pipeline, catalog)):
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(path.with_name(f".{path.name}.lock"))
            try:
                lock.acquire(timeout=0)
            except Timeout:
                logger.warning("another run is writing %s: waiting for it to end", path)
                lock.acquire()
            self._held.append(lock)

    @hook_impl(wrapper=True)
    def after_pipeline_run(self) -> Generator[None, object, object]:
        """Let the next run go on, once all is recorded."""
        try:
            return (yield)
        finally:
            self._release()

    @hook_impl(wrapper=True)
    def on_pipeline_error(self) -> Generator[None, object, object]:
        """Let the next run go on, once all is recorded."""
        try:
            return (yield)
        finally:
            self._release()

    def _release(self) -> None:
        while self._held:
            self._held.pop().release()


def _shared(pipeline: Pipeline, catalog: CatalogProtocol) -> set[Path]:
    """Return the tables that a run appends to, and the candidate if the run is on the way to one, or judges it."""
    from kedro.framework.project import pipelines

    from visionpipe.datasets.models import CandidateFolder
    from visionpipe.datasets.photos import ShardedTable

    to_a_model = pipelines["__default__"]
    written = (catalog.get(name) for name in pipeline.all_outputs() if name in catalog)
    shared = {dataset.path for dataset in written if isinstance(dataset, ShardedTable)}
    if {node.name for node in pipeline.nodes} & {node.name for node in to_a_model.nodes}:
        made = (catalog.get(name) for name in to_a_model.all_outputs() if name in catalog)
        shared |= {dataset.path for dataset in made if isinstance(dataset, CandidateFolder)}
    return shared
