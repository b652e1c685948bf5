"""The project that a command is about: the one around the working directory, its settings, its MLflow store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from visionpipe.errors import VisionpipeError

if TYPE_CHECKING:
    from kedro.config import AbstractConfigLoader

    from visionpipe.promotion.tracking import TrackingParameters


def find_project() -> Path:
    """Find the project around the working directory."""
    from kedro.utils import find_kedro_project

    project = find_kedro_project(Path.cwd())
    if project is None:
        raise VisionpipeError(
            f"{Path.cwd()} is in no visionpipe project: change to the folder with its pyproject.toml"
        )
    return Path(project)


def configuration_of(project: Path) -> AbstractConfigLoader:
    """Return the project's configuration, as a run without `--env` sees it."""
    from kedro.framework.startup import bootstrap_project

    bootstrap_project(project)
    from kedro.framework.project import settings

    return settings.CONFIG_LOADER_CLASS(str(project / settings.CONF_SOURCE), **settings.CONFIG_LOADER_ARGS)


def tracking_of(project: Path) -> TrackingParameters:
    """Return where the project's MLflow store is."""
    from visionpipe.promotion.tracking import tracking_parameters

    return tracking_parameters(configuration_of(project)["mlflow"])


def connected_model() -> str:
    """Connect to the project's MLflow store and return the name of its registered model."""
    from visionpipe.progress import doing

    project = find_project()
    with doing("connecting to the model registry"):
        from visionpipe.promotion.tracking import connect

        connect(project, tracking_of(project))
    return configuration_of(project)["catalog"]["model_registry"]["model_name"]
