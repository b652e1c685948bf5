"""Connect to MLflow: a local sqlite file by default, any server by `MLFLOW_TRACKING_URI`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field

from visionpipe.errors import VisionpipeError


class TrackingParameters(BaseModel):
    """Where runs and models are kept (`conf/base/mlflow.yml`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tracking_uri: str = "sqlite:///mlflow.db"
    """sqlite (a relative path starts at the project), http(s) or a database URL; `MLFLOW_TRACKING_URI` wins."""
    experiment: str = "visionpipe"
    """Experiment that runs are filed under; made when absent."""
    artifact_location: str = "mlartifacts"
    """Folder of a local store's artifacts; a server has its own."""
    timeout_s: Annotated[float, Field(gt=0)] = 5.0
    """How long a server may take to say that it is there [seconds]."""


def connect(project: Path, parameters: TrackingParameters) -> str:
    """Point MLflow at the tracking store and the experiment.

    Parameters
    ----------
    project : Path
        Where relative sqlite paths and artifacts start.
    parameters : TrackingParameters
        Where to connect to.

    Returns
    -------
    str
        The tracking URI in use.

    Raises
    ------
    VisionpipeError
        When a server does not answer.
    """
    uri = _absolute(os.environ.get("MLFLOW_TRACKING_URI") or parameters.tracking_uri, project)
    if uri.startswith(("http://", "https://")):
        _require_answer(uri, parameters.timeout_s)
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        if mlflow.get_experiment_by_name(parameters.experiment) is None:
            location = None
            if uri.startswith("sqlite:"):
                location = (project / parameters.artifact_location).resolve().as_uri()
            mlflow.create_experiment(parameters.experiment, artifact_location=location)
        mlflow.set_experiment(parameters.experiment)
    except MlflowException as error:
        raise VisionpipeError(f"MLflow at {redacted(uri)}: {str(error).splitlines()[0]}") from error
    return uri


def redacted(uri: str) -> str:
    """Return the URI without user and password, fit for a log.

    Examples
    --------
    >>> redacted("postgresql://joe:secret@db/mlflow")
    'postgresql://***@db/mlflow'
    """
    parts = urlsplit(uri)
    if "@" not in parts.netloc:
        return uri
    return parts._replace(netloc="***@" + parts.netloc.rpartition("@")[2]).geturl()


def _absolute(uri: str, project: Path) -> str:
    prefix = "sqlite:///"
    if uri.startswith(prefix) and not uri.startswith(prefix + "/"):
        return prefix + str((project / uri.removeprefix(prefix)).resolve())
    return uri


def _require_answer(uri: str, timeout_s: float) -> None:
    """Ask once, briefly: MLflow itself would try for minutes before it gave up."""
    import requests

    try:
        requests.get(uri.rstrip("/") + "/health", timeout=timeout_s).raise_for_status()
    except requests.RequestException as error:
        raise VisionpipeError(
            f"the tracking server {redacted(uri)} does not answer ({type(error).__name__}); "
            "start it, or unset MLFLOW_TRACKING_URI to use the local store"
        ) from error
