"""The whole loop on real photos: train, score, notice, retrain, promote, trace. Small images, real everything."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from pathlib import Path

import pytest

from project_copy import ROOT, Project, copy_project

pytestmark = pytest.mark.usefixtures("elpv")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = copy_project(tmp_path_factory.mktemp("a plant") / "with space", git=True)
    succeed(project, "visionpipe", "dvc-stages", "--env", "ci")  # DVC must run what the tests run
    succeed(
        project,
        "git",
        "-c",
        "user.name=t",
        "-c",
        "user.email=t@example.invalid",
        "commit",
        "-qam",
        "ci stages",
    )
    return project


@pytest.fixture(scope="module")
def first(project: Project) -> subprocess.CompletedProcess[str]:
    return succeed(project, "kedro", "run", "--env", "ci")


@pytest.fixture(scope="module")
def first_files(project: Project, first: object) -> dict[str, str]:
    return data_hashes(project)


@pytest.fixture(scope="module")
def scored(project: Project, second: object) -> dict:
    succeed(project, "kedro", "run", "--env", "ci", "--pipelines", "scoring")
    return read(project, "scoring.json")


@pytest.fixture(scope="module")
def second(project: Project, first_files: object) -> subprocess.CompletedProcess[str]:
    return succeed(project, "kedro", "run", "--env", "ci")


@pytest.fixture(scope="module")
def drifted(project: Project, scored: object) -> dict:
    succeed(project, "kedro", "run", "--env", "ci", "--pipelines", "drift")
    return read(project, "drift.json")


@pytest.fixture(scope="module")
def retrained(project: Project, drifted: object) -> dict:
    succeed(project, "visionpipe", "retrain", "--env", "ci")
    return read(project, "decision.json")


def succeed(project: Project, *command: str) -> subprocess.CompletedProcess[str]:
    done = project.run(*command)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done


def read(project: Project, name: str) -> dict:
    return json.loads((project.path / "data/08_reporting" / name).read_text())


def data_hashes(project: Project) -> dict[str, str]:
    kept = (
        "data/01_raw/images",
        "data/01_raw/labels",
        "data/02_intermediate",
        "data/03_primary",
        "data/06_models",
    )
    files = sorted(path for folder in kept for path in (project.path / folder).rglob("*") if path.is_file())
    return {
        path.relative_to(project.path).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def champion(project: Project) -> dict:
    return json.loads(succeed(project, "visionpipe", "trace", "models:/visionpipe@champion", "--json").stdout)


def test_the_first_run_registers_a_champion_and_says_how_good_it_is(first, project):
    for word in (
        "visionpipe v1 (champion)",
        "accuracy",
        "AUC",
        "ECE",
        "promote",
        "evaluation.html",
        "manifest",
    ):
        assert word in first.stdout
    assert read(project, "decision.json")["outcome"] == "promote"


def test_the_reports_of_the_first_run_are_filed_under_it(first, project):
    runs = sorted(
        (project.path / "mlartifacts").glob("*/artifacts/reports"), key=lambda run: run.stat().st_mtime
    )
    for name in ("evaluation.html", "decision.html", "model_card.html", "model_card.md"):
        assert (runs[0] / name).stat().st_size > 1000, name


def test_after_a_bare_run_dvc_has_nothing_to_do(first, project):
    assert "up to date" in succeed(project, "dvc", "status").stdout


def test_dvc_repro_after_a_bare_run_runs_no_stage(first, project):
    assert "Running stage" not in succeed(project, "dvc", "repro", "--dry").stdout


def test_the_same_run_again_gives_the_same_bytes_and_the_same_weights(first_files, second, project):
    assert data_hashes(project) == first_files
    assert "data/06_models/candidate/weights.safetensors" in first_files
    assert not [path for path in first_files if "checkpoints" in path], "the second run trained anew"


def test_the_same_model_again_is_not_promoted(second, project):
    assert read(project, "decision.json")["outcome"] == "reject"


def test_scoring_puts_test_images_and_arrivals_side_by_side(scored):
    own, arrivals = scored["own_test"]["metrics"]["auroc"], scored["arrivals"]["metrics"]["auroc"]
    assert (scored["n_logged"], scored["n_learned_from"]) == (1550, 0)
    assert arrivals["high"] < own["low"], (
        "polycrystalline cells are foreign to a model of monocrystalline ones"
    )


def test_drift_is_seen_without_labels(drifted, project):
    assert drifted["drifted"] is True
    page = (project.path / "data/08_reporting/drift_evidently.html").read_text()
    assert "predicted_label" in page
    assert len(page) > 1_000_000, "Evidently brings its scripts along: the page needs no network"


def test_retraining_takes_in_half_of_the_arrivals_and_promotes_a_proven_gain(retrained):
    gain = next(check for check in retrained["checks"] if check["kind"] == "gain")
    assert retrained["data"]["labels_by_origin"]["review"] == pytest.approx(775, abs=80)
    assert gain["low"] > 0
    assert (retrained["outcome"], retrained["alias"], retrained["challenger_version"]) == (
        "promote",
        "champion",
        "2",
    )


def test_the_test_images_of_the_first_model_are_still_test_images(retrained, project):
    import pandas as pd

    manifest = pd.read_parquet(project.path / "data/02_intermediate/manifest.parquet")
    first_seen = project.path / "mlartifacts"
    seen = [pd.read_parquet(path) for path in first_seen.rglob("seen.parquet")]
    learned = set(pd.concat(seen)["image_id"])
    assert learned.isdisjoint(manifest.loc[manifest["split"] == "test", "image_id"])


def test_the_new_champion_is_not_scored_on_the_arrivals_that_it_learned_from(retrained, project):
    import pandas as pd

    manifest = pd.read_parquet(project.path / "data/03_primary/admitted_manifest.parquet")
    learned = manifest[(manifest["label_origin"] == "review") & (manifest["split"] != "test")]
    succeed(project, "kedro", "run", "--env", "ci", "--pipelines", "scoring")
    scored = read(project, "scoring.json")
    assert (scored["model_version"], scored["n_learned_from"]) == ("2", len(learned))
    assert scored["n_logged"] == 1550 - len(learned)


def test_the_champion_is_traced_to_its_commit_and_its_labels(retrained, project):
    report = champion(project)
    commit = succeed(project, "git", "rev-parse", "HEAD").stdout.strip()
    text = json.dumps(report)
    assert commit in text
    assert str(retrained["data"]["labels_by_origin"]["review"]) in text


def test_kedro_lists_its_pipelines_and_its_catalog(first, project):
    assert "retraining" in succeed(project, "kedro", "registry", "list").stdout
    listed = succeed(project, "kedro", "catalog", "describe-datasets").stdout
    assert "image_store" in listed


def test_runs_leave_no_temporary_files(retrained, project):
    left = [path for path in Path(project.path).rglob("*.tmp") if ".git" not in path.parts]
    assert left == []


@pytest.mark.parametrize("name", ["1_first_run.ipynb", "2_calibration.ipynb", "4_promotion.ipynb"])
def test_a_notebook_runs_and_shows_pictures(name, first, project):
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(ROOT / "notebooks" / name, as_version=4)
    client = NotebookClient(notebook, timeout=300, kernel_name="python3")
    client.execute(cwd=str(project.path))
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in shown)
    assert not any("INFO" in str(output) for output in shown)
    if name == "2_calibration.ipynb":
        texts = [output["data"]["text/plain"] for output in shown if "data" in output]
        table = re.sub(r"\x1b\[[\d;]*m", "", next(text for text in texts if "ECE by chance" in text))
        before, after = re.search(r"^ECE +([\d.]+) +([\d.]+)$", table, re.MULTILINE).groups()
        evaluation = json.loads((project.path / "data/08_reporting/evaluation.json").read_text())
        assert float(after) == pytest.approx(evaluation["metrics"]["ece"]["estimate"], abs=1e-4)
        assert 0 < float(before) < 1


def test_every_link_of_the_index_leads_to_a_page(drifted, project):
    reports = project.path / "data/08_reporting"
    links = re.findall(r'href="([^"#:]+)"', (reports / "index.html").read_text())
    assert {"decision.html", "model_card.html", "evaluation.html", "examination.html", "drift.html"} <= set(
        links
    )
    assert [link for link in links if not (reports / link).is_file()] == []


def test_the_card_of_a_version_brings_its_data_back(retrained, project, tmp_path):
    """Type what the model card says into a fresh clone that shares the DVC cache."""
    card = (project.path / "data/08_reporting/model_card.md").read_text()
    commands = card[card.index("cat > dvc.lock") : card.index("# the model, as the run was started")]
    succeed(project, "git", "clone", "-q", str(project.path), str(tmp_path / "again"))
    clone = Project(tmp_path / "again")
    succeed(clone, "dvc", "cache", "dir", "--local", str(project.path / ".dvc/cache"))
    succeed(clone, "bash", "-ec", commands)
    for name in ("images", "labels"):
        for path in (project.path / "data/01_raw" / name).glob("*.parquet"):
            assert (clone.path / "data/01_raw" / name / path.name).read_bytes() == path.read_bytes()
    manifest = "data/03_primary/admitted_manifest.parquet"
    assert (clone.path / manifest).read_bytes() == (project.path / manifest).read_bytes()


def test_a_run_with_other_parameters_is_not_passed_off_as_dvcs(retrained, project):
    lock = (project.path / "dvc.lock").read_bytes()
    succeed(
        project,
        "kedro",
        "run",
        "--env",
        "ci",
        "--pipelines",
        "validation",
        "--params",
        "validation.min_classes=1",
    )
    assert (project.path / "dvc.lock").read_bytes() == lock
