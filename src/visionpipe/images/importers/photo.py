"""A file that could become a training image, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path


@dataclass(frozen=True)
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
    selection : str or None
        Why the image was chosen to be labelled: `"uncertain"`, `"audit"`, …
    """

    label: str
    confidence: float = 1.0
    annotator: str = "import"
    labelled_at: datetime | None = None
    origin: str = "import"
    selection: str | None = None


@dataclass(frozen=True)
class Photo:
    """A file that could become a training image; its bytes are read by `read()` and not before.

    Attributes
    ----------
    path : str
        Printable name, unique within the source.
    mtime_ns : int
        When the bytes last changed, or any number that changes when they do.
    read : callable
        Returns the bytes; picklable; raises OSError when they cannot be had.
    claims : tuple of LabelClaim
        Empty: nobody says what the photo shows.
    attributes : dict
        The user's own columns.
    refusal : (str, str) or None
        Reason code and detail when the importer already knows that the input cannot be used: a row of a table
        whose image is missing, say.
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


@dataclass(frozen=True)
class ReadFile:
    """Reads one file; a class, not a closure, so that it travels to worker processes."""

    path: Path

    def __call__(self) -> bytes:
        """Return the file's bytes."""
        if self.path.exists() and not self.path.is_file():  # reading a pipe or a device may never end
            raise OSError("not a regular file")
        return self.path.read_bytes()
