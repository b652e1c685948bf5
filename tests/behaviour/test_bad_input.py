"""Bad input: one clear line, a non-zero exit, nothing half-written, the champion untouched."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from project_copy import TINY, Project, copy_project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return copy_project(tmp_path / "project", git=False)


def photos(folder: Path, **counts: int) -> Path:
    """Make noisy photos of clearly different colours, `counts` a class."""
    random = np.random.default_rng(0)
    for code, (name, count) in enumerate(counts.items()):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = random.integers(0, 90, (80, 100, 3), dtype=np.uint8)
            pixels[..., code % 3] += 140
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


def fail(project: Project, *more: str, **environment: str) -> str:
    """Run, see that it fails with one line, and return the line."""
    done = project.run("kedro", "run", "--params", TINY, *more, **environment)
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert done.returncode != 0
    assert len(errors) == 1, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    return done.stderr[done.stderr.index("Error: ") :]


def test_an_empty_folder(project, tmp_path):
    (tmp_path / "nothing").mkdir()
    project.use_photos(tmp_path / "nothing")
    assert "no photos" in fail(project)
    assert not (project.path / "data/02_intermediate/manifest.parquet").exists()


def test_a_folder_that_is_not_there(project, tmp_path):
    project.use_photos(tmp_path / "gone")
    assert "is not a folder" in fail(project)


def test_only_files_that_are_no_images(project, tmp_path):
    (tmp_path / "photos/a").mkdir(parents=True)
    (tmp_path / "photos/a/notes.jpg").write_text("not a photo")
    project.use_photos(tmp_path / "photos")
    assert "1 undecodable" in fail(project)


def test_a_class_with_one_image_stops_before_training(project, tmp_path):
    project.use_photos(photos(tmp_path / "photos", cat=20, dog=1))
    message = fail(project)
    assert "dog" in message
    assert message.count("\n") == 1
    assert (project.path / "data/08_reporting/data_docs/index.html").is_file()
    assert "data/08_reporting/data_docs/index.html" in message
    assert not (project.path / "data/06_models/candidate").exists()
    assert "Validation failed" in (project.path / "data/08_reporting/index.html").read_text()


# imported by every Python process: a call may be swallowed when it fails, but not before it is noted here
NOTE_CALLS = """
import sys

def note(event, arguments, calls=open({calls!r}, "a", buffering=1)):
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        host = arguments[1][0] if isinstance(arguments[1], tuple) else None  # a string is a path on this machine
    elif event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        host = arguments[0]
    else:
        return
    host = host.decode() if isinstance(host, bytes) else host
    if isinstance(host, str) and host not in ("", "localhost", "::1") and not host.startswith("127."):
        calls.write(event + " " + host + "\\n")

sys.addaudithook(note)
"""


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, subprocess.CompletedProcess, Path]:
    """A run to its end where one file is no image, started in a shell that sets nothing.

    A test, or continuous integration, sets what keeps some telemetry quiet. Returns also the list of calls that left
    the machine.
    """
    folder = tmp_path_factory.mktemp("whole run")
    project, calls = copy_project(folder / "project", git=False), folder / "calls"
    (photos(folder / "photos", cat=60, dog=60) / "cat/broken.jpg").write_bytes(
        b"\xff\xd8\xff\xe0 and no more"
    )
    project.use_photos(folder / "photos")
    (folder / "sitecustomize.py").write_text(NOTE_CALLS.format(calls=str(calls)))
    shell = [
        f"{name}={os.environ[name]}" for name in ("HOME", "TMPDIR", "LD_LIBRARY_PATH") if name in os.environ
    ]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    bare = ["env", "-i", *shell, f"PATH={path}", f"PYTHONPATH={folder}"]
    return project, project.run(*bare, "kedro", "run", "--params", TINY), calls


def test_a_file_that_is_no_image_is_quarantined_and_the_run_goes_on(whole_run):
    import pandas as pd

    project, done, _ = whole_run
    assert done.returncode == 0, done.stderr
    quarantine = pd.read_parquet(project.path / "data/02_intermediate/quarantine.parquet")
    assert quarantine[["path", "reason"]].to_numpy().tolist() == [["cat/broken.jpg", "undecodable"]]
    assert "not a git checkout" in (project.path / "data/08_reporting/decision.json").read_text()


def test_a_run_calls_nobody(whole_run):
    assert whole_run[2].read_text() == ""


def test_an_unknown_backbone(project, tmp_path):
    project.use_photos(photos(tmp_path / "photos", cat=30, dog=30))
    message = fail(project, "--params", f"{TINY},training.backbone=timm/resnet_18")
    assert "did you mean" in message
    assert "timm/resnet18" in message


def test_an_unknown_parameter(project):
    message = fail(project, "--params", "training.epoch=3")
    assert "epoch" in message


def test_an_unknown_section_of_parameters(project):
    assert "did you mean 'training'?" in fail(project, "--params", "trainig.epochs=3")


def test_an_acceptance_limit_on_a_class_that_is_not_there_stops_before_training(project, tmp_path):
    project.use_photos(photos(tmp_path / "photos", cat=30, dog=30))
    (project.path / "conf/local/parameters.yml").write_text('promotion: {acceptance: ["recall[cta] >= 0.5"]}')
    message = fail(project)
    assert "cta" in message
    assert not (project.path / "data/06_models/candidate").exists()


def test_scoring_with_photos_of_ones_own_and_nothing_to_score_names_no_demo_cell(project, tmp_path):
    project.use_photos(photos(tmp_path / "photos", cat=3, dog=3))
    message = fail(project, "--pipelines", "scoring")
    assert "no photos to score: the sources of `arriving_photos` hold no file" in message
    assert not list((project.path / "data").rglob("*.parquet"))


def test_an_importer_that_does_not_exist(project):
    project.use_photos(Path("anywhere"))
    catalog = project.path / "conf/local/catalog.yml"
    catalog.write_text(catalog.read_text().replace("importer: folder", "importer: telepathy"))
    assert "importer" in fail(project)


def test_a_missing_package_extra(project, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "from importlib.machinery import PathFinder\n"
        "find = PathFinder.find_spec\n"
        "PathFinder.find_spec = lambda name, *more: None if name == 'elpv_dataset' else find(name, *more)\n"
    )
    assert "pip install elpv-dataset" in fail(project, PYTHONPATH=str(tmp_path))


def test_a_tracking_server_that_does_not_answer(project, tmp_path):
    project.use_photos(photos(tmp_path / "photos", cat=30, dog=30))
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://joe:secret@127.0.0.1:{closed.getsockname()[1]}"
        message = fail(project, MLFLOW_TRACKING_URI=address)
    assert "does not answer" in message
    assert "secret" not in message
    assert not (project.path / "data/01_raw/images").exists()
