"""Which test images an earlier comparison used is told by MLflow, or not known, or cannot be had at the moment."""

from __future__ import annotations

import errno
import uuid
from datetime import UTC, datetime

import mlflow
import pytest

from mlflow_store import clean_environment
from moody_server import RUN_ID, moody_server
from visionpipe.errors import VisionpipeError
from visionpipe.promotion.comparisons import comparisons_of, digest_of, images_file
from visionpipe.promotion.record import PREFIX, Event

GONE = {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such run"}
FILE = {"path": images_file(digest_of("ab")).rpartition("/")[2], "is_dir": False, "file_size": 1}
RUN = {"run_id": RUN_ID, "experiment_id": "0", "artifact_uri": "mlflow-artifacts:/0/a/artifacts"}


def event_of(image_ids, identity=None, spent=None, run_id=RUN_ID):
    """A comparison as it is on record, of the run that `moody_server` knows."""
    payload = {"run_id": run_id, "images_sha256": digest_of(image_ids), "identity": identity, "spent": spent}
    return Event(f"{PREFIX}{uuid.uuid4()}", "comparison", datetime.now(UTC), "nobody", payload)


def images_of_one():
    (found,) = comparisons_of([event_of("ab")], known=["c"])
    return found.image_ids


@pytest.fixture
def server(monkeypatch):
    """A tracking server that has the list of images a and b."""
    clean_environment(monkeypatch)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with moody_server() as server:
        server.answers = {
            "logged-models/search": {},
            "artifacts?path": {"files": [FILE]},
            "artifacts/0/a/artifacts": {"image_ids": ["a", "b"]},
            "runs/get": {"run": {"info": {**RUN, "lifecycle_stage": "active"}, "data": {}}},
        }
        mlflow.set_tracking_uri(server.uri)
        yield server


def test_they_are_read(server):
    assert images_of_one() == {"a", "b"}


@pytest.mark.parametrize("step", ["runs/get", "artifacts?path", "artifacts/0/a/artifacts"])
def test_what_cannot_be_had_at_the_moment_is_no_verdict(step, server):
    server.status = {step: 503}
    with pytest.raises(VisionpipeError, match=f"earlier comparison .*{RUN_ID}.* cannot be fetched: ") as told:
        images_of_one()
    assert "503" in str(told.value)
    assert "hunter2" not in str(told.value)
    assert "\n" not in str(told.value)


def test_a_full_disk_is_none_either(server, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(mlflow.artifacts, "download_artifacts", full)
    with pytest.raises(VisionpipeError, match="No space left on device; try again"):
        images_of_one()


def test_a_run_that_is_gone_takes_them_along(server):
    server.answers["runs/get"], server.status = GONE, {"runs/get": 404}
    assert images_of_one() is None


def test_a_run_without_the_file_has_lost_them(server):
    server.answers["artifacts?path"] = {}
    assert images_of_one() is None


@pytest.mark.parametrize("order", [1, -1])
def test_a_list_that_another_run_still_has_counts_for_both(order, server):
    lost = "b" * 32
    server.answers = {f"runs/get?run_id={lost}": GONE, **server.answers}
    server.status = {f"runs/get?run_id={lost}": 404}
    found = comparisons_of([event_of("ab", run_id=run_id) for run_id in (RUN_ID, lost)[::order]])
    assert [comparison.image_ids for comparison in found] == [{"a", "b"}] * 2


@pytest.mark.parametrize("content", [{"image_ids": ["a"]}, {"image_ids": 3}, [], "ab"])
def test_a_file_that_lists_others_does_not_count(content, server):
    server.answers["artifacts/0/a/artifacts"] = content
    assert images_of_one() is None


def test_a_deleted_run_need_not_have_them(server):
    server.answers["runs/get"]["run"]["info"]["lifecycle_stage"] = "deleted"
    assert images_of_one() == {"a", "b"}
    server.status = {"artifacts?path": 503}
    assert images_of_one() is None


def test_what_was_judged_twice_has_spent_the_larger_rate():
    """As when a list of test images was lost at the first time, and restored for the second."""
    told = [event_of("a", identity="X", spent=spent) for spent in (None, 0.0004, 0.0112, 0.002)]
    others = [event_of("a", spent=0.001) for _ in range(2)]
    found = comparisons_of([*told, *others], known=["a"])
    assert [comparison.spent for comparison in found] == [0.0112, 0.001, 0.001]
    assert comparisons_of(told, known=["a"], but="X") == []
