"""A scratch folder is gone when its run is, at the latest when the next one begins."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time

import pytest

from visionpipe.scratch import OWNER_LOCK, scratch_folder

HOLD = """
import sys, time
from visionpipe.scratch import scratch_folder
with scratch_folder() as folder:
    (folder / "photo.png").touch()
    print(folder, flush=True)
    time.sleep(600)
"""


@pytest.fixture(autouse=True)
def scratch(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def other_run(scratch):
    """A run that uses a scratch folder; returns it with the folder, whose lock looks a minute old."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD],
        env={**os.environ, "TMPDIR": str(scratch)},
        stdout=subprocess.PIPE,
        text=True,
    ) as run:
        folder = scratch / run.stdout.readline().strip()
        os.utime(folder / OWNER_LOCK, (time.time() - 60,) * 2)
        yield run, folder
        run.kill()


def test_it_is_private_and_gone_after_an_error_too(scratch):
    with pytest.raises(OSError, match="full"), scratch_folder() as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        assert {path.name for path in folder.iterdir()} == {OWNER_LOCK}
        raise OSError("full")
    assert list(scratch.iterdir()) == []


def test_that_of_a_run_that_lives_stays(other_run):
    _, folder = other_run
    with scratch_folder():
        assert (folder / "photo.png").exists()


def test_that_of_a_killed_run_goes(other_run):
    run, folder = other_run
    run.kill()
    run.wait()
    with scratch_folder():
        assert not folder.exists()


def test_one_that_was_made_just_now_may_not_be_locked_yet(scratch):
    new, lock = scratch / "visionpipe-scratch-new", scratch / "visionpipe-scratch-old" / OWNER_LOCK
    new.mkdir()
    lock.parent.mkdir()
    os.utime(lock.parent, (time.time() - 60,) * 2)
    lock.touch()
    with scratch_folder():
        assert new.exists()
        assert lock.exists()


def test_what_others_own_or_is_no_folder_is_left_alone(scratch, monkeypatch):
    theirs, file = scratch / "visionpipe-scratch-theirs", scratch / "visionpipe-scratch-file"
    theirs.mkdir()
    file.touch()
    for path in (theirs, file):
        os.utime(path, (time.time() - 7200,) * 2)
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with scratch_folder():
        assert theirs.exists()
    monkeypatch.undo()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    with scratch_folder():
        assert file.exists()
        assert not theirs.exists()
