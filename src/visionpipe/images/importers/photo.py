"""A file that could become a training image, and what is said of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class LabelClaim:
    """What one annotator says that a photo shows.

    Attributes
    ----------
    confidence : float
        How sure the annotator is, or the share of experts who agree [0, 1].
    annotator : str
        Who says so: a person's id, or what was read (`folder`, `table`).
    labelled_at : datetime or None
        When it was said [UTC]; None: when the photo arrived.
    origin : {"import", "review", "correction", "adjudication"}
        How much it weighs (`visionpipe.images.labels`).
    selection : {"uncertain", "random_audit"} or None
        Why the image was chosen to be labelled (`visionpipe.images.splits`).
    """

    label: str
    confidence: float = 1.0
    annotator: str = "import"
    labelled_at: datetime | None = None
    origin: str = "import"
    selection: str | None = None


@dataclass(frozen=True, slots=True)
class Photo:
    """A file that could become a training image; its bytes are read by `read()` and not before.

    Attributes
    ----------
    path : str
        Printable name, unique within the source.
    n_bytes : int
        Size; 0 where it is not known before the bytes are read.
    mtime_ns : int
        When the bytes last changed, or any number that changes when they do.
    read : callable
        Returns the bytes; picklable; raises OSError when they cannot be had.
    claims : tuple of LabelClaim
        Empty: nobody says what the photo shows.
    attributes : dict
        The user's own columns.
    further_attributes : tuple of dict
        Other values of them, where several rows name the photo and disagree; `attributes` holds the first ones.
    refusal : (str, str) or None
        Reason code and detail when the importer already knows that the input cannot be used: a row of a table
        whose image is missing, say.
    contains_people : bool
        Its source shows people.
    """

    source: str
    path: str
    n_bytes: int
    mtime_ns: int
    read: Callable[[], bytes]
    arrived_at: datetime
    claims: tuple[LabelClaim, ...] = ()
    attributes: dict[str, str] = field(default_factory=dict)
    refusal: tuple[str, str] | None = None
    contains_people: bool = False
    further_attributes: tuple[dict[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ReadFile:
    """Reads one file; a class, not a closure, so that it travels to worker processes."""

    path: str | os.PathLike[str]

    def __call__(self) -> bytes:
        """Return the file's bytes."""
        path = Path(self.path)
        if path.exists() and not path.is_file():  # reading a pipe or a device may never end
            raise OSError("not a regular file")
        return path.read_bytes()

    def stream(self) -> Any:
        """Return what pyarrow opens to read parts of the file."""
        return os.fspath(self.path)


@dataclass(frozen=True, slots=True)
class ReadNothing:
    """Stands where there is no image to read: the row of a table whose image is missing."""

    detail: str

    def __call__(self) -> bytes:
        """Raise FileNotFoundError."""
        raise FileNotFoundError(self.detail)
