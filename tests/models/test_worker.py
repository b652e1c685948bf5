"""One of several training processes ends with its run, harms no other, and says what went wrong."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from visionpipe.errors import VisionpipeError
from visionpipe.models import processes, worker

ADOPTER = """
import ctypes, os, subprocess, sys
PR_SET_CHILD_SUBREAPER = 36
ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
subprocess.run([sys.executable, "-c", sys.argv[1]])
print(os.waitstatus_to_exitcode(os.wait()[1]))
"""
LAUNCHER = """
import os, pathlib, subprocess, sys
pathlib.Path({attempt!r}, "launcher").write_text(str(os.getpid()))
subprocess.Popen([sys.executable, "-c", {worker!r}])
"""
WORKER = """
import pathlib
from visionpipe.models.worker import _leave_when_alone
_leave_when_alone(pathlib.Path({folder!r}), pathlib.Path({attempt!r}))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process adopt orphans")
def test_who_adopts_an_orphan_is_not_taken_for_its_launcher(tmp_path):
    """As `systemd --user` does; torchrun is gone before the process has done its imports, and so is the run."""
    folder, attempt = tmp_path / "folder", tmp_path / "folder/attempt"
    attempt.mkdir(parents=True)
    code = LAUNCHER.format(
        attempt=str(attempt), worker=WORKER.format(folder=str(folder), attempt=str(attempt))
    )
    adopter = subprocess.run(
        [sys.executable, "-c", ADOPTER, code], capture_output=True, text=True, timeout=120, check=False
    )
    assert (adopter.returncode, adopter.stdout) == (0, "1\n"), adopter.stderr


def test_what_cannot_be_written_is_among_the_last_lines(tmp_path, capsys):
    (tmp_path / "full").touch()
    worker._tell(tmp_path / "full/error-0.txt", "training stopped: No space left on device")
    assert capsys.readouterr().out == "training stopped: No space left on device\n"


def test_a_half_written_answer_does_not_count(tmp_path, monkeypatch):
    """The process is killed, or the disk is full, while it writes."""

    def fail(*_):
        raise OSError("full")

    monkeypatch.setattr("pathlib.Path.replace", fail)
    worker._tell(tmp_path / "out_of_memory-0", "4")
    worker._tell(tmp_path / "error-0.txt", "training stopped: full")
    with pytest.raises(VisionpipeError, match="one of 2 processes ended with status 1; the log has its last"):
        processes._raise_failure(tmp_path, 2, 1, ["exitcode : 1"])


def test_code_that_changed_since_the_run_began_is_refused(tmp_path, monkeypatch):
    """The papers name the source that the run began with."""
    (tmp_path / "request.json").write_text(json.dumps({"source_sha256": "0" * 64}))
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setattr(worker, "_leave_when_alone", lambda *_: None)
    with pytest.raises(VisionpipeError, match="code changed since the run began"):
        worker._work.__wrapped__(tmp_path, tmp_path)
    assert "code changed" in (tmp_path / "error-0.txt").read_text()
