"""A scheduler that stops a run lets it tidy up."""

from __future__ import annotations

import signal
import subprocess
import sys

CODE = """
import atexit, click, time
from visionpipe.cli.termination import ends_tidily

@click.command()
@ends_tidily
def command():
    atexit.register(print, "told MLflow")
    try:
        print("begun", flush=True)
        time.sleep(60)
    finally:
        print("tidied up")

command()
"""


def test_sigterm_is_an_exception_to_a_run():
    with subprocess.Popen([sys.executable, "-c", CODE], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "begun\n"
        run.send_signal(signal.SIGTERM)
        assert run.communicate(timeout=30)[0] == "tidied up\ntold MLflow\n"
    assert run.returncode == 128 + signal.SIGTERM
