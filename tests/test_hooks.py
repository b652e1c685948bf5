"""A run is one MLflow run, whatever the user's parameters are called and however it ends."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import mlflow
import pytest
from mlflow.exceptions import MlflowException

from mlflow_store import clean_environment, new_store
from moody_server import moody_server
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
    return {"metrics": {"accuracy": interval}}


def training_log(n_epochs=2):
    curves = {
        "epoch": list(range(1, n_epochs + 1)),
        "phase": ["head"] * n_epochs,
        "train_loss": [1 / epoch for epoch in range(1, n_epochs + 1)],
        "validation_loss": [float("nan"), *[0.5] * (n_epochs - 1)],
        "validation_auc": [None] * n_epochs,
        "overfit": [False] * (n_epochs - 1) + [True],
    }
    return {"curves": curves, "moved": []}


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
    assert run.data.metrics == {"test_accuracy": 0.9, "test_accuracy_low": 0.8}


def history(run, name):
    return [(m.step, m.value) for m in mlflow.MlflowClient().get_metric_history(run.info.run_id, name)]


def test_curves_are_logged_by_epoch_as_soon_as_training_ends(begin):
    begin().after_dataset_saved("training_log", training_log())
    (run,) = runs().values()
    assert set(run.data.metrics) == {
        "train_loss",
        "validation_loss",
        "overfit",
    }  # words and gaps are no metrics
    assert history(run, "train_loss") == [(1, 1.0), (2, 0.5)]
    assert history(run, "validation_loss") == [(2, 0.5)]
    assert history(run, "overfit") == [(1, 0.0), (2, 1.0)]


def test_a_long_training_takes_several_batches(begin):
    """MLflow takes 1,000 metrics in a call."""
    begin().after_dataset_saved("training_log", training_log(n_epochs=501))
    (run,) = runs().values()
    lengths = {name: len(history(run, name)) for name in run.data.metrics}
    assert lengths == {"train_loss": 501, "validation_loss": 500, "overfit": 501}


def test_a_probe_has_the_curves_of_its_head(begin):
    head = {"epoch": [1, 2], "phase": ["head"] * 2, "train_loss": [0.7, 0.3]}
    begin().after_dataset_saved("training_log", {"curves": {"epoch": [], "train_loss": [], "head": head}})
    (run,) = runs().values()
    assert set(run.data.metrics) == {"head_train_loss"}
    assert history(run, "head_train_loss") == [(1, 0.7), (2, 0.3)]


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


@pytest.fixture
def quarterly(begin, monkeypatch):
    """An orchestrator's run, to be joined."""
    with mlflow.start_run(run_name="quarterly") as outer:
        pass
    monkeypatch.setenv("MLFLOW_RUN_ID", outer.info.run_id)
    return outer.info.run_id


def test_an_orchestrators_run_is_joined_and_left_open(begin, quarterly):
    for part in (evaluation(), {"metrics": {"brier": {"estimate": 0.1}}}):
        hook = begin()
        hook.after_dataset_saved("evaluation", part)
        hook.after_pipeline_run(catalog={}, pipeline=NOTHING)
        assert mlflow.active_run() is None  # MLflow would end it with the process
    run = runs()["quarterly"]
    assert (run.info.run_id, run.info.status) == (quarterly, "RUNNING")
    assert (run.data.metrics["test_accuracy"], run.data.metrics["test_brier"]) == (0.9, 0.1)


def test_a_part_that_fails_says_so_in_the_run_that_it_joined(begin, quarterly):
    begin().on_pipeline_error(VisionpipeError("the data ran out"))
    assert mlflow.active_run() is None
    run = runs()["quarterly"]
    assert (run.info.run_id, run.info.status) == (quarterly, "RUNNING")
    assert run.data.tags["visionpipe.error"] == "VisionpipeError: the data ran out"


def test_a_run_that_was_interrupted_does_not_stand_in_the_way_of_the_next(begin):
    """As in a notebook: Kedro tells nobody of an interrupt."""
    hook = begin()
    hook.before_pipeline_run({"pipeline_names": ["scoring"]})
    hook.after_pipeline_run(catalog={}, pipeline=NOTHING)
    assert {name: run.info.status for name, run in runs().items()} == {
        "__default__": "KILLED",
        "scoring": "FINISHED",
    }


