import dataclasses
import hashlib
import io
import json
import os
import re
from pathlib import Path
from urllib.parse import urlsplit

import mlflow
import pytest
from rich.console import Console

from mlflow_store import forget_store
from visionpipe.errors import VisionpipeError
from visionpipe.lineage.data_version import DataNotRecoverable
from visionpipe.lineage.dvc_recording import commit_stage
from visionpipe.lineage.trace import render, trace
from visionpipe.promotion import record
from visionpipe.promotion.tracking import TrackingParameters

COMMIT = "c0ffee" * 6 + "abcd"
WEIGHTS_SHA256 = hashlib.sha256(b"the weights").hexdigest()


@pytest.fixture(scope="module")
def empty_registry(tmp_path_factory):
    """A real registry on sqlite; making one takes 1.5 s, so that tests copy it."""
    database = tmp_path_factory.mktemp("registry") / "mlflow.db"
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{database}")
    client.create_experiment("plant", artifact_location=str(database.parent / "artifacts"))
    return database


@dataclasses.dataclass(frozen=True)
class Registered:
    project: object
    version: object
    run_id: str
    model_id: str
    candidate: Path


@pytest.fixture
def registered(plain_project, empty_registry):
    """Version 1 of `solar` is the champion; its data are recorded; version 2 was registered by someone else."""
    (plain_project.path / "mlflow.db").write_bytes(empty_registry.read_bytes())
    version = plain_project.version()
    uri = f"sqlite:///{plain_project.path / 'mlflow.db'}"
    mlflow.set_tracking_uri(uri)  # a new version looks its model up there, whatever the client is told
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("plant").experiment_id
    run_id = client.create_run(experiment).info.run_id
    model = client.create_logged_model(experiment, name="model", source_run_id=run_id)
    files = Path(urlsplit(model.artifact_location).path)
    candidate = files / "artifacts/candidate"
    candidate.mkdir(parents=True)
    (candidate / "weights.safetensors").write_bytes(b"the weights")
    (files / "MLmodel").write_text(
        "flavors: {python_function: {artifacts: {candidate: {path: artifacts/candidate}, "
        "evaluation: {path: artifacts/evaluation}}}}"
    )
    client.create_registered_model("solar")
    provenance = {
        "git_commit": COMMIT,
        "git_dirty": "true",
        "source_sha256": "33" * 32,
        "parameters_sha256": "11" * 32,
        "lock_sha256": "22" * 32,
        "decision": "promote",
        "weights_sha256": WEIGHTS_SHA256,
        **version.tags(),
    }
    tags = {f"visionpipe.{key}": value for key, value in provenance.items()}
    source = f"models:/{model.model_id}"
    client.create_model_version("solar", source=source, run_id=run_id, tags=tags)
    client.create_model_version("solar", source=source, run_id=run_id)
    client.set_registered_model_alias("solar", "champion", "1")
    forget_store()
    return Registered(plain_project, version, run_id, model.model_id, candidate)


@pytest.mark.parametrize("model_uri", ["models:/solar@champion", "models:/solar/1"])
def test_a_model_is_traced_to_run_commit_bytes_and_labels(registered, model_uri):
    report = trace(model_uri, registered.project.path)
    assert (report.name, report.version, report.aliases) == ("solar", "1", ["champion"])
    assert (report.run_id, report.model_id) == (registered.run_id, registered.model_id)
    assert report.weights_sha256 == WEIGHTS_SHA256
    assert (report.git_commit, report.git_dirty, report.decision) == (COMMIT, "true", "promote")
    assert report.manifest_md5 == registered.version.manifest_md5
    assert report.images_by_split == {"test": 3, "train": 6, "validation": 1}
    assert report.n_images == registered.version.n_images == 10
    assert report.labels_by_origin == registered.version.labels_by_origin
    assert report.labels_by_origin == {"correction": 1, "import": 10, "review": 2}
    assert (report.n_store_files, report.store_bytes) == (3, 150_000)


