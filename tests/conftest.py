"""Data that several folders of tests need."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from mlflow_store import forget_store
from project_copy import ROOT

# The same examples in every run, whatever the machine is busy with: a test that fails must fail again, and for cause.
settings.register_profile(
    "house", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("house")


@pytest.fixture(autouse=True)
def _no_store_of_the_test_before() -> Iterator[None]:
    yield
    forget_store()


@pytest.fixture(scope="session")
def elpv() -> Path:
    """The folder of the ELPV photos."""
    package = pytest.importorskip("elpv_dataset", reason="the demo extra (elpv-dataset) is not installed")
    return Path(package.__file__).parent / "data"


@pytest.fixture(scope="session")
def clothing() -> Path:
    """Ten classes of photos from strangers (development data that the published repository does not hold)."""
    folder = ROOT.parent / "shared/data/clothing"
    if not folder.is_dir():
        pytest.skip(f"needs the development photos in {folder}")
    return folder


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 3 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small disk takes root")
    yield disk
    # lazily: the map of a file may outlive the error that it led to
    subprocess.run(["umount", "--lazy", disk], check=True)