@pytest.mark.parametrize(("joined", "status"), [(False, "KILLED"), (True, "RUNNING")])
def test_a_process_that_ends_in_the_middle_did_not_finish_its_run(
    joined, status, begin, monkeypatch, tmp_path
):
    begin().after_pipeline_run(catalog={}, pipeline=NOTHING)
    if joined:
        (run,) = runs().values()
        monkeypatch.setenv("MLFLOW_RUN_ID", run.info.run_id)
    code = (
        "from pathlib import Path; from types import SimpleNamespace; from visionpipe.hooks import TrackingHook; "
        "hook = TrackingHook(); loader = {'mlflow': {}, 'parameters': {}}; "
        "context = SimpleNamespace(project_path=Path.cwd(), config_loader=loader); "
        "hook.after_context_created(context); hook.before_pipeline_run({'pipeline_names': ['cut short']}); "
        "raise KeyboardInterrupt"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stderr.splitlines()[-1] == "KeyboardInterrupt"
    assert runs()["__default__" if joined else "cut short"].info.status == status


def test_a_run_that_cannot_be_joined_costs_one_line(begin, monkeypatch):
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    with pytest.raises(VisionpipeError, match=r"MLflow run: .*0{32}"):
        begin()
    with mlflow.start_run() as outer:
        mlflow.log_param("training.epochs", 12)
    monkeypatch.setenv("MLFLOW_RUN_ID", outer.info.run_id)
    with pytest.raises(VisionpipeError, match=r"MLflow run: .*training\.epochs"):
        begin()


@pytest.fixture
def moody(monkeypatch):
    """A tracking server that MLflow asks once only, as if it had asked for minutes."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with moody_server() as server:
        yield server


class TestAServerThatGoesAway:
    @pytest.fixture(autouse=True)
    def told(self, caplog, capsys):
        """Whatever is told, it never quotes the server's password."""
        yield caplog
        printed = capsys.readouterr()
        assert "hunter2" not in caplog.text + printed.out + printed.err

    def test_a_long_run_ends_well_without_its_log(self, begin, moody, told):
        hook = begin(tracking_uri=moody.uri)
        moody.gone = {"runs/"}
        hook.after_dataset_saved("training_log", training_log())
        hook.after_dataset_saved("evaluation", evaluation())
        hook.after_pipeline_run(catalog={}, pipeline=NOTHING)
        assert mlflow.active_run() is None  # the next run can begin
        assert [record.getMessage().split(": API")[0] for record in told.records] == [
            "MLflow has not taken note of the training's curves",
            "MLflow has not taken note of the run's metrics and reports",
            "MLflow has not taken note of the run's end",
        ]

    def test_the_error_of_a_run_comes_through(self, begin, moody, told):
        hook = begin(tracking_uri=moody.uri)
        moody.gone = {"runs/"}
        hook.on_pipeline_error(VisionpipeError("the data ran out"))
        assert mlflow.active_run() is None
        assert "MLflow has not taken note of the run's end" in told.text

    @pytest.mark.parametrize("part", ["runs/create", "runs/log-batch"])
    def test_before_the_run_it_costs_one_line(self, part, begin, moody):
        moody.gone = {part}
        with pytest.raises(
            VisionpipeError, match=rf"MLflow run: API request to http://\*\*\*@.*{part}"
        ) as gone:
            begin(tracking_uri=moody.uri)
        assert "hunter2" not in str(gone.value)
        assert "\n" not in str(gone.value)

    def test_the_end_of_a_run_does_not_print_where_it_is(self, begin, moody):
        begin(tracking_uri=moody.uri).after_pipeline_run(catalog={}, pipeline=NOTHING)


def test_the_error_of_a_run_is_kept_without_passwords(begin):
    begin().on_pipeline_error(ValueError("http://joe:hunter2@host/labels.csv is silent"))
    (run,) = runs().values()
    assert run.data.tags["visionpipe.error"] == "ValueError: http://***@host/labels.csv is silent"


def test_an_unknown_setting_is_named(begin):
    with pytest.raises(
        VisionpipeError,
        match=r"^mlflow\.timeout_s: must be more than 0; "
        r"mlflow\.tracking_url: unknown key; did you mean 'tracking_uri'\?$",
    ):
        begin(tracking_url="sqlite:///other.db", timeout_s=0)
    assert mlflow.active_run() is None
