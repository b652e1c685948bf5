"""What a command prints of an error: one line where the user can mend it, everything where we must."""

from __future__ import annotations

import errno
import shutil

import click
import pytest
import requests
from click.testing import CliRunner
from kedro.io import DatasetError
from kedro.pipeline import pipeline
from mlflow.exceptions import MlflowException

from visionpipe.cli.errors import one_line_errors

SILENT = "API request to http://joe:hunter2@host/api failed\nand more"


def run(error: Exception, cause: Exception | None = None):
    """Run a command that fails so."""

    @click.command()
    @one_line_errors
    def command() -> None:
        raise error from cause

    return CliRunner().invoke(command)


@pytest.mark.parametrize("kind", [MlflowException, requests.ConnectionError])
def test_a_tracking_server_that_goes_away(kind):
    done = run(DatasetError("Failed while saving"), cause=kind(SILENT))
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == (
        "Error: MLflow: API request to http://***@host/api failed; mend what it names, or try again when it answers\n"
    )


@pytest.mark.parametrize(
    ("number", "line"),
    [
        (
            errno.ENOSPC,
            "No space left on device (/data/x): nothing written before is lost; make room and run again",
        ),
        (errno.EACCES, "Permission denied (/data/x): give this account access to it"),
        (errno.EROFS, "Read-only file system (/data/x): nothing can be written there"),
    ],
)
def test_what_the_operating_system_refuses(number, line):
    done = run(DatasetError("Failed while saving"), cause=OSError(number, "", "/data/x"))
    assert (done.exit_code, done.stderr) == (1, f"Error: {line}\n")


def test_the_disk_that_is_full_is_the_one_that_is_written():
    done = run(OSError(errno.ENOSPC, "", "/data/x", None, "/tmp/x"))
    assert "(/tmp/x)" in done.stderr


def test_a_folder_that_cannot_be_copied_is_told_with_the_cause(tmp_path):
    """As MLflow copies what it is given: all failures are one error, which holds the causes as text."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model/weights").symlink_to("gone")
    with pytest.raises(shutil.Error) as failed:
        shutil.copytree(tmp_path / "model", tmp_path / "copy")
    line = run(failed.value).stderr
    assert line.startswith(f"Error: {tmp_path / 'copy/weights'}: cannot be copied to: [Errno 2] No such file")
    assert line.count("\n") == 1


@pytest.mark.parametrize(
    "defect", [ValueError("of ours"), AttributeError("of ours"), OSError(errno.EBADF, "Bad file descriptor")]
)
def test_a_defect_of_ours_keeps_its_traceback(defect):
    assert run(defect).exception is defect


def test_so_does_one_that_kedro_wraps():
    done = run(DatasetError("Failed while saving data to dataset x"), cause=TypeError("of ours"))
    assert isinstance(done.exception, DatasetError)


def test_what_kedro_says_of_an_option_is_one_line():
    @click.command()
    @one_line_errors
    def command() -> None:
        pipeline([]).only_nodes("nope")

    done = CliRunner().invoke(command)
    assert (done.exit_code, done.stderr) == (1, "Error: Pipeline does not contain nodes named ['nope'].\n")
