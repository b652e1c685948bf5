"""A command that is mistyped, or that this account may not run: one clear line, and no traceback."""

from __future__ import annotations

import os
import shutil

import pytest

from project_copy import Project, copy_project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project in which every command of this file fails before it writes anything."""
    return copy_project(tmp_path_factory.mktemp("mistyped") / "project", git=False)


def said(project: Project, *command: str, status: int = 1) -> str:
    """Run, see that it fails, and return what is on standard error."""
    done = project.run(*command)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    return done.stderr


@pytest.mark.parametrize(
    ("option", "line"),
    [
        ("--pipelines=trainig", "Error: pipeline 'trainig': is not there; did you mean 'training'?"),
        ("--nodes=nope", "Error: Pipeline does not contain nodes named ['nope']."),
        ("--from-nodes=nope", "Error: Pipeline does not contain nodes named ['nope']."),
        ("--to-outputs=nope", "Error: Pipeline does not contain datasets named ['nope']"),
        ("--tags=nope", "Error: Pipeline contains no nodes after applying all provided filters."),
        ("--runner=Nope", "Error: module 'kedro.runner' has no attribute 'Nope'"),
    ],
)
def test_an_option_of_a_run_that_names_nothing(project, option, line):
    assert said(project, "kedro", "run", option).startswith(line)


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        ("photos: hello", "Error: Catalog entry 'photos' is not a valid dataset configuration.\n"),
        ("photos: {type: visionpipe.datasets.photos.PhotoSourcs}", "Dataset 'PhotoSourcs' not found in"),
        ("photos: {type: visionpipe.datasets.photos.PhotoSources}", "argument: 'sources'. Dataset 'photos'"),
    ],
)
def test_a_catalog_entry_that_is_none(project, entry, line):
    catalog = project.path / "conf/local/catalog.yml"
    catalog.write_text(entry)
    try:
        message = said(project, "kedro", "run", "--pipelines", "ingestion")
    finally:
        catalog.unlink()
    assert message.startswith("Error: ")
    assert message.count("\n") == 1
    assert line in message


@pytest.mark.parametrize(
    "command",
    ["visionpipe dvc-stages --check", "visionpipe report --print", "visionpipe retrain", "kedro run"],
)
def test_an_environment_that_is_not_there_is_told_of_by_every_command(project, command):
    done = project.run(*command.split(), KEDRO_ENV="nosuch")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: configuration: Given configuration path either does not exist")
    assert done.stderr.endswith("/conf/nosuch\n")


@pytest.mark.parametrize("command", ["kedro run", "visionpipe retrain"])
def test_parameters_without_a_value_are_a_mistake_of_the_command_line(project, command):
    message = said(project, *command.split(), "--params", "foo", status=2)
    assert "Item `foo` must contain a key and a value separated by" in message


@pytest.mark.parametrize("command", ["kedro run", "visionpipe retrain"])
def test_a_project_that_this_account_may_not_write(command, tmp_path):
    project = copy_project(tmp_path / "project", git=False)
    (project.path / "data/.retraining.lock").touch(mode=0o444)
    folders = [project.path, *(path for path in project.path.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    try:
        message = said(project, *unprivileged(), *command.split())
    finally:
        for folder in folders:
            folder.chmod(0o755)
    assert message.startswith("Error: Permission denied (")
    assert message.endswith("): give this account access to it\n")
    assert message.count("\n") == 1


def unprivileged() -> list[str]:
    """Return how to run a command without the right of root to write everywhere."""
    if os.getuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("root needs setpriv (util-linux) to give up its rights")
    return ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
