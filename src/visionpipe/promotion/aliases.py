"""Which version holds which alias, and taking turns to change that."""

from __future__ import annotations

import hashlib
import logging
import os
import pwd
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from visionpipe.errors import VisionpipeError, first_line

if TYPE_CHECKING:
    from filelock import FileLock
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

logger = logging.getLogger(__name__)

CHAMPION, CHALLENGER = "champion", "challenger"
NOBODY = "none"
"""Value of the tag `visionpipe.champion_beaten` when there was no champion."""
_LOCK_TIMEOUT_S = 600
_CROWNED = "visionpipe.champion"
"""Tag of the registered model: the version that last became champion, told after it had."""
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


def find_version(client: MlflowClient, model_name: str, version: str) -> ModelVersion | None:
    """Return a version of a registered model; None when it has no such version."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version(model_name, version)
    except MlflowException as error:
        if error.error_code not in _ABSENT:
            raise
        return None


def exists(client: MlflowClient, model_name: str, version: str) -> bool:
    """Tell whether a registered model has this version."""
    return find_version(client, model_name, version) is not None


def crown(client: MlflowClient, model_name: str, version: str) -> None:
    """Make a version champion."""
    client.set_registered_model_alias(model_name, CHAMPION, version)
    confirm(client, model_name, version)


def confirm(client: MlflowClient, model_name: str, version: str) -> None:
    """Note that a version is champion: else an alias that is deleted looks like one that was never set."""
    client.set_registered_model_tag(model_name, _CROWNED, version)


def last_crowned(client: MlflowClient, model_name: str) -> str | None:
    """Return the version that last became champion, even if no version is champion any more."""
    return client.get_registered_model(model_name).tags.get(_CROWNED)


def drop_challenger(client: MlflowClient, model_name: str) -> None:
    """Let nobody wait for approval who is champion already, or has the champion's weights and settings."""
    waiting, champion = (holder(client, model_name, alias) for alias in (CHALLENGER, CHAMPION))
    if waiting is None or champion is None:
        return
    models = [
        client.get_model_version(model_name, version).tags.get("visionpipe.model_sha256")
        for version in (waiting, champion)
    ]
    if waiting == champion or (models[0] is not None and models[0] == models[1]):
        client.delete_registered_model_alias(model_name, CHALLENGER)


@contextmanager
def turn(model_name: str) -> Iterator[None]:
    """Wait until nobody else changes this registered model; MLflow cannot compare-and-swap an alias.

    Everyone who shares a sqlite file takes turns; with a server, this user's processes on this machine that can
    write the same home.

    Raises
    ------
    VisionpipeError
        When another one does not end, or MLflow refuses something in the block.
    """
    import mlflow
    from filelock import FileLock, Timeout
    from mlflow.exceptions import MlflowException

    uri = mlflow.get_registry_uri()
    if uri.startswith("sqlite:///"):
        database = Path(uri.removeprefix("sqlite:///").partition("?")[0]).resolve()  # however it is spelt
        path, mode = database.with_name(f"{database.name}.{_key(str(database), model_name)}.lock"), 0o666
    else:
        path, mode = _own_folder() / f"{_key(uri, model_name)}.lock", 0o600
    lock = FileLock(path, timeout=_LOCK_TIMEOUT_S, mode=mode)
    try:
        _acquire(lock, path, model_name)
        try:
            yield
        finally:
            lock.release()
    except Timeout as error:
        raise VisionpipeError(
            f"{model_name}: another promotion has not ended in {_LOCK_TIMEOUT_S} s; try again later"
        ) from error
    except MlflowException as error:
        raise VisionpipeError(f"{model_name}: MLflow refuses: {first_line(error)}") from error


def _own_folder() -> Path:
    """Make a folder that no other user can enter: whoever can open a lock can hold it, and with it all promotions.

    Raises
    ------
    VisionpipeError
        When there is no place for one.
    """
    for place in (_cache, _temporary):
        try:
            folder = place()
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            status = folder.lstat()
            if stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid():
                folder.chmod(0o700)
                return folder
        except (OSError, KeyError):  # no home, or one that cannot be written, as in a container
            continue
    raise VisionpipeError(
        "no folder for this account's locks, neither below its home nor in the temporary folder: give it a home that "
        "it can write"
    )


def _cache() -> Path:
    # the account's home, whatever HOME and XDG_CACHE_HOME say to cron, sudo or a desktop: all are to meet at one lock
    return Path(pwd.getpwuid(os.geteuid()).pw_dir) / ".cache/visionpipe"


def _temporary() -> Path:
    return Path(tempfile.gettempdir()) / f"visionpipe-{os.geteuid()}"


def _key(store: str, model_name: str) -> str:
    return hashlib.sha256(f"{store}\n{model_name}".encode()).hexdigest()[:16]


def _acquire(lock: FileLock, path: Path, model_name: str) -> None:
    from filelock import Timeout

    try:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            logger.warning("%s: waiting for another promotion to end", model_name)
            lock.acquire()
    except Timeout:  # an OSError too
        raise
    except OSError as error:
        raise VisionpipeError(
            f"{model_name}: cannot lock {path}: {error.strerror or error}; give this account the right to write it"
        ) from error
