import datetime as dt
import hashlib
import json
import os
import platform
import shlex

import pytest
from kedro.framework.cli.utils import _split_params

import visionpipe
from visionpipe.lineage.provenance import (
    NO_CHECKOUT,
    collect_provenance,
    is_git_checkout,
    parameters_sha256,
)
from visionpipe.lineage.run_options import run_options


@pytest.fixture
def checkout(tmp_path, git):
    folder = tmp_path / "my checkout"
    folder.mkdir()
    (folder / "pyproject.toml").write_text("[project]\n")
    (folder / "dvc.lock").write_text("schema: '2.0'\n")
    (folder / "requirements.lock").write_text("numpy==2.0\n")
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "first")
    return folder


def test_the_commit_is_the_one_that_git_names(checkout, git):
    provenance = collect_provenance(checkout, {})
    assert provenance["git_commit"] == git(checkout, "rev-parse", "HEAD")
    assert provenance["git_dirty"] == "false"


def test_what_is_said_about_privacy_goes_with_the_model(checkout):
    privacy = {"purpose": "sorting", "lawful_basis": "consent", "retention": None, "blur_faces": True}
    provenance = collect_provenance(checkout, {"ingestion": {"privacy": privacy}})
    said = {key: value for key, value in provenance.items() if key.startswith("privacy_")}
    assert said == {"privacy_purpose": "sorting", "privacy_lawful_basis": "consent"}


