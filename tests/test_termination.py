"""A scheduler that stops a run, or a person, lets it tidy up."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from textwrap import indent

import pytest

COMMAND = """
import atexit, click, signal, sqlalchemy, time
signal.signal(signal.SIGINT, signal.{disposition})
from visionpipe.cli.errors import one_line_errors
from visionpipe.cli.termination import ends_tidily

def tell():
    time.sleep(0.5)
    print("told MLflow")

@click.command()
@one_line_errors
@ends_tidily
def command():
    atexit.register(tell)
    try:
{body}
    finally:
        print("tidied up")

command()
"""
WAIT = """
print("begun", flush=True)
time.sleep(60)
"""
WRITE = """
def work():
    print("begun", flush=True)
    time.sleep(1)
    print("written", flush=True)

with sqlalchemy.create_engine("sqlite://").connect() as database:
    database.connection.driver_connection.create_function("work", 0, work)
    database.execute(sqlalchemy.text("SELECT work()"))
time.sleep(60)
"""
HEED_NOTHING = """
try:
    print("begun", flush=True)
    time.sleep(60)
except BaseException as error:
    raise {kind}("half-made") from error
"""


EITHER = [(signal.SIGTERM, 143), (signal.SIGINT, 1)]


def left_by(number: int) -> str:
    """Return what the command says when it ends in order."""
    return f"tidied up\nStopped by {signal.Signals(number).name}\ntold MLflow\n"


def stopped(body: str, number: int, *, times: int = 1, heeds: bool = True) -> tuple[int, str]:
    """Return the status and the words of a command that gets a signal, or several, as soon as it has begun."""
    disposition = (
        "default_int_handler" if heeds else "SIG_IGN"
    )  # a test in the background inherits the latter
    code = COMMAND.format(body=indent(body, " " * 8), disposition=disposition)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "begun\n"
        for _ in range(times):
            run.send_signal(number)
            time.sleep(0.02)
        said = run.communicate(timeout=30)[0]
    return run.returncode, re.sub(r"^\S+ WARNING  (Stopped by \w+) *$", r"\1", said, flags=re.MULTILINE)


@pytest.mark.parametrize(("number", "status"), EITHER)
def test_a_signal_is_an_exception_to_a_run(number, status):
    assert stopped(WAIT, number) == (status, left_by(number))


@pytest.mark.parametrize(("number", "status"), EITHER)
def test_a_transaction_is_not_broken_into(number, status):
    """One that is interrupted while it is closed holds its lock, and MLflow cannot be told of the end."""
    assert stopped(WRITE, number) == (status, "written\n" + left_by(number))


@pytest.mark.parametrize("body", [WAIT, WRITE])
def test_the_second_and_third_sigterm_change_nothing(body):
    status, said = stopped(body, signal.SIGTERM, times=3)
    assert (status, said.removeprefix("written\n")) == (143, left_by(signal.SIGTERM))


@pytest.mark.parametrize("kind", ["AttributeError", "OSError"])
@pytest.mark.parametrize(("number", "status"), EITHER)
def test_what_a_library_makes_of_the_exit_does_not_count(kind, number, status):
    assert stopped(HEED_NOTHING.format(kind=kind), number) == (status, left_by(number))


def test_ctrl_c_that_the_shell_ignores_for_a_background_job_is_ignored():
    said = stopped(WAIT.replace("60", "2"), signal.SIGINT, heeds=False)
    assert said == (0, "tidied up\ntold MLflow\n")