def test_the_report_survives_json(registered):
    report = trace("models:/solar/1", registered.project.path).as_dict()
    assert json.loads(json.dumps(report)) == report
    hashes = [report[f"{name}_sha256"] for name in ("parameters", "lock", "source")]
    assert hashes == ["11" * 32, "22" * 32, "33" * 32]


def test_the_table_shows_the_whole_way(registered):
    report = trace("models:/solar@champion", registered.project.path)
    console = Console(file=io.StringIO(), width=120)
    render(report, console)
    text = console.file.getvalue()
    for part in (
        "solar version 1 (champion)",
        registered.run_id,
        f"{COMMIT}, with uncommitted changes",
        f"sha256 {'33' * 32}",
        registered.version.store_md5,
        "test 3, train 6, validation 1",
        "correction 1, import 10, review 2",
    ):
        assert part in text


def test_what_people_decided_stands_in_the_trace(registered):
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{registered.project.path / 'mlflow.db'}")
    for kind, version, previous, who, why in (
        ("approval", "1", "2", "A. Jones", "checked the [worst] mistakes"),
        ("rollback", "2", "1", "B. Ito", "misses cracks"),
    ):
        record.append(client, "solar", kind, {"version": version, "previous": previous, "why": why}, who=who)
    report = trace("models:/solar/1", registered.project.path)
    assert report.as_dict()["history"] == [
        {**event.as_dict(), "deed": deed}
        for event, deed in zip(record.events(client, "solar"), ("approved", "taken back"), strict=True)
    ]
    console = Console(file=io.StringIO(), width=160)
    render(report, console)
    text = console.file.getvalue()
    assert re.search(
        r"approved .*UTC, A\. Jones, in place of version 2: checked the \[worst\] mistakes", text
    )
    assert re.search(r"taken back .*UTC, B\. Ito, version 2 in its place: misses cracks", text)


def test_a_tag_is_printed_as_it_is(registered):
    report = trace("models:/solar@champion", registered.project.path)
    console = Console(file=io.StringIO(), width=120)
    render(dataclasses.replace(report, decision="[bold]promote[/bold]"), console)
    assert "[bold]promote[/bold]" in console.file.getvalue()


def test_the_trace_reads_the_cache_and_not_the_workspace(registered):
    for path in (registered.project.path / "data").rglob("*.parquet"):
        path.unlink()
    assert trace("models:/solar/1", registered.project.path).n_images == 10


def test_an_old_version_is_traced_after_the_data_have_moved_on(registered):
    (registered.project.path / "data/01_raw/labels/labels-00001.parquet").unlink()
    commit_stage(registered.project.path, "ingestion")
    report = trace("models:/solar/1", registered.project.path)
    assert report.labels_by_origin == {"correction": 1, "import": 10, "review": 2}


@pytest.mark.parametrize(
    ("model_uri", "message"),
    [
        ("solar", "is no model version: give models:/NAME@ALIAS or models:/NAME/NUMBER"),
        ("models:/solar", "is no model version"),
        ("models:/solar/latest", "is no model version"),
        ("models:/sun@champion", "no model sun in the registry; it has solar"),
        ("models:/solar@challenger", "solar has no alias challenger; its aliases: champion"),
        ("models:/solar/9", "version=9"),
        ("models:/solar/2", "no tag visionpipe.store_md5; it was not registered by visionpipe"),
    ],
)
def test_what_cannot_be_found_is_said_in_one_line(registered, model_uri, message):
    with pytest.raises(VisionpipeError) as raised:
        trace(model_uri, registered.project.path)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "called"), [("manifest", "manifest"), ("labels", "label history"), ("store", "image store")]
)
def test_a_hash_whose_bytes_are_gone_is_named(registered, name, called):
    registered.project.cached(getattr(registered.version, f"{name}_md5")).unlink()
    with pytest.raises(DataNotRecoverable, match=f"{called}: .* is not in the DVC cache"):
        trace("models:/solar/1", registered.project.path)


