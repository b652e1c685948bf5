"""What a candidate says it was made from is what training read, whatever happens before it is judged."""

import json

import pandas as pd
import pytest

from visionpipe.errors import VisionpipeError
from visionpipe.lineage.data_version import DataNotRecoverable
from visionpipe.lineage.origin import data_version_of, measure_origin
from visionpipe.lineage.provenance import parameters_sha256

ADMITTED = "data/03_primary/admitted_manifest.parquet"


def admit(project):
    """Do what validation does."""
    (project.path / ADMITTED).parent.mkdir(exist_ok=True)
    (project.path / ADMITTED).write_bytes((project.path / project.outs["manifest"]).read_bytes())


def relabel(project):
    """Do what ingestion does with a new label."""
    path = project.path / project.outs["manifest"]
    pd.read_parquet(path).assign(split="train").to_parquet(path)
    (project.path / "data/01_raw/labels/labels-00002.parquet").write_bytes(
        (project.path / "data/01_raw/labels/labels-00001.parquet").read_bytes()
    )


def origin_of(project, **told):
    return measure_origin(
        project.path, project.outs, admitted=project.path / ADMITTED, **{"parameters": {}, **told}
    )


def version_of(origin, project):
    return data_version_of(origin, project=project.path, manifest=project.path / ADMITTED)


def test_a_candidate_keeps_the_data_commit_and_settings_of_its_training(project, git):
    admit(project)
    parameters = {"training": {"probe_epochs": 7}}
    told = origin_of(project, parameters=parameters, run_options="--params training.probe_epochs=7")
    origin = json.loads(json.dumps(told))
    (project.path / "data/01_raw/labels/labels-00002.parquet").write_bytes(
        (project.path / "data/01_raw/labels/labels-00001.parquet").read_bytes()
    )  # which changes no label that training read
    if (project.path / ".git").exists():
        commit = git(project.path, "rev-parse", "HEAD")
        git(project.path, "commit", "-q", "--allow-empty", "-m", "after training")
        assert origin["provenance"]["git_commit"] == commit
    assert origin["provenance"]["parameters_sha256"] == parameters_sha256(parameters)
    assert origin["provenance"]["run_options"] == "--params training.probe_epochs=7"
    version = version_of(origin, project)
    assert version.tags() == origin["data"]
    assert (version.n_images, version.labels_by_origin) == (10, {"correction": 1, "import": 10, "review": 2})


def test_a_candidate_of_another_manifest_is_not_judged(plain_project):
    admit(plain_project)
    origin = origin_of(plain_project)
    relabel(plain_project)
    admit(plain_project)
    with pytest.raises(
        VisionpipeError, match=r"trained on another manifest than .*: train again \(kedro run"
    ):
        version_of(origin, plain_project)


def test_a_candidate_that_says_nothing_is_not_judged(plain_project):
    admit(plain_project)
    with pytest.raises(VisionpipeError, match="does not say what it was trained on: train again"):
        version_of(None, plain_project)


def test_training_waits_until_validation_has_admitted_the_manifest_of_the_labels_at_hand(plain_project):
    with pytest.raises(VisionpipeError, match="let validation admit it first"):
        origin_of(plain_project)
    admit(plain_project)
    relabel(plain_project)
    with pytest.raises(VisionpipeError, match=r"is not data/02_intermediate/manifest\.parquet"):
        origin_of(plain_project)


def test_a_candidate_whose_data_are_gone_is_not_judged(plain_project):
    admit(plain_project)
    origin = origin_of(plain_project)
    plain_project.cached(origin["data"]["labels_md5"]).unlink()
    with pytest.raises(DataNotRecoverable, match=r"label history: .* is not in the DVC cache"):
        version_of(origin, plain_project)


def test_measuring_twice_gives_the_same(plain_project):
    admit(plain_project)
    assert origin_of(plain_project) == origin_of(plain_project)


def test_the_three_outputs_must_be_named(plain_project):
    with pytest.raises(ValueError, match="outs must name store, labels, manifest"):
        measure_origin(
            plain_project.path,
            {"store": "data/01_raw/images"},
            admitted=plain_project.path / ADMITTED,
            parameters={},
        )
