"""A place that holds photos, near or far: a local folder or any fsspec URL, listed and read the same way."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from visionpipe.errors import VisionpipeError, visible
from visionpipe.images.importers.photo import Photo

IGNORED_NAMES = {".DS_Store", "Thumbs.db", "desktop.ini"}
IGNORED_FOLDERS = {"__MACOSX"}
"""Beside hidden ones: what programs leave behind (previews, checkpoints of notebooks) is nobody's photo."""
IMAGE_SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .png .webp .bmp .dib .gif .tif .tiff .avif .heic .heif .jp2 .ppm .pgm".split()  # noqa: SIM905
)
MAX_DOCUMENT_BYTES = 512 * 2**20
"""Size above which no table and no annotation document is read: parsed, it takes several times its size."""


def is_ignored_folder(name: str) -> bool:
    """Say whether a folder below a place is passed over: a hidden one, or what macOS puts into archives."""
    return name.startswith(".") or name in IGNORED_FOLDERS


class Reader(Protocol):
    """Reads one file, whole or in parts; picklable."""

    def __call__(self) -> bytes:
        """Return the bytes."""
        ...

    def stream(self) -> Any:
        """Return what pyarrow opens."""
        ...


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A file that a place holds.

    Attributes
    ----------
    path : str
        Relative to the place, with slashes, printable, unique.
    mtime_ns : int
        Any number that changes when the bytes do.
    read : ReadFile or ReadUrl
        Returns the bytes; picklable.
    """

    path: str
    n_bytes: int
    mtime_ns: int
    read: Reader

    def photo(self, source_name: str, arrived_at: datetime, **said: Any) -> Photo:
        """Make a photo of it; `said` are its claims, attributes and refusal."""
        return Photo(source_name, self.path, self.n_bytes, self.mtime_ns, self.read, arrived_at, **said)


class Place(Protocol):
    """Where files lie."""

    name: str
    """The path or URL as it may be shown: without passwords and tokens."""
    can_list: bool
    """False: what lies here is only known by asking for it by name (a web server)."""

    def files(self) -> list[ListedFile]:
        """List all files below, sorted by path, folder by folder."""
        ...

    def find(self, references: Iterable[str]) -> dict[str, ListedFile]:
        """Ask for files by name; those that are not there are left out."""
        ...

    def document(self, path: str) -> bytes:
        """Read a table or an annotation document of at most `MAX_DOCUMENT_BYTES`."""
        ...


def in_folder_order(path: str) -> str:
    """Sort `a/2` before `a-b/1`, as a reader of the folder tree would.

    >>> sorted(["a-b/1", "a/2"], key=in_folder_order)
    ['a/2', 'a-b/1']
    """
    return path.replace("/", "\0")


def printable(name: str) -> str:
    r"""Write the bytes of a file name that are not UTF-8 as `\xff`, and `visible`: no table can hold them raw.

    >>> printable("caf\udce9"), printable("two\nlines")
    ('caf\\xe9', 'two\\nlines')
    """
    return visible(os.fsencode(name).decode("utf-8", "backslashreplace"))


def is_image_name(path: str) -> bool:
    """Say whether a file is named like an image.

    >>> is_image_name("a/B.JPG"), is_image_name("LICENSE")
    (True, False)
    """
    return os.path.splitext(path)[1].lower() in IMAGE_SUFFIXES  # noqa: PTH122 - paths of URLs are no Path


def require_document_size(name: str, n_bytes: int) -> None:
    """Refuse a document that would not fit into memory."""
    if n_bytes > MAX_DOCUMENT_BYTES:
        raise VisionpipeError(
            f"{name}: {n_bytes / 2**20:,.0f} MB, at most {MAX_DOCUMENT_BYTES / 2**20:,.0f} MB of labels are read at "
            "once: split it into several sources"
        )
