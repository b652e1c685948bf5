"""Which version holds which alias, and taking turns to change that."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from visionpipe.errors import VisionpipeError, first_line

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHAMPION, CHALLENGER = "champion", "challenger"
_LOCK_TIMEOUT_S = 600
_ABSENT = {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}


def holder(client: MlflowClient, model_name: str, alias: str) -> str | None:
    """Return the version that holds an alias; None when nothing does.

    Raises
    ------
    VisionpipeError
        When the registry does not answer.
    """
    from mlflow.exceptions import MlflowException

    try:
        return str(client.get_model_version_by_alias(model_name, alias).version)
    except MlflowException as error:
        if error.error_code in _ABSENT:
            return None
        raise VisionpipeError(f"registry: {first_line(error)}") from error


@contextmanager
def turn(model_name: str) -> Iterator[None]:
    """Wait until nobody else changes this registered model; MLflow cannot compare-and-swap an alias.

    Everyone who shares a sqlite file takes turns; with a server, this user's processes on this machine.

    Raises
    ------
    VisionpipeError
        When another one does not end, or MLflow refuses something in the block.
    """
    import mlflow
    from filelock import FileLock, Timeout
    from mlflow.exceptions import MlflowException

    uri = mlflow.get_registry_uri()
    key = hashlib.sha256(f"{uri}\n{model_name}".encode()).hexdigest()[:16]
    # a lock in the temporary folder would not be shared where that folder is private, nor between users
    if uri.startswith("sqlite:///"):
        path = Path(uri.removeprefix("sqlite:///") + f".{key}.lock")
    else:
        path = Path(tempfile.gettempdir()) / f"visionpipe-{os.getuid()}-{key}.lock"
    try:
        with FileLock(path, timeout=_LOCK_TIMEOUT_S):
            yield
    except Timeout as error:
        raise VisionpipeError(
            f"{model_name}: another promotion has not ended in {_LOCK_TIMEOUT_S} s; try again later"
        ) from error
    except MlflowException as error:
        raise VisionpipeError(f"{model_name}: MLflow refuses: {first_line(error)}") from error
