"""The champion comes back as it was registered; a damaged or missing one lets nobody slip in."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from mlflow_store import clean_environment, file_hashes
from moody_server import moody_server
from visionpipe.errors import VisionpipeError
from visionpipe.models.candidate import describe_model, load_candidate
from visionpipe.promotion import model_version, record
from visionpipe.promotion.model_version import UnreadableVersionError, read_version
from visionpipe.promotion.registry import Registry
from visionpipe.promotion.succession import approve, rollback
from visionpipe.promotion.version_files import FILES_TAG, MODEL_TAG


class TestChampion:
    def test_it_comes_back_as_the_candidate_that_was_registered(self, promote, models, photos, evaluation):
        promote("good")
        champion, candidate = Registry("cells").champion(), load_candidate(models["good"])
        assert (champion.name, champion.version) == ("cells", "1")
        about = {**evaluation, "model": describe_model(candidate)}
        assert champion.evaluation == json.loads(json.dumps(about))
        pixels_NHWC = photos.prepared(64).pixels_NHWC
        found, expected = (model.classifier.predict(pixels_NHWC) for model in (champion.candidate, candidate))
        np.testing.assert_array_equal(found.logits_NK, expected.logits_NK)
        np.testing.assert_array_equal(found.embeddings_NE, expected.embeddings_NE)
        assert champion.candidate.classifier.spec == candidate.classifier.spec
        pd.testing.assert_frame_equal(champion.candidate.reference, candidate.reference)
        pd.testing.assert_frame_equal(champion.candidate.seen, candidate.seen)
        assert champion.candidate.curves == candidate.curves

    def test_a_version_carries_its_provenance(self, promote):
        promote("good", tags={"git_commit": "abc", "dvc_store": "0123.dir", "git_dirty": "false"})
        tags = MlflowClient().get_model_version("cells", "1").tags
        provenance = {"git_commit": "abc", "dvc_store": "0123.dir", "git_dirty": "false"}
        assert (
            provenance.items() <= {key.removeprefix("visionpipe."): tag for key, tag in tags.items()}.items()
        )

    def test_a_version_carries_the_verdict_in_its_tags(self, promote, models):
        first, second = promote("poor").decision, promote("good").decision
        tags = MlflowClient().get_model_version("cells", "1").tags
        assert tags["visionpipe.champion_beaten"] == "none"
        assert "visionpipe.decision_gain" not in tags
        tags = MlflowClient().get_model_version("cells", "2").tags
        (gain,) = (check for check in second.checks if check.name.startswith("gain in"))
        assert tags == {
            "visionpipe.decision": "promote",
            "visionpipe.decision_reason": second.reason,
            "visionpipe.decision_metric": "balanced_accuracy",
            "visionpipe.decision_gain": f"{gain.value:+.4f} ({gain.low:+.4f} to {gain.high:+.4f})",
            "visionpipe.champion_beaten": "1",
            "visionpipe.test_images_comparison": f"2 of {second.wear.planned} planned",
            "visionpipe.test_images_fresh": "0 of 40",
            "visionpipe.weights_sha256": tags["visionpipe.weights_sha256"],
            "visionpipe.model_sha256": tags["visionpipe.model_sha256"],
            "visionpipe.files_sha256": tags["visionpipe.files_sha256"],
        }
        (weights,) = models["good"].glob("weights.safetensors")
        assert tags["visionpipe.weights_sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
        assert first.outcome == "promote"

    def test_its_papers_are_kept_with_it_and_nothing_is_pickled(
        self, photos, models, promote, plant, evaluation
    ):
        promotion = promote("good", papers=lambda decision: {"card.html": f"<p>{decision.outcome}"})
        (folder,) = {path.parent for path in (plant / "mlartifacts").rglob("card.html")}
        assert (folder / "card.html").read_text() == "<p>promote"
        assert json.loads((folder / "decision.json").read_text()) == promotion.decision.as_dict()
        assert evaluation.items() <= json.loads((folder / "evaluation.json").read_text()).items()
        assert not [
            name for name in file_hashes(plant / "mlartifacts") if name.endswith((".pkl", ".pth", ".pt"))
        ]

    def test_reading_it_leaves_nothing_behind(self, promote, plant, monkeypatch, tmp_path):
        promote("good")
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
        (tmp_path / "scratch").mkdir()
        artifacts = file_hashes(plant / "mlartifacts")
        assert Registry("cells").champion() is not None
        assert file_hashes(plant / "mlartifacts") == artifacts
        assert list((tmp_path / "scratch").iterdir()) == []

    def test_there_is_none_before_there_is_one(self, plant, promote):
        assert Registry("never heard of").champion() is None
        promote("good", mode="propose")
        assert Registry("cells").champion() is None

    @pytest.mark.parametrize("content", ["hello", "a: [b\n  c: }"])
    def test_one_whose_description_is_damaged_stops_the_promotion_too(
        self, content, promote, plant, versions
    ):
        promote("poor")
        (path,) = (plant / "mlartifacts").rglob("MLmodel")
        path.write_text(content)
        assert_turned_down(promote("good"), versions)

    @pytest.mark.parametrize("name", ["weights.safetensors", "model.json", "seen.parquet", "evaluation.json"])
    def test_a_damaged_one_stops_the_promotion_and_stays_champion(self, name, promote, plant, versions):
        promote("poor")
        (path,) = (plant / "mlartifacts").rglob(f"models/**/{name}")
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(
            VisionpipeError, match=r"champion cells v1 cannot be read: .*; restore"
        ) as refused:
            Registry("cells").champion()
        assert "\n" not in str(refused.value)
        assert_turned_down(promote("good"), versions)

    def test_one_whose_weights_were_replaced_is_not_used(self, promote, plant, models, versions):
        promote("poor")
        (path,) = (plant / "mlartifacts").rglob("models/**/weights.safetensors")
        shutil.copy(models["good"] / "weights.safetensors", path)
        with pytest.raises(VisionpipeError, match="not those that were registered"):
            Registry("cells").champion()
        assert_turned_down(promote("good"), versions)

    @pytest.mark.parametrize("name", ["seen.parquet", "evaluation.json", "decision.json"])
    def test_one_whose_papers_were_replaced_by_others_that_can_be_read_is_not_used(
        self, name, promote, plant, versions
    ):
        """As by those of another version, which would hide what it learned from, or why it was let in."""
        promote("poor")
        (path,) = (plant / "mlartifacts").rglob(f"models/**/{name}")
        if name == "seen.parquet":
            pd.read_parquet(path).iloc[1:].to_parquet(path, index=False)
        else:
            path.write_text(path.read_text().replace("0.", "0.9", 1))
        with pytest.raises(VisionpipeError, match=r"what it learned from.* not those that were registered"):
            Registry("cells").champion()
        assert_turned_down(promote("good"), versions)

    def test_one_with_a_file_more_is_not_used(self, promote, plant):
        promote("poor")
        (path,) = (plant / "mlartifacts").rglob("models/**/decision.json")
        path.with_name("decision of the board.json").write_text("{}")
        with pytest.raises(VisionpipeError, match="not those that were registered"):
            Registry("cells").champion()

    def test_one_whose_files_are_gone_stops_the_promotion_too(self, promote, plant, versions):
        promote("poor")
        (plant / "mlartifacts").rename(plant / "moved away")
        assert_turned_down(promote("good"), versions)

    def test_one_of_another_program_stops_the_promotion_too(self, promote, plant, versions):
        """As a model would be that a version of visionpipe wrote which is long gone, or is yet to come."""
        promote("poor")
        (path,) = (plant / "mlartifacts").rglob("models/**/model.json")
        path.write_text(json.dumps({**json.loads(path.read_text()), "layers_of_tomorrow": 3}))
        for tag in (MODEL_TAG, FILES_TAG):
            MlflowClient().delete_model_version_tag("cells", "1", tag)
        assert_turned_down(promote("good"), versions)


class TestNotNow:
    """What says nothing of the champion is no verdict: the run ends, and can be started again."""

    def test_one_that_cannot_be_fetched(self, promote, plant, versions):
        promote("poor")
        (path,) = (plant / "mlartifacts").rglob("models/**/weights.safetensors")
        path.unlink()
        path.symlink_to(plant / "a disk that is not mounted")
        with pytest.raises(
            VisionpipeError, match=r"^champion cells v1 cannot be fetched: .*No such file .*; try again"
        ):
            promote("good")
        assert versions() == {"1": ["champion"]}
        assert len(record.events(MlflowClient(), "cells", "comparison")) == 1

    def test_one_that_memory_does_not_hold(self, promote, monkeypatch):
        promote("poor")
        with (
            monkeypatch.context() as small,
            pytest.raises(VisionpipeError, match="memory ran out while it was"),
        ):
            small.setattr(model_version, "load_candidate", raise_(MemoryError()))
            Registry("cells").champion()

    @pytest.mark.parametrize(
        "trouble",
        [
            {"gone": {"mlflow-artifacts"}},
            {"status": {"mlflow-artifacts": 503}},
            {"gone": {"model-versions"}},
            {"status": {"model-versions/get": 503}},
        ],
    )
    def test_a_server_that_falters(self, trouble, monkeypatch):
        clean_environment(monkeypatch)
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        with moody_server() as server:
            mlflow.set_tracking_uri(server.uri)
            mlflow.set_registry_uri(server.uri)
            for name, value in trouble.items():
                setattr(server, name, value)
            with pytest.raises(
                VisionpipeError, match=r"champion cells v1 cannot be fetched: .*; try again"
            ) as told:
                read_version("cells", "1")
        assert not isinstance(told.value, UnreadableVersionError)
        assert "hunter2" not in str(told.value)

    def test_a_version_that_the_store_has_lost_is_a_verdict(self, plant):
        with pytest.raises(UnreadableVersionError, match="champion cells v1 cannot be read"):
            read_version("cells", "1")


def raise_(error):
    def failing(*args, **kwargs):
        raise error

    return failing


def assert_turned_down(promotion, versions):
    """A verdict, no exception; nobody has looked at the test images."""
    decision = promotion.decision
    assert (decision.outcome, promotion.version, decision.champion_version) == ("reject", None, "1")
    assert re.match(r"Not promoted: champion cells v1 cannot be read: .*; restore its files", decision.reason)
    assert "\n" not in decision.reason
    assert versions() == {"1": ["champion"]}
    assert len(record.events(MlflowClient(), "cells", "comparison")) == 1


class TestMissingChampion:
    def test_limits_alone_do_not_let_a_worse_model_in(self, promote, versions):
        """Else whoever deletes an alias by mistake makes any model champion that meets the limits."""
        promote("good")
        MlflowClient().delete_registered_model_alias("cells", "champion")
        for mode in ("promote", "propose", "off"):
            promotion = promote("poor", mode=mode)
            assert (promotion.decision.outcome, promotion.version) == ("reject", None)
            assert "a champion is missing: cells had one (v1 was last on record)" in promotion.decision.reason
            assert "visionpipe rollback" in promotion.decision.reason
        assert versions() == {"1": []}
        rollback("cells", by="A. Jones", why="alias was deleted by mistake")
        assert versions() == {"1": ["champion"]}
        assert promote("poor").decision.champion_version == "1"

    def test_with_no_former_champion_left_a_person_decides(self, promote, versions):
        promote("good")
        MlflowClient().delete_model_version("cells", "1")
        promotion = promote("poor")
        assert (promotion.decision.outcome, promotion.alias) == ("promote", "challenger")
        assert "the champion is missing, and no earlier one is left" in promotion.decision.reason
        approve("cells", by="A. Jones", why="there is nothing else")
        assert versions() == {promotion.version: ["champion"]}

    def test_a_first_promotion_that_was_stopped_leaves_none_missing(self, promote, monkeypatch):
        with monkeypatch.context() as crash, pytest.raises(KeyboardInterrupt):
            crash.setattr(MlflowClient, "set_registered_model_alias", interrupted)
            promote("good")
        assert promote("good").alias == "champion"


def interrupted(*args, **kwargs):
    raise KeyboardInterrupt
