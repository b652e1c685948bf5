"""Collections of photos, and what the importers make of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from photo_files import LABELS_CSV, encode, picture
from visionpipe.images.importers import Photo, Source, iterate_photos

NOW = datetime(2026, 1, 5, tzinfo=UTC)


@pytest.fixture(scope="session")
def imported() -> Callable[..., list[Photo]]:
    """List a source."""

    def list_source(importer: str, path: str | Path, **options) -> list[Photo]:
        return list(iterate_photos(Source(name="mine", importer=importer, path=path, **options), NOW))

    return list_source


@pytest.fixture(scope="session")
def said() -> Callable[[list[Photo]], dict[str, list[str]]]:
    """Path -> `annotator: label` of each claim, or the reason of a refusal."""

    def summary(photos: list[Photo]) -> dict[str, list[str]]:
        assert len({photo.path for photo in photos}) == len(photos), "a path occurs twice"
        return {
            photo.path: [f"! {photo.refusal[0]}"]
            if photo.refusal
            else [f"{claim.annotator}: {claim.label}" for claim in photo.claims]
            for photo in photos
        }

    return summary


@pytest.fixture(scope="session")
def put() -> Callable[..., Path]:
    """Write small real images under a folder."""

    def write(root: Path, *paths: str) -> Path:
        for seed, path in enumerate(paths):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(encode(picture(seed, 40, 40), "PNG"))
        return root

    return write


class _Quiet(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args) -> None:
        pass


@pytest.fixture
def web() -> Iterator[Callable[[Path], str]]:
    """Serve a folder over HTTP and return its URL."""
    servers = []

    def serve(folder: Path) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=folder))
        server.daemon_threads = True
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def memory() -> Iterator[Callable[[Path], str]]:
    """Copy a folder to fsspec's memory file system and return its URL."""
    import fsspec

    fs = fsspec.filesystem("memory")

    def copy(folder: Path) -> str:
        for file in folder.rglob("*"):
            if file.is_file():
                fs.pipe_file(f"/photos/{file.relative_to(folder).as_posix()}", file.read_bytes())
        return "memory://photos"

    yield copy
    fs.store.clear()
    fs.pseudo_dirs[:] = [""]


@pytest.fixture
def table(imported, put, tmp_path):
    """Import `labels.csv` with these lines beside images of these paths."""

    def read(lines: str, *paths: str, **options):
        (put(tmp_path, *paths) / "labels.csv").write_text(lines, encoding="utf-8")
        return imported("table", tmp_path, **{**LABELS_CSV, **options})

    return read
