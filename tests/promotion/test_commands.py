"""`visionpipe approve`, `rollback` and `report`, as a person runs them."""

from __future__ import annotations

import json
import re
import stat
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from mlflow import MlflowClient

from project_copy import Project, copy_project
from visionpipe.cli import main
from visionpipe.promotion import record

NAME = "visionpipe"


@pytest.fixture
def project(plant) -> Project:
    return copy_project(plant, git=False)


def aliases() -> dict[str, str]:
    found = MlflowClient().get_registered_model(NAME).aliases
    return {name: str(version) for name, version in found.items()}


def refused(project, *command) -> str:
    """Run a command that must fail with one line and nothing else; return the line."""
    done = project.run("visionpipe", *command)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.strip().splitlines()
    return line


@pytest.mark.parametrize("command", ["approve", "rollback"])
def test_a_refusal_makes_no_store(command, tmp_path):
    clone = copy_project(tmp_path / "clone", git=False)
    line = refused(clone, command, "--by", "A. Jones", "--why", "looks right")
    assert line.endswith("mlflow.db: `kedro run` makes the first version")
    assert not (clone.path / "mlflow.db").exists()


def test_a_model_is_approved_and_taken_back_by_hand(project, promote):
    promote("poor", model_name=NAME)
    promote("good", model_name=NAME, mode="propose")

    done = project.run("visionpipe", "approve", "--by", "A. Jones", "--why", "looks right", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    (event,) = record.events(MlflowClient(), NAME, "approval")
    assert told == {"model_name": NAME, **event.as_dict()}
    assert (told["version"], told["previous"], told["who"]) == ("2", "1", "A. Jones")
    assert aliases() == {"champion": "2"}

    line = refused(project, "approve", "--by", "A. Jones", "--why", "again")
    assert line.startswith("Error: visionpipe: no version waits for approval")

    terminal = {"FORCE_COLOR": "1"}
    done = project.run("visionpipe", "rollback", "--by", "B. Ito", "--why", "misses cracks", **terminal)
    assert done.returncode == 0
    assert "connecting to the model registry" in done.stderr
    assert "reading visionpipe version 1" in done.stderr
    assert done.stdout == "visionpipe version 1 is champion now, in place of version 2 (on record: B. Ito)\n"
    assert aliases() == {"champion": "1"}
    (event,) = record.events(MlflowClient(), NAME, "rollback")
    assert event.payload["why"] == "misses cracks"

    line = refused(project, "rollback", "--to", "7", "--by", "B. Ito", "--why", "?", "--json")
    assert line == "Error: visionpipe v7 was never champion; earlier champions: v2"


@pytest.mark.parametrize("option", [True, False], ids=["--env", "KEDRO_ENV"])
def test_a_decision_is_about_the_model_of_the_environment_that_the_runs_have(project, promote, option):
    promote("poor", model_name="cells")
    promote("good", model_name="cells", mode="propose")
    (project.path / "conf/plant").mkdir()
    (project.path / "conf/plant/globals.yml").write_text("model_name: cells\n")
    command, environment = ("--env", "plant"), {}
    if not option:
        command, environment = (), {"KEDRO_ENV": "plant"}
    why = ("--by", "A. Jones", "--why", "looks right")
    done = project.run("visionpipe", "approve", *why, *command, **environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("cells version 2 is champion now")


def test_a_reason_must_be_given(project):
    for command in ("approve", "rollback"):
        done = project.run("visionpipe", command, "--by", "A. Jones")
        assert done.returncode == 2
        assert "Missing option '--why'" in done.stderr


def test_a_trace_makes_no_registry_where_there_is_none(project):
    (project.path / "mlflow.db").unlink()
    line = refused(project, "trace", "models:/visionpipe@champion")
    assert line == (
        f"Error: no model registry at {project.path / 'mlflow.db'}: `kedro run` makes the first version"
    )
    assert not (project.path / "mlflow.db").exists()


def test_the_reports_are_opened_in_the_browser(project, tmp_path):
    line = refused(project, "report", "--print")
    assert line.endswith("index.html: there is no report yet; `kedro run` writes it")
    page = project.path / "data/08_reporting/index.html"
    page.parent.mkdir(parents=True)
    page.write_text("<p>reports")

    opened, browser = tmp_path / "opened", tmp_path / "browser"
    browser.write_text(
        f'#!{sys.executable}\nimport pathlib, sys\npathlib.Path("{opened}").write_text(sys.argv[1])\n'
    )
    browser.chmod(browser.stat().st_mode | stat.S_IXUSR)
    done = project.run("visionpipe", "report", BROWSER=f"{browser} %s")
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).samefile(page)
    assert opened.read_text() == page.resolve().as_uri()

    opened.unlink()
    done = project.run("visionpipe", "report", "--print", BROWSER=f"{browser} %s")
    assert done.returncode == 0
    assert Path(done.stdout.strip()).samefile(page)
    assert not opened.exists()


@pytest.mark.parametrize("command", main.commands.values(), ids=lambda command: command.name)
def test_the_help_of_every_command_shows_an_example_on_a_line_of_its_own(command):
    shown = CliRunner().invoke(command, ["--help"]).output
    assert re.search(rf"^  Example:\n    visionpipe {command.name}\b", shown, re.MULTILINE)
