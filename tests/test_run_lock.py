"""Runs that would change each other's data wait for each other; others don't."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait

import pytest
from filelock import FileLock, Timeout
from kedro.framework.hooks import hook_impl
from kedro.framework.hooks.manager import _create_hook_manager
from kedro.framework.project import configure_project, pipelines
from kedro.io import DataCatalog

from project_copy import ROOT
from visionpipe.configuration import LayeredConfigLoader
from visionpipe.errors import VisionpipeError
from visionpipe.run_lock import RunLockHook
from visionpipe.settings import CONFIG_LOADER_ARGS


@pytest.fixture
def catalog(tmp_path, monkeypatch) -> DataCatalog:
    configure_project("visionpipe")
    monkeypatch.chdir(tmp_path)
    loader = LayeredConfigLoader(str(ROOT / "conf"), env="base", **CONFIG_LOADER_ARGS)
    return DataCatalog.from_config(loader["catalog"])


class Run:
    """What Kedro calls around a run, and nothing between."""

    def __init__(self, name: str, catalog: DataCatalog, *others: object) -> None:
        manager = _create_hook_manager()
        for hook in (RunLockHook(), *others):
            manager.register(hook)
        self._hooks = manager.hook
        self._given = {"run_params": {}, "pipeline": pipelines[name], "catalog": catalog}

    def begin(self) -> None:
        self._hooks.before_pipeline_run(**self._given)

    def end(self) -> None:
        self._hooks.after_pipeline_run(run_result={}, **self._given)

    def fail(self) -> None:
        self._hooks.on_pipeline_error(error=ValueError(), **self._given)


@pytest.fixture
def waits(catalog, caplog):
    """`waits(first, second)`: does a run of the second pipeline wait until one of the first ends?"""

    def meeting(first: str, second: str) -> bool:
        one, other = Run(first, catalog), Run(second, catalog)

        def run() -> None:  # a lock is its thread's own
            other.begin()
            other.end()

        one.begin()
        with ThreadPoolExecutor() as pool:
            running = pool.submit(run)
            waited = not wait([running], timeout=0.5).done
            one.end()
            running.result(timeout=10)
        assert ("waiting for it to end" in caplog.text) == waited
        return waited

    return meeting


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("training", "training"),
        ("training", "evaluation"),
        ("training", "validation"),
        ("evaluation", "promotion"),
        ("retraining", "training"),
        ("__default__", "ingestion"),
        ("scoring", "scoring"),
        ("feedback", "retraining"),
    ],
)
def test_runs_on_the_way_to_a_model_wait_for_each_other(first, second, waits):
    assert waits(first, second)


@pytest.mark.parametrize("meanwhile", ["scoring", "drift", "label_audit", "feedback"])
def test_production_does_not_wait_for_a_training(meanwhile, waits):
    assert not waits("__default__", meanwhile)


def free(lock: str = "data/06_models/.candidate.lock") -> bool:
    held = FileLock(lock)
    try:
        held.acquire(timeout=0)
    except Timeout:
        return False
    held.release()
    return True


def test_a_run_that_fails_lets_the_next_one_go_on(catalog):
    run = Run("training", catalog)
    run.begin()
    assert not free()
    run.fail()
    assert free()


class Refusing:
    """A hook that fails, as one does whose server is silent or whose DVC cache is full."""

    @hook_impl
    def before_pipeline_run(self) -> None:
        raise VisionpipeError("the tracking server does not answer")

    @hook_impl
    def after_pipeline_run(self) -> None:
        raise VisionpipeError("no space left")


def test_a_run_that_cannot_begin_does_not_hold_up_others(catalog):
    with pytest.raises(VisionpipeError, match="does not answer"):
        Run("training", catalog, Refusing()).begin()
    assert free()


def test_nor_does_one_that_cannot_be_recorded(catalog, monkeypatch):
    monkeypatch.delattr(Refusing, "before_pipeline_run")
    run = Run("training", catalog, Refusing())
    run.begin()
    assert not free()
    with pytest.raises(VisionpipeError, match="no space left"):
        run.end()
    assert free()


def test_the_run_after_one_that_was_interrupted_does_not_wait_for_it(catalog):
    """As in a notebook: Kedro tells nobody of an interrupt."""
    run = Run("training", catalog)
    run.begin()
    run.begin()
    run.end()
    assert free()