def test_an_edited_tracked_file_makes_it_dirty_and_an_untracked_one_does_not(checkout):
    (checkout / "notes.txt").write_text("mine")
    assert collect_provenance(checkout, {})["git_dirty"] == "false"
    (checkout / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    assert collect_provenance(checkout, {})["git_dirty"] == "true"


def test_a_staged_change_is_dirty_too(checkout, git):
    (checkout / "pyproject.toml").write_text("# edited\n")
    git(checkout, "add", ".")
    assert collect_provenance(checkout, {})["git_dirty"] == "true"


def test_the_lock_that_a_run_rewrites_does_not_make_it_dirty(checkout):
    (checkout / "dvc.lock").write_text("schema: '2.0'\nstages: {}\n")
    assert collect_provenance(checkout, {})["git_dirty"] == "false"


def test_asking_does_not_touch_the_repository(checkout):
    index = checkout / ".git/index"
    before = index.stat().st_mtime_ns, index.read_bytes()
    (checkout / "pyproject.toml").touch()
    collect_provenance(checkout, {})
    assert (index.stat().st_mtime_ns, index.read_bytes()) == before


def test_a_folder_that_is_no_checkout_says_so(tmp_path):
    provenance = collect_provenance(tmp_path, {})
    assert provenance["git_commit"] == NO_CHECKOUT
    assert provenance["git_dirty"] == "unknown"
    assert provenance["lock_sha256"] == "unknown (no requirements.lock)"


def test_a_zip_unpacked_inside_another_checkout_is_no_checkout(checkout):
    unpacked = checkout / "downloads/visionpipe"
    unpacked.mkdir(parents=True)
    (unpacked / "pyproject.toml").write_text("[project]\n")
    assert not is_git_checkout(unpacked)
    assert collect_provenance(unpacked, {})["git_commit"] == NO_CHECKOUT


def test_a_project_in_a_folder_of_a_checkout_is_one(checkout, git):
    inner = checkout / "models/visionpipe"
    inner.mkdir(parents=True)
    (inner / "pyproject.toml").write_text("[project]\n")
    git(checkout, "add", ".")
    git(checkout, "commit", "-q", "-m", "second")
    (checkout / "requirements.lock").write_text("changed outside the project\n")
    provenance = collect_provenance(inner, {})
    assert provenance["git_commit"] == git(checkout, "rev-parse", "HEAD")
    assert provenance["git_dirty"] == "false"


def test_a_repository_without_a_commit_says_so(tmp_path, git):
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    provenance = collect_provenance(tmp_path, {})
    assert provenance["git_commit"] == "unknown (nothing is committed yet)"


def test_inside_a_git_hook_the_project_is_still_the_one_asked_about(checkout, tmp_path, git, monkeypatch):
    expected = git(checkout, "rev-parse", "HEAD")
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git/index"))
    assert collect_provenance(checkout, {})["git_commit"] == expected


def test_without_git_installed_the_run_goes_on(checkout, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert collect_provenance(checkout, {})["git_commit"] == "unknown (git is not installed)"


def test_a_checkout_that_git_refuses_to_read_is_told_and_warned_about(checkout, monkeypatch, caplog):
    """As where another account owns it: its commit is lost, though it is a checkout."""
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):  # which may trust every folder
        monkeypatch.setenv(name, os.devnull)
    provenance = collect_provenance(checkout, {})
    assert provenance["git_commit"] == "unknown (detected dubious ownership in repository)"
    assert provenance["git_dirty"] == "unknown"
    assert f"detected dubious ownership in repository at '{checkout}'" in caplog.text


def test_the_lock_hash_is_sha256_of_the_file(checkout):
    expected = hashlib.sha256(b"numpy==2.0\n").hexdigest()
    assert collect_provenance(checkout, {})["lock_sha256"] == expected


def test_versions_are_those_that_run(checkout):
    provenance = collect_provenance(checkout, {})
    assert provenance["visionpipe_version"] == visionpipe.__version__
    assert provenance["python_version"] == platform.python_version()


def test_the_parameter_hash_is_of_canonical_json():
    parameters = {"training": {"epochs": 3, "backbone": "lite0"}, "alpha": [0.05, None, True]}
    text = '{"alpha":[0.05,null,true],"training":{"backbone":"lite0","epochs":3}}'
    assert parameters_sha256(parameters) == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("other", [{"a": 1, "b": 3}, {"a": 1}, {"a": "1", "b": 2}, {"a": 1.5, "b": 2}])
def test_every_change_of_a_parameter_changes_the_hash(other):
    assert parameters_sha256(other) != parameters_sha256({"a": 1, "b": 2})


def test_parameters_that_yaml_allows_can_be_hashed():
    parameters = {0: "a", "b": dt.date(2026, 1, 5), "c": float("inf"), "ü": {None: 1}}
    assert len(parameters_sha256(parameters)) == 64


def test_nothing_secret_is_recorded(checkout, git, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hunter2")
    git(checkout, "remote", "add", "origin", "https://ada:hunter2@example.org/plant.git")
    provenance = collect_provenance(checkout, {"url": "postgresql://ada:hunter2@db/plant"})
    assert "hunter2" not in json.dumps(provenance)
    assert all(isinstance(value, str) for value in provenance.values())


@pytest.mark.parametrize(
    "given",
    [
        "training.epochs=3,training.compile=true,promotion.mode=off",
        "training.backbone=timm/resnet18,training.learning_rate=0.001,training.patience=null",
        "ingestion.split.seed=two words",
        'ingestion.split.seed="2026",card.purpose=""',
    ],
)
def test_the_options_of_a_run_can_be_typed_again(given):
    """Kedro's own reader of `--params` is the judge."""
    parameters = _split_params(None, None, given)
    env, name, params, typed = shlex.split(run_options("gpu", parameters))
    assert (env, name, params) == ("--env", "gpu", "--params")
    assert _split_params(None, None, typed) == parameters


@pytest.mark.parametrize(
    "value",
    [
        "postgres://u:hunter2@h",
        "two: words postgres://u:hunter2@h",  # which YAML would not read as a text
        ["postgres://u:hunter2@h", "b"],
        [{"at": ["postgres://u:hunter2@h"]}],
    ],
)
def test_no_password_of_an_address_is_among_the_options(value):
    told = run_options(None, {"x": value})
    assert "hunter2" not in told
    assert "postgres://***@h" in told


def test_a_run_without_options_records_none(checkout):
    assert run_options(None, {}) == ""
    assert "run_options" not in collect_provenance(checkout, {})
    assert collect_provenance(checkout, {}, run_options="--env ci")["run_options"] == "--env ci"
