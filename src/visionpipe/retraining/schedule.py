"""The scheduled retraining: reviewed labels in, challenger trained, gate asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from visionpipe.errors import VisionpipeError


def retrain(
    project: Path, *, env: str | None = None, parameters: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Run the `retraining` pipeline, one at a time in a project.

    Parameters
    ----------
    project : Path
        The project's folder.
    env : str or None
        Kedro environment.
    parameters : dict or None
        Runtime parameters.

    Raises
    ------
    VisionpipeError
        When another retraining is under way in this project.
    """
    from filelock import FileLock, Timeout
    from kedro.framework.session import KedroSession
    from kedro.framework.startup import bootstrap_project

    bootstrap_project(project)
    (project / "data").mkdir(exist_ok=True)
    try:
        turn = FileLock(project / "data" / ".retraining.lock").acquire(timeout=0)
    except Timeout:
        raise VisionpipeError(
            f"{project}: another retraining is under way; try again when it has ended"
        ) from None
    with turn, KedroSession.create(project_path=project, env=env, runtime_params=parameters) as session:
        return session.run(pipeline_names=["retraining"])
