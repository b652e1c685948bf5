"""A project that is moved, restored or copied has its champion, and never touches what lies where it was."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing

import mlflow
import pytest

from mlflow_store import clean_environment, file_hashes, forget_store, new_store
from visionpipe.errors import VisionpipeError
from visionpipe.promotion.registry import Registry
from visionpipe.promotion.tracking import TrackingParameters, connect, connect_to_read


@pytest.fixture
def run_id(plant) -> str:
    return greeted()


def greeted() -> str:
    """Log an artifact in a run of its own."""
    with mlflow.start_run() as run:
        mlflow.log_text("hello", "greeting.txt")
    return run.info.run_id


def greeting_of(run_id: str) -> str:
    return mlflow.artifacts.load_text(f"runs:/{run_id}/greeting.txt")


def connected(project):
    forget_store()
    return connect(project, TrackingParameters())


def test_the_champion_of_a_renamed_project_is_still_champion(plant, promote, is_good, tmp_path):
    promote("poor")
    there = plant.rename(tmp_path / "plänt, 2nd [50%]")
    connected(there)
    assert Registry("cells").champion().version == "1"
    promote("good")
    assert is_good(Registry("cells").champion())
    assert not plant.exists()


@pytest.mark.parametrize("look", [connect, connect_to_read])
def test_what_a_run_left_is_found_in_the_new_place(look, plant, run_id, tmp_path):
    there = plant.rename(tmp_path / "renamed")
    forget_store()
    look(there, TrackingParameters())
    assert greeting_of(run_id) == "hello"


def test_a_copy_writes_into_itself(plant, run_id, tmp_path):
    copy = shutil.copytree(plant, tmp_path / "an experiment")
    before = file_hashes(plant)
    connected(copy)
    assert greeting_of(greeted()) == greeting_of(run_id) == "hello"
    assert len(list(copy.rglob("greeting.txt"))) == 2
    assert file_hashes(plant) == before


def test_artifacts_that_stayed_behind_are_asked_for(plant, run_id, tmp_path):
    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copy(plant / "mlflow.db", copy)
    before = (copy / "mlflow.db").read_bytes()
    with pytest.raises(
        VisionpipeError, match=r"1 of them are not in .*copy/mlartifacts: copy them"
    ) as refused:
        connected(copy)
    assert "\n" not in str(refused.value)
    assert (copy / "mlflow.db").read_bytes() == before
    elsewhere = TrackingParameters(artifact_location=str(plant / "mlartifacts"))
    connect(copy, elsewhere)
    assert greeting_of(run_id) == "hello"


def locations(database):
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute("select artifact_location from experiments order by 1").fetchall()


def test_a_database_that_projects_share_is_left_alone(tmp_path, monkeypatch):
    clean_environment(monkeypatch)
    new_store(tmp_path / "first")
    before = locations(tmp_path / "first/mlflow.db")
    (tmp_path / "second/mlartifacts").mkdir(parents=True)
    shared = TrackingParameters(tracking_uri=f"sqlite:///{tmp_path}/first/mlflow.db")
    connect(tmp_path / "second", shared)
    assert locations(tmp_path / "first/mlflow.db") == before


def test_artifacts_that_lie_in_a_bucket_are_not_looked_for_in_a_copy(plant, tmp_path):
    bucket = TrackingParameters(experiment="bucket", artifact_location="s3://plant/models")
    connect(plant, bucket)
    copy = shutil.copytree(plant, tmp_path / "copy")
    before = locations(copy / "mlflow.db")
    forget_store()
    connect(copy, bucket)
    assert ("s3://plant/models",) in locations(copy / "mlflow.db") == before


def test_a_copy_whose_new_artifacts_shall_go_to_a_bucket_does_not_write_into_the_original(
    plant, run_id, tmp_path
):
    copy = shutil.copytree(plant, tmp_path / "copy")
    forget_store()
    with pytest.raises(VisionpipeError, match=r"in which they are now in mlflow\.artifact_location"):
        connect(copy, TrackingParameters(artifact_location="s3://plant/models"))
    assert locations(copy / "mlflow.db") == locations(plant / "mlflow.db")
    connect(copy, TrackingParameters())
    assert greeting_of(run_id) == "hello"


def test_artifacts_elsewhere_in_the_project_stay_there(plant, run_id):
    connect(plant, TrackingParameters(artifact_location="models"))
    assert greeting_of(run_id) == "hello"
    greeted()
    assert len(list((plant / "mlartifacts").rglob("greeting.txt"))) == 2
