"""Photos may lie in a folder of this machine or behind a URL."""

from __future__ import annotations

import logging
import os
import pickle
import sys
import time
from pathlib import Path

import fsspec
import pytest

from visionpipe.errors import VisionpipeError
from visionpipe.images.importers import Source

TABLE = {"table": "labels.csv", "path_column": "image", "label_column": "label"}


@pytest.fixture
def photos(put, tmp_path) -> Path:
    root = put(tmp_path / "here", "ant/1.png", "cat/a b ü.png", "cat/sub/2.png")
    (root / "labels.csv").write_text("image,label\nant/1.png,ant\ncat/a b ü.png,cat\ncat/gone.png,cat\n")
    return root


PATHS = ["ant/1.png", "cat/a b ü.png", "cat/sub/2.png", "labels.csv"]


@pytest.mark.parametrize("kind", ["file", "memory", "http"])
def test_class_folders_behind_a_url_are_as_those_of_a_folder(kind, photos, imported, memory, web):
    url = {"file": lambda: photos.as_uri(), "memory": lambda: memory(photos), "http": lambda: web(photos)}[
        kind
    ]()
    local, remote = imported("folder", photos), imported("folder", url)
    assert [photo.path for photo in local] == PATHS
    facts = [[(p.path, p.n_bytes, p.claims, p.read()) for p in each] for each in (local, remote)]
    assert facts[0] == facts[1]
    assert all(0 < photo.mtime_ns < 2**63 for photo in remote)


@pytest.mark.parametrize("kind", ["file", "memory", "http"])
def test_a_table_behind_a_url_is_joined(kind, photos, imported, said, memory, web):
    url = {"file": lambda: photos.as_uri(), "memory": lambda: memory(photos), "http": lambda: web(photos)}[
        kind
    ]()
    found = imported("table", url, folder_labels=False, **TABLE)
    unnamed = {} if kind == "http" else {"cat/sub/2.png": []}  # a web server is asked, not listed
    assert said(found) == {
        "ant/1.png": ["table: ant"],
        "cat/a b ü.png": ["table: cat"],
        "cat/gone.png": ["! no_image"],
        **unnamed,
    }
    assert found[0].read() == (photos / "ant/1.png").read_bytes()
    assert found[0].n_bytes == (photos / "ant/1.png").stat().st_size


def test_a_table_here_may_name_photos_there(photos, imported, said, web, tmp_path):
    url = web(photos)
    (tmp_path / "t.csv").write_text(f"image,label\n{url}/ant/1.png?token=1,ant\n/cat/sub/2.png,cat\n")
    found = imported("table", url, **{**TABLE, "table": tmp_path / "t.csv"})
    assert said(found) == {
        f"{url}/ant/1.png": ["folder: ant", "table: ant"],  # as without a token
        "/cat/sub/2.png": ["table: cat"],
    }
    assert found[0].read() == (photos / "ant/1.png").read_bytes()


@pytest.mark.parametrize("kind", ["memory", "http"])
def test_a_file_that_changes_has_another_number(kind, photos, imported, memory, web):
    url = {"memory": lambda: memory(photos), "http": lambda: web(photos)}[kind]()
    before = {photo.path: photo.mtime_ns for photo in imported("folder", url)}
    assert {photo.path: photo.mtime_ns for photo in imported("folder", url)} == before
    (photos / "ant/1.png").write_bytes((photos / "cat/sub/2.png").read_bytes())
    os.utime(photos / "ant/1.png", (time.time() + 5, time.time() + 5))
    if kind == "memory":
        fsspec.filesystem("memory").pipe_file("/photos/ant/1.png", (photos / "ant/1.png").read_bytes())
    after = {photo.path: photo.mtime_ns for photo in imported("folder", url)}
    assert {path for path in before if before[path] != after[path]} == {"ant/1.png"}


def test_a_server_that_is_down_makes_no_image_missing(photos, imported, said, web, tmp_path):
    (tmp_path / "t.csv").write_text("image,label\nant/1.png,ant\n")
    [photo] = imported("table", "http://127.0.0.1:9", **{**TABLE, "table": tmp_path / "t.csv"})
    assert photo.refusal is None
    with pytest.raises(OSError, match=r"127\.0\.0\.1"):
        photo.read()
    with pytest.raises(VisionpipeError, match=r"^source mine: http://127\.0\.0\.1:9.*: cannot be "):
        imported("table", "http://127.0.0.1:9", **TABLE)
    with pytest.raises(VisionpipeError, match=r"^source mine: http://127\.0\.0\.1:9: cannot be listed"):
        imported("folder", "http://127.0.0.1:9")


def test_readers_travel_to_other_processes(photos, imported, web):
    for photo in imported("folder", web(photos)):
        assert pickle.loads(pickle.dumps(photo.read))() == (photos / photo.path).read_bytes()


def test_a_zip_file_is_a_place_too(photos, imported, tmp_path):
    import shutil

    shutil.make_archive(str(tmp_path / "photos"), "zip", photos)
    found = imported("folder", f"zip://::file://{tmp_path}/photos.zip")
    assert [photo.path for photo in found] == PATHS
    assert found[0].read() == (photos / "ant/1.png").read_bytes()


@pytest.mark.parametrize(
    ("url", "package"),
    [("s3://b/x", "s3fs"), ("gs://b/x", "gcsfs"), ("az://b/x", "adlfs"), ("abfs://b/x", "adlfs")],
)
def test_a_missing_backend_names_the_package_to_install(url, package, imported, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        VisionpipeError, match=rf"^source mine: {url}: .* is not installed: `pip install {package}`$"
    ):
        imported("folder", url)


@pytest.mark.parametrize(
    ("url", "wrong"),
    [("nothing://x", "Protocol not known: nothing"), ("memory://empty", "memory://empty is not a folder")],
)
def test_a_url_that_leads_nowhere_is_said_in_one_line(url, wrong, imported):
    with pytest.raises(VisionpipeError, match=rf"^source mine: .*{wrong}"):
        imported("folder", url)


def test_secrets_are_shown_nowhere(photos, imported, memory, caplog):
    secret = {"key": "AKIA-SECRET", "password": "SECRET"}
    source = Source(name="mine", importer="folder", path="s3://b", storage_options=secret)
    assert "SECRET" not in repr(source) + str(source)
    caplog.set_level(logging.DEBUG, "visionpipe")
    with pytest.raises(VisionpipeError) as raised:
        imported("folder", "nothing://me:SECRET@host/x?sig=SECRET", storage_options=secret)
    assert "SECRET" not in str(raised.value)
    found = imported("folder", memory(photos), storage_options={"token": "SECRET"})
    assert "SECRET" not in repr(found) + caplog.text


@pytest.mark.parametrize("text", ["a,label\n1.png,cat\n" * 50])
def test_a_document_behind_a_url_is_bounded_too(text, photos, imported, memory, monkeypatch):
    (photos / "labels.csv").write_text(text)
    url = memory(photos)
    monkeypatch.setattr("visionpipe.images.importers.remote.MAX_DOCUMENT_BYTES", 100)
    monkeypatch.setattr("visionpipe.images.importers.places.MAX_DOCUMENT_BYTES", 100)
    with pytest.raises(
        VisionpipeError, match=r"memory://photos/labels\.csv: .* MB of labels are read at once"
    ):
        imported("table", url, **TABLE)
