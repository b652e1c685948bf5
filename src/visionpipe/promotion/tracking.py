"""Connect to MLflow: a local sqlite file by default, any server by `MLFLOW_TRACKING_URI`."""

from __future__ import annotations

import os
import socket
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from visionpipe.errors import VisionpipeError, first_line, redacted
from visionpipe.mistakes import mistakes

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

_SQLITE = "sqlite:///"
_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}


class TrackingParameters(BaseModel):
    """Where runs and models are kept (`conf/base/mlflow.yml`)."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    tracking_uri: str = "sqlite:///mlflow.db"
    """sqlite (a relative path starts at the project), http(s) or a database URL; `MLFLOW_TRACKING_URI` wins."""
    experiment: str = "visionpipe"
    """Experiment that runs are filed under; made when absent."""
    artifact_location: str = "mlartifacts"
    """Where the files of runs and models go, unless a server keeps them: a folder (a relative path starts at the
    project), or an address such as `s3://bucket/models`; taken when the experiment is made."""
    timeout_s: Annotated[float, Field(gt=0)] = 5.0
    """How long a server may take to say that it is there [seconds]."""


def tracking_parameters(section: Mapping[str, Any]) -> TrackingParameters:
    """Read the section of the configuration.

    Raises
    ------
    VisionpipeError
        Names every key that is unknown or wrong.
    """
    if wrong := mistakes(TrackingParameters, section, called="mlflow"):
        raise VisionpipeError("; ".join(wrong))
    return TrackingParameters.model_validate(section)


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
        When a server does not answer, a store cannot be used, or its artifacts stayed where the project was.
    """
    uri = store_uri(project, parameters)
    _require_answer(uri, parameters.timeout_s)
    import mlflow

    with _pointed_at(uri):
        if mlflow.get_experiment_by_name(parameters.experiment) is None:
            _make_experiment(uri, project, parameters)
        _follow_project(uri, project, parameters)
        mlflow.set_experiment(parameters.experiment)
    if redacted(uri) != uri:  # MLflow prints a run's address when it ends, with the password
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    return uri


def connect_to_read(project: Path, parameters: TrackingParameters) -> str:
    """Point MLflow at a tracking store that is there; nothing is made in it, nor a store where there is none.

    Parameters, result and errors are those of `connect`.
    """
    uri = store_uri(project, parameters)
    database = sqlite_file(uri)
    if database is not None and not database.is_file():
        raise VisionpipeError(f"no model registry at {database}: `kedro run` makes the first version")
    _require_answer(uri, parameters.timeout_s)
    import mlflow

    with _pointed_at(uri):
        mlflow.get_experiment_by_name(parameters.experiment)  # which brings its tables up to date
        _follow_project(uri, project, parameters)
    return uri


def store_uri(project: Path, parameters: TrackingParameters) -> str:
    """Return where the store is, with an absolute path."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or parameters.tracking_uri
    if uri.startswith(_SQLITE) and not uri.startswith(_SQLITE + "/"):
        return _SQLITE + str((project / uri.removeprefix(_SQLITE)).resolve())
    return uri


def sqlite_file(uri: str) -> Path | None:
    """Return the file of a local store; None where it is something else.

    Examples
    --------
    >>> sqlite_file("sqlite:////plant/mlflow.db?timeout=60")
    PosixPath('/plant/mlflow.db')
    """
    return Path(uri.removeprefix(_SQLITE).partition("?")[0]) if uri.startswith(_SQLITE) else None


def _make_experiment(uri: str, project: Path, parameters: TrackingParameters) -> None:
    import mlflow
    from mlflow.exceptions import MlflowException

    # without one, MLflow takes the working directory for a database: another machine or user finds nothing there
    location = _artifact_uri(project, parameters) if _database_address(uri) else None
    try:
        mlflow.create_experiment(parameters.experiment, artifact_location=location)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":  # another process was faster
            raise


def _artifact_uri(project: Path, parameters: TrackingParameters) -> str:
    location = parameters.artifact_location
    return location if "://" in location else (project / location).resolve().as_uri()


@contextmanager
def _pointed_at(uri: str) -> Iterator[None]:
    """Point MLflow at a store while it is prepared, and from then on; what goes wrong is one line."""
    import mlflow

    with _in_one_line(uri), _environment_kept():
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        yield


@contextmanager
def _in_one_line(uri: str) -> Iterator[None]:
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, ImportError, OSError, ValueError) as error:
        raise VisionpipeError(f"MLflow at {redacted(uri)}: {first_line(error).strip()}") from error


@contextmanager
def _environment_kept() -> Iterator[None]:
    """Undo what MLflow writes into the environment: at the next connect it would pass for the user's own choice."""
    before = {name: value for name, value in os.environ.items() if name.startswith("MLFLOW_")}
    try:
        yield
    finally:
        for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
            del os.environ[name]
        os.environ.update(before)


