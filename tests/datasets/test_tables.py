"""A table, document or folder is replaced whole or not at all, and what is not there yet is named."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from kedro.io.core import DatasetError

from visionpipe.atomic import new_file, new_folder
from visionpipe.datasets.models import CandidateFolder
from visionpipe.datasets.photos import DecodedImages, StoredImages
from visionpipe.datasets.tables import (
    FileTree,
    JsonDocument,
    JsonDocuments,
    ParquetTable,
    TextDocument,
    WebPage,
)
from visionpipe.errors import VisionpipeError

TABLE = pd.DataFrame({"image_id": ["a", "b"], "brightness": [1.5, None]})


def cause_of(error: pytest.ExceptionInfo) -> str:
    """Return what the command line prints of an error that Kedro has wrapped."""
    found = error.value
    while found is not None and not isinstance(found, VisionpipeError):
        found = found.__cause__
    assert found is not None, f"no VisionpipeError behind {error.value!r}"
    assert "\n" not in str(found)
    return str(found)


def files_below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_table_comes_back_as_it_was(tmp_path):
    dataset = ParquetTable(filepath=str(tmp_path / "deep/down/table.parquet"))
    dataset.save(TABLE)
    pd.testing.assert_frame_equal(dataset.load(), TABLE)
    assert dataset.exists()


def test_the_same_table_gives_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        ParquetTable(filepath=str(tmp_path / name)).save(TABLE)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_failing_save_leaves_the_old_table_and_nothing_else(tmp_path):
    dataset = ParquetTable(filepath=str(tmp_path / "table.parquet"))
    dataset.save(TABLE)
    with pytest.raises(DatasetError):
        dataset.save(pd.DataFrame({"mixed": [1, "x", object()]}))
    pd.testing.assert_frame_equal(dataset.load(), TABLE)
    assert files_below(tmp_path) == ["table.parquet"]


def test_a_document_comes_back_in_its_order_and_in_every_script(tmp_path):
    dataset = JsonDocument(filepath=str(tmp_path / "report.json"))
    document = {"b": [1, 0.1, None, True], "a": {"label": "Straße 照片"}}
    dataset.save(document)
    assert dataset.load() == document
    assert list(dataset.load()) == ["b", "a"]
    assert "照片" in (tmp_path / "report.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_document_with_a_number_that_json_does_not_know_is_refused(number, tmp_path):
    dataset = JsonDocument(filepath=str(tmp_path / "report.json"))
    dataset.save({"accuracy": 0.9})
    with pytest.raises(DatasetError, match="JSON compliant"):
        dataset.save({"accuracy": number})
    assert dataset.load() == {"accuracy": 0.9}
    assert files_below(tmp_path) == ["report.json"]


def test_documents_and_pages_are_utf_8_whatever_the_locale(tmp_path):
    script = (
        "from visionpipe.datasets.tables import JsonDocument, WebPage\n"
        "for dataset, data in ((JsonDocument(filepath='a.json'), {'a': 'Stra\\u00dfe'}),\n"
        "                      (WebPage(filepath='a.html'), 'Stra\\u00dfe')):\n"
        "    dataset.save(data)\n"
        "    assert dataset.load() == data\n"
    )
    ascii_only = {**os.environ, "LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=ascii_only, check=True)
    assert (tmp_path / "a.html").read_bytes() == "Straße".encode()


def test_who_reads_the_old_file_reads_it_to_its_end(tmp_path):
    dataset = JsonDocument(filepath=str(tmp_path / "report.json"))
    dataset.save({"accuracy": 0.9})
    with (tmp_path / "report.json").open() as reader:
        dataset.save({"accuracy": 0.8})
        assert json.load(reader) == {"accuracy": 0.9}
    assert dataset.load() == {"accuracy": 0.8}


def test_a_folder_is_replaced_whole(tmp_path):
    dataset = FileTree(path=str(tmp_path / "docs"))
    dataset.save({"index.html": b"old", "old/page.html": b"old"})
    dataset.save({"index.html": b"new", "css/style.css": b"new"})
    assert dataset.load() == {"index.html": b"new", "css/style.css": b"new"}
    assert files_below(tmp_path) == ["docs/css/style.css", "docs/index.html"]


def test_a_folder_that_cannot_be_written_whole_stays_the_old_one(tmp_path):
    dataset = FileTree(path=str(tmp_path / "docs"))
    dataset.save({"index.html": b"old"})
    with pytest.raises(DatasetError):
        dataset.save({"index.html": b"new", "page.html": "text, not bytes"})
    assert dataset.load() == {"index.html": b"old"}
    assert files_below(tmp_path) == ["docs/index.html"]


def test_an_error_in_the_block_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="half-way"), new_file(path) as temporary:
        temporary.write_text("ne")
        raise RuntimeError("half-way")
    assert path.read_text() == "old"
    assert files_below(tmp_path) == ["a.txt"]


def test_a_folder_that_cannot_take_its_place_gives_it_back_to_the_old_one(tmp_path, monkeypatch):
    with new_folder(tmp_path / "model") as folder:
        (folder / "weights").write_text("old")
    rename = Path.rename

    def rename_but_not_the_new_one(self: Path, target: Path) -> Path:
        if self.suffix == ".tmp":
            raise OSError("the disk is gone")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", rename_but_not_the_new_one)
    with pytest.raises(OSError, match="the disk is gone"), new_folder(tmp_path / "model") as folder:
        (folder / "weights").write_text("new")
    assert (tmp_path / "model/weights").read_text() == "old"
    assert files_below(tmp_path) == ["model/weights"]


def test_what_is_written_is_as_open_as_the_umask_allows(tmp_path):
    before = os.umask(0o022)
    try:
        JsonDocument(filepath=str(tmp_path / "a.json")).save({})
        FileTree(path=str(tmp_path / "docs")).save({"index.html": b""})
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.json").stat().st_mode) == 0o644
    assert stat.S_IMODE((tmp_path / "docs").stat().st_mode) == 0o755


@pytest.mark.parametrize(
    "dataset",
    [
        ParquetTable(filepath="data/no/table.parquet"),
        JsonDocument(filepath="data/no/report.json"),
        WebPage(filepath="data/no/page.html"),
        FileTree(path="data/no/docs"),
        CandidateFolder(path="data/no/candidate"),
        StoredImages(path="data/no/images"),
        DecodedImages(path="data/no/prepared"),
    ],
    ids=lambda dataset: type(dataset).__name__,
)
def test_what_no_pipeline_has_written_yet_is_named_in_one_line(dataset):
    assert not dataset.exists()
    with pytest.raises(DatasetError) as error:
        dataset.load()
    assert cause_of(error).startswith("data/no/")
    assert "run the" in cause_of(error)


def test_a_damaged_candidate_is_named_in_one_line(tmp_path):
    (tmp_path / "candidate").mkdir()
    (tmp_path / "candidate/model.json").write_text('{"backbone": "efficientnet-lite0"')
    with pytest.raises(DatasetError) as error:
        CandidateFolder(path=str(tmp_path / "candidate")).load()
    assert "candidate: this model cannot be loaded" in cause_of(error)


def test_of_several_documents_those_are_read_that_are_there(tmp_path):
    JsonDocument(filepath=str(tmp_path / "drift.json")).save({"drifted": True})
    (tmp_path / "decision.html").write_text("<p>")
    (tmp_path / "other.json").write_text("{}")
    documents = JsonDocuments(path=str(tmp_path), names=["decision", "drift"])
    assert documents.load() == {"drift": {"drifted": True}}
    assert JsonDocuments(path=str(tmp_path / "nowhere"), names=["drift"]).load() == {}


def test_a_text_is_kept_in_utf_8_whatever_it_holds(tmp_path):
    document = TextDocument(filepath=str(tmp_path / "card.md"))
    document.save("0.870 (0.824–0.908)\u00a0%\n")
    assert (tmp_path / "card.md").read_bytes().decode("utf-8") == document.load()
