"""The project that a command is about: the one around the working directory, its settings, its MLflow store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from visionpipe.configuration import registered_model
from visionpipe.errors import VisionpipeError

if TYPE_CHECKING:
    from kedro.config import AbstractConfigLoader

    from visionpipe.promotion.tracking import TrackingParameters

ENV = click.option(
    "--env", envvar="KEDRO_ENV", help="Kedro environment that the runs have, e.g. gpu; default: KEDRO_ENV."
)


def find_project() -> Path:
    """Find the project around the working directory."""
    from kedro.utils import find_kedro_project

    project = find_kedro_project(Path.cwd())
    if project is None:
        raise VisionpipeError(
            f"{Path.cwd()} is in no visionpipe project: change to the folder with its pyproject.toml"
        )
    return Path(project)


def configuration_of(project: Path, env: str | None) -> AbstractConfigLoader:
    """Return the project's configuration, as a run with this `--env` sees it."""
    from kedro.framework.startup import bootstrap_project

    bootstrap_project(project)
    from kedro.framework.project import settings

    source = str(project / settings.CONF_SOURCE)
    return settings.CONFIG_LOADER_CLASS(source, env=env, **settings.CONFIG_LOADER_ARGS)


def dataset_folders(project: Path) -> set[Path]:
    """Return the folders that the datasets of conf/base lie in, absolute: `make forget` empties them."""
    folders = set()
    for entry in configuration_of(project, "base")["catalog"].values():
        if "path" in entry:
            folders.add(project / entry["path"])
        elif "filepath" in entry:
            folders.add((project / entry["filepath"]).parent)
    return folders


def tracking_of(project: Path, env: str | None) -> TrackingParameters:
    """Return where the project's MLflow store is."""
    from visionpipe.promotion.tracking import tracking_parameters

    return tracking_parameters(configuration_of(project, env)["mlflow"])


def connected_model(env: str | None) -> str:
    """Connect to the project's MLflow store, which must be there, and return the name of its registered model."""
    from visionpipe.progress import doing

    project = find_project()
    with doing("connecting to the model registry"):
        from visionpipe.promotion.tracking import connect_to_read

        connect_to_read(project, tracking_of(project, env))
    return registered_model(configuration_of(project, env)["catalog"])