def test_a_shard_of_the_store_that_is_gone_is_named(registered):
    listing = json.loads(registered.project.cached(registered.version.store_md5).read_bytes())
    registered.project.cached(listing[1]["md5"]).unlink()
    with pytest.raises(
        DataNotRecoverable, match=r"image store/images-00001\.parquet: .* is not in the DVC cache"
    ):
        trace("models:/solar/1", registered.project.path)


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[100] ^= 4
    path.chmod(0o644)
    path.write_bytes(content)
    path.chmod(0o444)


def test_a_damaged_manifest_is_not_believed(registered):
    flip_a_bit(registered.project.cached(registered.version.manifest_md5))
    with pytest.raises(DataNotRecoverable, match=r"manifest: the cache file .* is damaged"):
        trace("models:/solar/1", registered.project.path)


def test_a_damaged_photo_is_found_when_the_store_is_read(registered):
    listing = json.loads(registered.project.cached(registered.version.store_md5).read_bytes())
    flip_a_bit(registered.project.cached(listing[2]["md5"]))
    assert trace("models:/solar/1", registered.project.path, read_store=False).n_store_files == 3
    with pytest.raises(DataNotRecoverable, match=r"images-00002\.parquet: the cache file .* is damaged"):
        trace("models:/solar/1", registered.project.path)


def swap_weights(registered):
    (registered.candidate / "weights.safetensors").write_bytes(b"of another model")


def lose_model(registered):
    registered.candidate.rename(registered.candidate.with_name("aside"))


def lose_description(registered):
    (registered.candidate.parents[1] / "MLmodel").unlink()


def damage_description(registered):
    (registered.candidate.parents[1] / "MLmodel").write_text("a: [b\n  c: }")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (damage_description, "its files can't be read: MLmodel of version 1 is damaged"),
        (swap_weights, r"weights\.safetensors of version 1 are missing, or not those that were registered"),
        (lose_model, r"weights\.safetensors of version 1 are missing, or not those that were registered"),
        (lose_description, "its files can't be read: .*MLmodel"),
    ],
)
def test_weights_that_are_gone_or_of_another_model_are_not_believed(registered, spoil, message):
    spoil(registered)
    with pytest.raises(VisionpipeError, match=message) as raised:
        trace("models:/solar@champion", registered.project.path)
    assert "\n" not in str(raised.value)


def test_weights_without_a_registered_hash_prove_nothing(registered):
    client = mlflow.MlflowClient(f"sqlite:///{registered.project.path / 'mlflow.db'}")
    client.delete_model_version_tag("solar", "1", "visionpipe.weights_sha256")
    with pytest.raises(VisionpipeError, match=r"no tag visionpipe\.weights_sha256"):
        trace("models:/solar/1", registered.project.path)


def test_a_run_that_is_deleted_is_said(registered):
    mlflow.MlflowClient(f"sqlite:///{registered.project.path / 'mlflow.db'}").delete_run(registered.run_id)
    with pytest.raises(VisionpipeError, match=f"its run {registered.run_id} is deleted; bring it back"):
        trace("models:/solar/1", registered.project.path)


def test_the_registry_is_found_whatever_options_its_address_carries(registered, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db?timeout=60")
    assert trace("models:/solar/1", registered.project.path).version == "1"


def test_without_a_registry_none_is_made(plain_project, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(VisionpipeError, match=r"no model registry at .*mlflow\.db: `kedro run` makes"):
        trace("models:/solar@champion", plain_project.path)
    assert not (plain_project.path / "mlflow.db").exists()


@pytest.mark.parametrize("uri", ["http://ada:hunter2@127.0.0.1:9", "nonsense://ada:hunter2@host"])
def test_a_registry_that_is_not_there_is_said_without_the_password(plain_project, monkeypatch, uri):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(VisionpipeError, match=r"does not answer|MLflow at nonsense://") as raised:
        trace("models:/solar@champion", plain_project.path)
    assert "hunter2" not in str(raised.value)


def test_a_registry_that_is_no_database_is_said(plain_project):
    (plain_project.path / "mlflow.db").write_bytes(os.urandom(4096))
    with pytest.raises(VisionpipeError, match=r"mlflow\.db: file is not a database"):
        trace("models:/solar@champion", plain_project.path, tracking=TrackingParameters())
