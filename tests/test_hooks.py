"""A run is one MLflow run, whatever the user's parameters are called and however it ends."""

from __future__ import annotations

from types import SimpleNamespace

import mlflow
import pytest
from mlflow.exceptions import MlflowException

from mlflow_store import clean_environment, new_store
from visionpipe.errors import VisionpipeError
from visionpipe.hooks import TrackingHook

PARAMETERS = {
    "training": {"epochs": 3, "views": ["identity"]},
    "ingestion": {"split": {"holdout": {"camera (new)": ["c7"]}}},
}
BARE = {"pipeline_names": None}
NOTHING = SimpleNamespace(all_outputs=lambda: set())


@pytest.fixture
def begin(tmp_path, monkeypatch):
    """`begin(mlflow section)`: start a run the way Kedro does, and return its hook."""
    clean_environment(monkeypatch)
    new_store(tmp_path)

    def started(**section):
        hook = TrackingHook()
        loader = {"mlflow": section, "parameters": PARAMETERS}
        hook.after_context_created(SimpleNamespace(project_path=tmp_path, config_loader=loader))
        hook.before_pipeline_run(BARE)
        return hook

    yield started
    while mlflow.active_run():
        mlflow.end_run()


def runs():
    return {
        run.info.run_name: run
        for run in mlflow.search_runs(output_format="list", search_all_experiments=True)
    }


def evaluation():
    interval = {"estimate": 0.9, "low": 0.8, "high": None}
    return {"metrics": {"accuracy": interval}, "curves": {"epoch": [1, 2], "train_loss": [0.5, 0.25]}}


def test_a_run_carries_flat_parameters_and_metrics(begin):
    hook = begin()
    hook.after_dataset_saved("evaluation", evaluation())
    hook.after_pipeline_run(catalog={}, pipeline=NOTHING)
    assert mlflow.active_run() is None
    (run,) = runs().values()
    assert (run.info.run_name, run.info.status) == ("__default__", "FINISHED")
    assert run.data.params == {
        "training.epochs": "3",
        "training.views": "['identity']",
        "ingestion.split.holdout.camera _new_": "['c7']",  # MLflow takes no brackets in a name
    }
    assert run.data.metrics == {"test_accuracy": 0.9, "test_accuracy_low": 0.8, "train_loss": 0.25}


def test_a_failed_run_says_so(begin):
    begin().on_pipeline_error(VisionpipeError("the data ran out"))
    (run,) = runs().values()
    assert run.info.status == "FAILED"
    assert run.data.tags["visionpipe.error"] == "VisionpipeError: the data ran out"


def test_a_store_that_fails_too_does_not_hide_the_error(begin, monkeypatch):
    def gone(*args, **kwargs):
        raise MlflowException("no connection")

    hook = begin()
    with monkeypatch.context() as failing:
        failing.setattr(mlflow, "set_tag", gone)
        hook.on_pipeline_error(VisionpipeError("the data ran out"))


def test_an_orchestrators_run_is_joined_and_left_open(begin, monkeypatch):
    with mlflow.start_run(run_name="quarterly") as outer:
        pass
    monkeypatch.setenv("MLFLOW_RUN_ID", outer.info.run_id)
    hook = begin()
    hook.after_dataset_saved("evaluation", evaluation())
    hook.after_pipeline_run(catalog={}, pipeline=NOTHING)
    (run,) = runs().values()
    assert run.info.run_id == outer.info.run_id
    assert run.info.status == "RUNNING"
    assert run.data.metrics["test_accuracy"] == 0.9


def test_a_run_that_cannot_be_joined_costs_one_line(begin, monkeypatch):
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    with pytest.raises(VisionpipeError, match=r"MLflow run: .*0{32}"):
        begin()
    with mlflow.start_run() as outer:
        mlflow.log_param("training.epochs", 12)
    monkeypatch.setenv("MLFLOW_RUN_ID", outer.info.run_id)
    with pytest.raises(VisionpipeError, match=r"MLflow run: .*training\.epochs"):
        begin()


def test_an_unknown_setting_is_named(begin):
    with pytest.raises(
        VisionpipeError,
        match=r"^mlflow\.timeout_s: .*; mlflow\.tracking_url: Extra inputs are not permitted$",
    ):
        begin(tracking_url="sqlite:///other.db", timeout_s=0)
    assert mlflow.active_run() is None