def _follow_project(uri: str, project: Path, parameters: TrackingParameters) -> None:
    from mlflow.utils.file_utils import local_file_uri_to_path

    from visionpipe.promotion.artifact_locations import follow_project

    if database := sqlite_file(uri):
        home = _artifact_uri(project, parameters)
        folder = Path(local_file_uri_to_path(home)) if home.startswith("file:") else None
        follow_project(database, project, folder, parameters.experiment)


def _require_answer(uri: str, timeout_s: float) -> None:
    """Ask once, briefly: MLflow itself would try for minutes before it gave up."""
    if uri.startswith(("http://", "https://")):
        _require_server(uri, timeout_s)
    elif database := sqlite_file(uri):
        _require_file(database)
    else:
        _require_database(uri, timeout_s)


def _require_server(uri: str, timeout_s: float) -> None:
    """Ask as MLflow will: with the user's token or password (`MLFLOW_TRACKING_TOKEN` ...), and certificates."""
    from mlflow.exceptions import MlflowException
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    with _in_one_line(uri):
        credentials = get_default_host_creds(uri)
        try:
            answer = http_request(
                credentials, "/health", "GET", max_retries=0, timeout=timeout_s, raise_on_status=False
            )
        except MlflowException as error:
            cause = _first_cause(error)
            if cause is error:  # the credentials are at fault: nobody was asked
                raise
            raise _silent(uri, cause) from error
    if not answer.ok:
        raise VisionpipeError(
            f"the tracking server {redacted(uri)} answers {answer.status_code} to /health; "
            "check its address and your credentials"
        )


def _first_cause(error: BaseException) -> BaseException:
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return error


def _require_file(path: Path) -> None:
    """Look whether there is a database, or whether one can be made."""
    try:
        if path.exists():
            with closing(sqlite3.connect(path)) as database:
                database.execute("PRAGMA schema_version")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=path.parent).close()
    except (OSError, sqlite3.Error) as error:
        locked = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY
        advice = "wait for the other program that uses it" if locked else "check mlflow.tracking_uri"
        raise VisionpipeError(f"MLflow's database {path}: {error}; {advice}") from error


def _require_database(uri: str, timeout_s: float) -> None:
    """Knock where SQLAlchemy will; what is no address of a database is left to MLflow, which says what it knows."""
    try:
        address = _database_address(uri)
        if address is not None and address.host:
            port = address.port or _PORTS.get(address.get_backend_name())
            if port:  # none where a path of SQLite lacks its third slash, of which MLflow tells
                socket.create_connection((address.host, port), timeout_s).close()
    except (OSError, ValueError) as error:
        raise _silent(uri, error) from error


def _database_address(uri: str) -> URL | None:
    """Read it as SQLAlchemy does: to urllib a password with / # or ? in it is host and port."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        address = make_url(uri)
    except ArgumentError:
        return None
    return address if address.get_backend_name() in {"sqlite", *_PORTS} else None


def _silent(uri: str, error: BaseException) -> VisionpipeError:
    return VisionpipeError(
        f"the tracking server {redacted(uri)} does not answer ({type(error).__name__}); "
        "start it, or unset MLFLOW_TRACKING_URI to use the local store"
    )
