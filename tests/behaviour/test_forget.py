"""`make forget` deletes what runs made, all of it, and nothing else."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from project_copy import ROOT
from visionpipe.cli.project import dataset_folders


@pytest.fixture
def made(tmp_path) -> list[Path]:
    """A file that a run made in every folder of the catalog."""
    files = [tmp_path / folder.relative_to(ROOT) / "deep/made" for folder in dataset_folders(ROOT)]
    assert tmp_path / "data/01_raw/images/deep/made" in files
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return files


def forget(project: Path) -> None:
    command = ["make", "--makefile", str(ROOT / "Makefile"), "forget"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_it_leaves_no_dataset(made, tmp_path):
    forget(tmp_path)
    assert [file for file in made if file.exists()] == []
    forget(tmp_path)


def test_there_may_be_nothing_to_forget(tmp_path):
    (tmp_path / "mine").touch()
    forget(tmp_path)
    assert (tmp_path / "mine").exists()


@pytest.mark.parametrize("linked", ["data", "data/01_raw", "data/01_raw/images"])
def test_data_on_another_disk_is_found(linked, made, tmp_path, tmp_path_factory):
    disk = tmp_path_factory.mktemp("disk") / "big"
    (tmp_path / linked).rename(disk)
    (tmp_path / linked).symlink_to(disk)
    forget(tmp_path)
    assert [file for file in made if file.exists()] == []


@pytest.mark.parametrize(
    "mine", ["data/my_photos/a.jpg", "data/a.csv", "data/01_raw/mine/a.jpg", "data/06_models/m.pt"]
)
def test_what_the_user_put_beside_it_stays(mine, made, tmp_path):
    (tmp_path / mine).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / mine).touch()
    forget(tmp_path)
    assert (tmp_path / mine).exists()
