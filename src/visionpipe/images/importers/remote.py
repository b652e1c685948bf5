"""Photos behind a URL, through fsspec: s3, gs, az, http, memory and whatever else it knows."""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from visionpipe.errors import VisionpipeError, visible
from visionpipe.images.importers.places import (
    IGNORED_NAMES,
    MAX_DOCUMENT_BYTES,
    ListedFile,
    in_folder_order,
    is_ignored_folder,
    require_document_size,
)
from visionpipe.images.importers.urls import (
    describe,
    filesystem,
    names_of,
    origin,
    shown,
    version_number,
    without_secrets,
)

_REQUESTS = 16
"""Files asked about at a time."""


@dataclass(frozen=True, slots=True)
class ReadUrl:
    """Reads one file behind a URL; travels to worker processes, and never shows its options."""

    root: str = field(repr=False)
    path: str = field(repr=False)
    storage_options: dict[str, Any] = field(repr=False)

    def __call__(self) -> bytes:
        """Return the file's bytes; whatever a backend raises becomes an OSError, without the URL's secrets."""
        try:
            return filesystem(self.root, self.storage_options)[0].cat_file(self.path)
        except MemoryError:
            raise
        except OSError as error:
            raise without_secrets(error) from None
        except Exception as error:  # noqa: BLE001 - backends raise what they like
            raise OSError(describe(error)) from None

    def stream(self) -> Any:
        """Return an open file to read parts of."""
        return filesystem(self.root, self.storage_options)[0].open(self.path, "rb")


@dataclass(frozen=True)
class RemoteFolder:
    """A folder behind a URL; a file on another web server, by its own URL, is asked for without our options."""

    url: str = field(repr=False)
    storage_options: dict[str, Any] = field(repr=False)
    root: str = field(repr=False)
    can_list: bool
    fs: Any = field(repr=False)

    @classmethod
    def open(cls, url: str, storage_options: dict[str, Any]) -> RemoteFolder:
        """Connect to the backend; nothing is listed yet."""
        fs, root = filesystem(url, storage_options)
        return cls(url, storage_options, root.rstrip("/"), not url.startswith(("http://", "https://")), fs)

    @property
    def name(self) -> str:
        """The URL without user, password and query."""
        return shown(self.url)

    def files(self) -> list[ListedFile]:
        """List all files below the URL, with their sizes and what tells a new version from an old one."""
        try:
            self.fs.invalidate_cache()
            found = self.fs.find(self.root if self.can_list else self.root + "/", detail=True)
            if not found:
                self.fs.info(self.root)
        except Exception as error:
            if isinstance(error, FileNotFoundError) and not _is_silent(error):
                raise VisionpipeError(f"{self.name} is not a folder") from error
            raise VisionpipeError(
                f"{self.name}: cannot be listed: {describe(error.__cause__ or error)}"
            ) from error
        named = {self._relative(path): (path, info) for path, info in found.items()}
        paths = sorted(named, key=in_folder_order)
        paths = [path for path in paths if path and not _is_ignored(path)]
        if self.can_list:
            return [self._listed(path, *named[path]) for path in paths]
        # a web page of links says nothing of their sizes
        asked = self._ask([named[path][0] for path in paths])
        return [
            self._listed(path, named[path][0], info or {}) for path, info in zip(paths, asked, strict=True)
        ]

    def find(self, references: Iterable[str]) -> dict[str, ListedFile]:
        """Ask for files by path relative to the URL, or by URL of the same kind; they are named as it may be shown."""
        references = list(dict.fromkeys(references))
        names = names_of(references)
        paths = [self._absolute(reference) for reference in references]
        asked = self._ask(paths)
        return {
            reference: self._listed(names[reference], path, info)
            for reference, path, info in zip(references, paths, asked, strict=True)
            if info is not None
        }

    def document(self, path: str) -> bytes:
        """Read a document."""
        name = f"{self.name}/{shown(path).partition('?')[0]}"
        try:
            with self.fs.open(self._absolute(path), "rb") as file:
                data = file.read(MAX_DOCUMENT_BYTES + 1)
        except Exception as error:
            if isinstance(error, FileNotFoundError) and not _is_silent(error):
                raise VisionpipeError(f"{name}: no such file") from error
            raise VisionpipeError(f"{name}: cannot be read: {describe(error.__cause__ or error)}") from error
        require_document_size(name, len(data))
        return data

    def _absolute(self, reference: str) -> str:
        if self.can_list:
            return f"{self.root}/{reference}"
        try:
            return urllib.parse.urljoin(self.root + "/", reference)
        except ValueError:  # no URL, though it begins like one: asking for it will say so
            return reference

    def _options(self, path: str) -> dict[str, Any]:
        """Return what a file's host may be told: nothing where a document names another than we were given."""
        try:
            return self.storage_options if self.can_list or origin(path) == origin(self.root) else {}
        except ValueError:
            return {}

    def _relative(self, path: str) -> str:
        relative = path[len(self.root) :].strip("/")
        return relative if self.can_list else urllib.parse.unquote(relative)

    def _listed(self, name: str, path: str, info: dict[str, Any]) -> ListedFile:
        read = ReadUrl(self.url, path, self._options(path))
        return ListedFile(visible(name), int(info.get("size") or 0), version_number(info), read)

    def _ask(self, paths: list[str]) -> list[dict[str, Any] | None]:
        elsewhere = filesystem(self.url, {})[0] if self.storage_options else self.fs

        def ask(path: str) -> dict[str, Any] | None:
            try:
                return (self.fs if self._options(path) else elsewhere).info(path)
            except Exception as error:  # noqa: BLE001 - backends raise what they like
                # a server that fails is no proof of a missing file: reading it will say so
                status = getattr(error.__cause__, "status", None)
                missing = isinstance(error, FileNotFoundError) and status in (None, 404, 410)
                return None if missing and not _is_silent(error) else {}

        with ThreadPoolExecutor(_REQUESTS) as threads:
            return list(threads.map(ask, paths))


def _is_ignored(path: str) -> bool:
    *folders, name = path.split("/")
    return name in IGNORED_NAMES or any(map(is_ignored_folder, folders))


def _is_silent(error: BaseException) -> bool:
    """Say whether fsspec took an unreachable server for a missing file."""
    return isinstance(error.__cause__, OSError | TimeoutError) and not isinstance(
        error.__cause__, FileNotFoundError
    )
