"""Temporary folders that do not stay for ever when the run that made them is killed."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

OWNER_LOCK = "owner.lock"
"""File in a scratch folder whose lock is held for as long as the process that made the folder lives."""
_PREFIX = "visionpipe-scratch-"
_NEW_S = 10  # a folder, or a lock in it, that is so young may be one that its owner is about to lock


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """Give a temporary folder that only this user can read, gone when the block ends.

    Folders that killed runs of this user left in the same place are removed first: photos, labels and models may be in
    them.
    """
    _remove_abandoned()
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as name:
        folder = Path(name)
        with FileLock(folder / OWNER_LOCK):
            yield folder


def _remove_abandoned() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError, Timeout):  # gone meanwhile; somebody else's; its owner lives
            lock = folder / OWNER_LOCK
            told, newest = folder.lstat(), (lock if lock.exists() else folder).lstat().st_mtime
            if told.st_uid != os.getuid() or time.time() - newest < _NEW_S:
                continue
            with FileLock(lock, timeout=0):
                shutil.rmtree(folder, ignore_errors=True)
