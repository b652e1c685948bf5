"""A project is retrained once at a time."""

from __future__ import annotations

import time

import pytest
from filelock import FileLock, Timeout

from project_copy import copy_project
from visionpipe.retraining.schedule import retrain


def test_a_second_retraining_is_refused_at_once_and_changes_nothing(tmp_path):
    project = copy_project(tmp_path / "plant", git=False)
    with FileLock(project.path / "data" / ".retraining.lock"):
        before = sorted(project.path.rglob("*"))
        started = time.perf_counter()
        refused = project.run("visionpipe", "retrain")
    assert refused.returncode == 1
    assert refused.stderr.splitlines() == [
        f"Error: {project.path}: another retraining is under way; try again when it has ended"
    ]
    assert time.perf_counter() - started < 60  # importing Kedro on a busy machine; never a wait for the other
    assert [path for path in sorted(project.path.rglob("*")) if "__pycache__" not in path.parts] == before


class Session:
    """What `retrain` asks of Kedro's session."""

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def run(self, pipeline_names):
        return {"ran": pipeline_names}


@pytest.fixture
def sessions(monkeypatch):
    """How each session was made."""
    made = []
    monkeypatch.setattr("kedro.framework.startup.bootstrap_project", lambda project: None)
    monkeypatch.setattr(
        "kedro.framework.session.KedroSession.create", lambda **settings: made.append(settings) or Session()
    )
    return made


def test_environment_and_parameters_reach_the_retraining(tmp_path, sessions):
    assert retrain(tmp_path, env="plant", parameters={"training.epochs": 4}) == {"ran": ["retraining"]}
    assert sessions == [
        {"project_path": tmp_path, "env": "plant", "runtime_params": {"training.epochs": 4}},
    ]


def test_a_lock_that_the_pipeline_waited_for_is_not_taken_for_another_retraining(
    tmp_path, sessions, monkeypatch
):
    def wait(self, pipeline_names):
        raise Timeout("/elsewhere.lock")

    monkeypatch.setattr(Session, "run", wait)
    for _ in range(2):  # and the first one's own lock is free again
        with pytest.raises(Timeout, match="elsewhere"):
            retrain(tmp_path)
