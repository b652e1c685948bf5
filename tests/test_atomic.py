"""A file or a folder is there whole, or as it was before."""

import os
import signal
import time
from pathlib import Path

import pytest

from visionpipe.atomic import new_file, new_folder


def files_below(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()
    }


def test_a_file_takes_the_place_of_the_one_there(tmp_path):
    for text in ("first", "second"):
        with new_file(tmp_path / "new" / "a.txt") as temporary:
            temporary.write_text(text)
    assert files_below(tmp_path) == {"new/a.txt": "second"}


def test_a_folder_takes_the_place_of_the_one_there_with_all_its_files(tmp_path):
    for name in ("old.txt", "new.txt"):
        with new_folder(tmp_path / "folder") as temporary:
            (temporary / name).write_text(name)
    assert files_below(tmp_path) == {"folder/new.txt": "new.txt"}


@pytest.mark.parametrize("make", [new_file, new_folder])
def test_an_error_halfway_leaves_what_was_there(tmp_path, make):
    target = tmp_path / "target"
    with make(target) as temporary:
        (temporary if make is new_file else temporary / "a").write_text("whole")
    before = files_below(tmp_path)
    with pytest.raises(OSError, match="No space"), make(target) as temporary:
        (temporary if make is new_file else temporary / "a").write_text("ha")
        raise OSError(28, "No space left on device")
    assert files_below(tmp_path) == before


def test_what_is_written_is_as_readable_as_any_other_file(tmp_path):
    (tmp_path / "plain").touch()
    (tmp_path / "plain folder").mkdir()
    with new_file(tmp_path / "file") as temporary:
        temporary.touch()
    with new_folder(tmp_path / "folder"):
        pass
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert (tmp_path / "folder").stat().st_mode == (tmp_path / "plain folder").stat().st_mode


def end_between_the_renames(monkeypatch, end):
    rename = Path.rename

    def rename_but_not_the_new_one(self, target):
        if self.suffix == ".tmp":
            end()
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", rename_but_not_the_new_one)


def interrupt():
    raise KeyboardInterrupt


def replace(folder, text):
    with new_folder(folder) as temporary:
        (temporary / "weights").write_text(text)


def test_an_interrupt_between_the_two_renames_leaves_the_old_folder(tmp_path, monkeypatch):
    replace(tmp_path / "model", "old")
    end_between_the_renames(monkeypatch, interrupt)
    with pytest.raises(KeyboardInterrupt):
        replace(tmp_path / "model", "new")
    assert files_below(tmp_path) == {"model/weights": "old"}
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_folder_that_cannot_return_is_not_removed(tmp_path, monkeypatch):
    replace(tmp_path / "model", "old")
    rename = Path.rename

    def rename_only_aside(self, target):
        if target.name == "model":
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", rename_only_aside)
    with pytest.raises(OSError, match="Input/output"):
        replace(tmp_path / "model", "new")
    assert "old" in files_below(tmp_path).values()


def test_what_a_kill_between_the_two_renames_set_aside_returns_with_the_next_call(tmp_path, monkeypatch):
    replace(tmp_path / "model", "old")
    if not (child := os.fork()):
        end_between_the_renames(monkeypatch, lambda: os.kill(os.getpid(), signal.SIGKILL))
        replace(tmp_path / "model", "new")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert not (tmp_path / "model").exists()
    with pytest.raises(RuntimeError, match="halfway"), new_folder(tmp_path / "model"):
        raise RuntimeError("halfway")
    assert (tmp_path / "model/weights").read_text() == "old"
    replace(tmp_path / "model", "newest")
    assert (tmp_path / "model/weights").read_text() == "newest"
    assert not list(tmp_path.glob(".model-*.old"))


def test_what_kills_left_behind_goes_when_nobody_can_be_writing_it_any_more(tmp_path):
    fresh, stale, retired, others = (
        tmp_path / name for name in (".model-1.tmp", ".model-2.tmp", ".model-3.old", ".card-4.tmp")
    )
    for left in (fresh, stale, retired, others):
        left.mkdir()
        (left / "weights").write_text("left")
    for left in (stale, others):
        os.utime(left, (time.time() - 7200,) * 2)
    (tmp_path / "model").mkdir()
    replace(tmp_path / "model", "new")
    assert {path.name for path in tmp_path.iterdir()} == {"model", fresh.name, others.name}


@pytest.fixture
def synced(tmp_path, monkeypatch):
    """Inode of each file that was waited for -> whether `tmp_path / "model"` was there by then."""
    found = {}

    def fsync(number):
        found[os.fstat(number).st_ino] = (tmp_path / "model").exists()

    monkeypatch.setattr(os, "fsync", fsync)
    return found


def test_a_file_is_on_disk_before_it_takes_its_place(tmp_path, synced):
    with new_file(tmp_path / "model") as temporary:
        temporary.write_text("new")
        number = temporary.stat().st_ino
        assert not synced
    assert synced == {number: False}


def test_all_files_of_a_folder_are_on_disk_before_it_takes_its_place(tmp_path, synced):
    with new_folder(tmp_path / "model") as temporary:
        (temporary / "below").mkdir()
        written = [temporary / "weights", temporary / "below" / "table"]
        for path in written:
            path.write_text("new")
        numbers = [path.stat().st_ino for path in written]
        assert not synced
    assert synced == dict.fromkeys(numbers, False)
