"""A run that a scheduler, or a person, stops leaves nothing half-done, and MLflow knows that it was stopped."""

from __future__ import annotations

import signal
import sqlite3
import time
from contextlib import closing

from photo_files import class_folders
from project_copy import TINY, Project, copy_project


def statuses(project: Project) -> list[str]:
    """Return the status of each MLflow run whose parameters are logged, as far as the database tells it now."""
    query = "SELECT status FROM runs WHERE run_uuid IN (SELECT run_uuid FROM params)"
    try:
        with closing(
            sqlite3.connect(f"file:{project.path}/mlflow.db?mode=ro", uri=True, timeout=0)
        ) as database:
            return [status for (status,) in database.execute(query)]
    except sqlite3.OperationalError:  # not there yet, or being written
        return []


def test_a_run_that_is_stopped_tidies_up_and_is_killed_in_mlflow(tmp_path):
    project = copy_project(tmp_path / "project", git=False)
    project.use_photos(class_folders(tmp_path / "photos", cat=60, dog=60))
    with project.start("kedro", "run", "--params", TINY) as run:
        while run.poll() is None and statuses(project) != ["RUNNING"]:
            time.sleep(0.05)
        run.send_signal(signal.SIGTERM)
        told = run.communicate(timeout=120)[1]
    assert run.returncode == 143, told
    assert statuses(project) == ["KILLED"], told
    assert not list(project.path.rglob("*.tmp"))
