"""A project that is moved, renamed, restored or copied keeps its artifacts.

MLflow writes into its database where they lie, as absolute paths: it would go on reading from the old place, and a copy
would write into the original.
"""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from pathlib import Path

from visionpipe.errors import VisionpipeError

logger = logging.getLogger(__name__)
_COLUMNS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
)
_BUSY_S = 60.0


def follow_project(database: Path, project: Path, home: Path | None, experiment: str) -> None:
    """Let a database that came with its project name the artifacts that came with it.

    A database outside of the project is left alone, for others may use it; so are artifacts that lie in the project.

    Parameters
    ----------
    database : Path
        MLflow's sqlite file, with the tables of this MLflow.
    project : Path
        The project folder.
    home : Path or None
        Folder of its artifacts (`mlflow.artifact_location`); None: new ones go to no folder, but to a bucket.
    experiment : str
        Name of the experiment whose artifacts these are.

    Raises
    ------
    VisionpipeError
        When artifacts stayed behind, or nobody says in which folder they are now.
    """
    from mlflow.utils.file_utils import local_file_uri_to_path

    project, home = project.resolve(), home and home.resolve()
    if not database.resolve().is_relative_to(project):
        return
    with closing(sqlite3.connect(database, timeout=_BUSY_S)) as connection, connection:
        connection.execute("begin immediate")  # two runs may start at once
        found = connection.execute("select artifact_location from experiments where name = ?", [experiment])
        told = (found.fetchone() or [None])[0]
        if not told or not told.startswith("file:"):
            return
        before = Path(local_file_uri_to_path(told))
        if before == home or before.resolve().is_relative_to(project):
            return
        if home is None:
            raise VisionpipeError(
                f"{database} has its artifacts in {before}, outside of the project: name the folder in which they "
                "are now in mlflow.artifact_location"
            )
        if left := _left_behind(connection, told, before, home):
            raise VisionpipeError(
                f"{database} has its artifacts in {before}, outside of the project, and {left} of them are not in "
                f"{home}: copy them there, or name their folder in mlflow.artifact_location"
            )
        for table, column in _COLUMNS:
            connection.execute(
                f"update {table} set {column} = ? || substr({column}, ?) where {_is_below(column)}",  # noqa: S608
                [home.as_uri(), len(told) + 1, *_below(told)],
            )
    logger.warning("This project was in another place: its artifacts are in %s now, not in %s", home, before)


def _left_behind(connection: sqlite3.Connection, told: str, before: Path, home: Path) -> int:
    """Count the folders of runs and models that are in the old place and not in the new one."""
    left = 0
    for table, column in _COLUMNS[1:3]:
        rows = connection.execute(f"select {column} from {table} where {_is_below(column)}", _below(told))  # noqa: S608
        inner = [uri[len(told) :].strip("/") for (uri,) in rows]
        left += sum((before / path).exists() and not (home / path).exists() for path in inner)
    return left


def _is_below(column: str) -> str:
    return f"({column} = ? or substr({column}, 1, ?) = ?)"


def _below(told: str) -> tuple[str, int, str]:
    return told, len(told) + 1, f"{told}/"
