"""Write a file or a folder whole or not at all."""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

_STALE_S = 3600  # no write takes so long: a temporary file that old was left by a killed run


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Give a path beside `path`, to be written, that takes its place when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = beside(path)
    try:
        yield temporary
        to_disk(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder beside `path` that takes its place when the block ends without an error.

    A folder cannot be replaced in one step, so the one there steps aside first. What ends the process between the two
    steps, which no `finally` outlives, leaves it aside: the next call gives it back before anything else.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for retired in _left_by_others(path, ".old"):
        _give_back(retired, path)
    remove_stale(path)
    temporary = beside(path)
    retired = temporary.with_suffix(".old")
    temporary.mkdir()
    try:
        yield temporary
        for written in temporary.rglob("*"):
            if written.is_file():
                to_disk(written)
        if path.exists():
            path.rename(retired)
        temporary.rename(path)
    finally:
        _give_back(retired, path)
        shutil.rmtree(temporary, ignore_errors=True)


def remove_stale(path: Path) -> None:
    """Remove what killed processes wrote beside `path` and never put in its place."""
    for left in _left_by_others(path, ".tmp"):
        with contextlib.suppress(FileNotFoundError):  # another run removed it
            if time.time() - left.stat().st_mtime > _STALE_S:
                if left.is_dir():
                    shutil.rmtree(left)
                else:
                    left.unlink()


def _give_back(retired: Path, path: Path) -> None:
    """Let a folder that stepped aside return, or remove it where another has taken its place."""
    if path.exists():
        shutil.rmtree(retired, ignore_errors=True)
    elif retired.exists():
        retired.rename(path)


def _left_by_others(path: Path, suffix: str) -> list[Path]:
    return list(path.parent.glob(f".{glob.escape(path.name)}-*{suffix}"))


def to_disk(path: Path) -> None:
    """Wait until a file is on disk: a power cut must not leave the final name on half a file."""
    with path.open("rb") as written:
        os.fsync(written.fileno())


def beside(path: Path) -> Path:
    """Return a new hidden name; `tempfile` would make what bears it private, whatever the umask."""
    return path.with_name(f".{path.name}-{uuid.uuid4().hex}.tmp")
