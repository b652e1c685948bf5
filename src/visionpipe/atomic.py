"""Write a file or a folder whole or not at all."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Give a path beside `path`, to be written, that takes its place when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _beside(path)
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())  # a power cut must not leave the final name on half a file
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder beside `path` that takes its place when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _beside(path)
    temporary.mkdir()
    retired = temporary.with_suffix(".old")
    try:
        yield temporary
        if path.exists():
            path.rename(retired)  # a folder cannot be replaced in one step, so the old one steps aside first
        try:
            temporary.rename(path)
        except OSError:
            if retired.exists():
                retired.rename(path)
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(retired, ignore_errors=True)


def _beside(path: Path) -> Path:
    """Return a new hidden name; `tempfile` would make what bears it private, whatever the umask."""
    return path.with_name(f".{path.name}-{uuid.uuid4().hex}.tmp")
