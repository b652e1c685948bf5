"""MLflow stores to test against: a sqlite file in a project, a real server on this machine, and what lies in them."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest
import requests

from visionpipe.promotion.tracking import TrackingParameters, connect

SCRIPTS = Path(sys.executable).parent


@cache
def empty_database() -> bytes:
    """Return an empty MLflow database: making one takes seconds, copying it none."""
    with tempfile.TemporaryDirectory() as folder:
        connect(Path(folder), TrackingParameters(experiment="Default"))
        return (Path(folder) / "mlflow.db").read_bytes()


def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget whatever store the developer, or the test before, was connected to."""
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        if name not in {"MLFLOW_DISABLE_TELEMETRY", "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"}:
            monkeypatch.delenv(name)


def forget_store() -> None:
    """Disconnect: MLflow keeps its store in globals and in the environment, which the next test would inherit."""
    if "mlflow" in sys.modules:
        import mlflow

        mlflow.set_tracking_uri(None)
        mlflow.set_registry_uri(None)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        os.environ.pop(name, None)


def new_store(project: Path) -> str:
    """Put an empty store into a project's folder and connect to it."""
    project.mkdir(parents=True, exist_ok=True)
    (project / "mlflow.db").write_bytes(empty_database())
    return connect(project, TrackingParameters())


def file_hashes(folder: Path) -> dict[str, str]:
    """Return every file below a folder with the hash of its content."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def running(command: list[str], answers: str, log: Path, **environment: str) -> Iterator[None]:
    """Run a server while the block runs, once `answers` (a URL) does; then stop it and all its children."""
    with log.open("w") as output:
        server = subprocess.Popen(
            [str(SCRIPTS / command[0]), *command[1:]],
            env={**os.environ, "PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}", **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 120
        while True:
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            try:
                if requests.get(answers, timeout=2).ok:
                    break
            except requests.RequestException:
                time.sleep(0.2)
        yield
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()
