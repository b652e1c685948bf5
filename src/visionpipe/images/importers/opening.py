"""Open the place that a path or URL names."""

from __future__ import annotations

import urllib.parse
from pathlib import Path

from visionpipe.errors import VisionpipeError
from visionpipe.images.importers.local import LocalFolder
from visionpipe.images.importers.places import Place
from visionpipe.images.importers.remote import RemoteFolder
from visionpipe.images.importers.source import Source


def place_of(source: Source) -> Place:
    """Open the place that a source names.

    Raises
    ------
    VisionpipeError
        When there is no such folder, or the package that reads such URLs is not installed.
    """
    if source.path is None:
        raise VisionpipeError(f"importer {source.importer} needs a `path`")
    return open_place(source.path, source.storage_options)


def open_place(path: str, storage_options: dict | None = None) -> Place:
    """Open a local folder or a URL; a `file://` URL is a local folder."""
    if path.startswith("file://"):
        path = urllib.parse.unquote(urllib.parse.urlsplit(path).path)
    if "://" in path:
        return RemoteFolder.open(path, storage_options or {})
    if not Path(path).is_dir():
        raise VisionpipeError(f"{path} is not a folder")
    return LocalFolder(path)


def read_document(place: Place, path: str, storage_options: dict) -> bytes:
    """Read a document that lies in the place, or elsewhere by absolute path or URL."""
    if "://" not in path and not Path(path).is_absolute():
        return place.document(path)
    folder, _, name = path.rpartition("/")
    return open_place(folder or "/", storage_options).document(name)
