"""Whoever wins the gate becomes champion, whole and at once, whatever else happens at the same time."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from filelock import FileLock
from mlflow import MlflowClient

from mlflow_store import clean_environment, free_port, running
from visionpipe.errors import VisionpipeError
from visionpipe.models.candidate import describe_model, load_candidate
from visionpipe.promotion import aliases
from visionpipe.promotion.contest import contest, judge_of
from visionpipe.promotion.parameters import PromotionParameters
from visionpipe.promotion.registry import Registry
from visionpipe.promotion.succession import approve, rollback
from visionpipe.promotion.tracking import TrackingParameters, connect


def files(folder):
    """Return every file below a folder with the hash of its content."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


class TestOutcomes:
    def test_the_first_model_that_is_good_enough_becomes_champion(self, promote, versions):
        promotion = promote("good", acceptance=["balanced_accuracy >= 0.6"])
        assert promotion.decision.outcome == "promote", promotion.decision.reason
        assert (promotion.version, promotion.alias) == ("1", "champion")
        assert versions() == {"1": ["champion"]}
        assert mlflow.active_run() is None

    def test_a_better_one_takes_over(self, promote, versions, is_good):
        promote("poor")
        promotion = promote("good")
        assert promotion.decision.champion_version == "1"
        assert versions() == {"1": [], "2": ["champion"]}
        assert is_good(Registry("cells").champion())

    def test_a_rejected_one_is_in_its_run_and_not_in_the_registry(self, promote, models, versions, tmp_path):
        promote("good")
        with mlflow.start_run() as run:
            promotion = promote("poor")
        assert promotion.decision.outcome == "reject"
        assert (promotion.version, promotion.alias) == (None, None)
        assert versions() == {"1": ["champion"]}
        kept = Path(
            mlflow.artifacts.download_artifacts(run_id=run.info.run_id, dst_path=str(tmp_path / "kept"))
        )
        assert files(kept / "candidate") == files(models["poor"])
        decision = json.loads((kept / "comparison/decision.json").read_text())
        assert decision == promotion.decision.as_dict()

    def test_without_enough_evidence_nothing_is_registered(self, promote, versions):
        promotion = promote("good", min_test_images=1000)
        assert promotion.decision.outcome == "insufficient_evidence"
        assert versions() == {}

    def test_without_any_test_image_nothing_is_registered(self, promote, photos, versions):
        no_test = photos.manifest[photos.manifest["split"] != "test"]
        assert promote("good", manifest=no_test).decision.outcome == "insufficient_evidence"
        assert versions() == {}

    def test_a_proposed_winner_waits_as_challenger(self, promote, versions):
        promotion = promote("poor", mode="propose")
        assert promotion.alias == "challenger"
        assert versions() == {"1": ["challenger"]}
        assert Registry("cells").champion() is None
        promote("poor")
        promote("good", mode="propose")
        assert versions() == {"1": [], "2": ["champion"], "3": ["challenger"]}

    def test_an_experiment_registers_nothing(self, promote, versions):
        promotion = promote("good", mode="off")
        assert promotion.decision.outcome == "promote"
        assert promotion.version is None
        assert versions() == {}
        assert len(Registry("cells").comparisons()) == 1  # but it has looked at the test images

    def test_a_run_that_is_under_way_owns_the_version(self, promote):
        with mlflow.start_run() as run:
            promote("good")
            assert mlflow.active_run().info.run_id == run.info.run_id
        assert MlflowClient().get_model_version("cells", "1").run_id == run.info.run_id


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
        assert not [name for name in files(plant / "mlartifacts") if name.endswith((".pkl", ".pth", ".pt"))]

    def test_reading_it_leaves_nothing_behind(self, promote, plant, monkeypatch, tmp_path):
        promote("good")
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
        (tmp_path / "scratch").mkdir()
        artifacts = files(plant / "mlartifacts")
        assert Registry("cells").champion() is not None
        assert files(plant / "mlartifacts") == artifacts
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

    def test_one_whose_files_are_gone_stops_the_promotion_too(self, promote, plant, versions):
        promote("poor")
        (plant / "mlartifacts").rename(plant / "moved away")
        assert_turned_down(promote("good"), versions)

    def test_one_of_another_program_stops_the_promotion_too(self, promote, plant, versions):
        """As a model would be that a version of visionpipe wrote which is long gone, or is yet to come."""
        promote("poor")
        (path,) = (plant / "mlartifacts").rglob("models/**/model.json")
        path.write_text(json.dumps({**json.loads(path.read_text()), "layers_of_tomorrow": 3}))
        assert_turned_down(promote("good"), versions)


def assert_turned_down(promotion, versions):
    """A verdict, no exception; nobody has looked at the test images."""
    decision = promotion.decision
    assert (decision.outcome, promotion.version, decision.champion_version) == ("reject", None, "1")
    assert re.match(r"Not promoted: champion cells v1 cannot be read: .*; restore its files", decision.reason)
    assert "\n" not in decision.reason
    assert versions() == {"1": ["champion"]}
    assert len(Registry("cells").comparisons()) == 1


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


class TestCandidateFiles:
    def test_what_was_judged_is_registered_though_the_folder_changes(
        self, promote, models, is_good, tmp_path
    ):
        yes, folder = promote("poor").decision, tmp_path / "candidate"
        shutil.copytree(models["good"], folder)

        def judge(champion, earlier):
            shutil.rmtree(folder)
            shutil.copytree(models["poor"], folder)
            return yes

        Registry("cells", folder).promote(
            judge, mode="promote", evaluation={}, tags={}, test_image_ids=["a"], metric="accuracy"
        )
        assert is_good(Registry("cells").champion())

    def test_files_of_another_model_than_the_judged_one_are_refused(self, plant, models, versions):
        with pytest.raises(VisionpipeError, match="files have changed since it was read") as refused:
            Registry("cells", models["poor"]).promote(
                lambda *_: None,
                mode="promote",
                evaluation={},
                tags={},
                test_image_ids=["a"],
                metric="accuracy",
                candidate=load_candidate(models["good"]),
            )
        assert "\n" not in str(refused.value)
        assert versions() == {}

    @pytest.mark.parametrize("paper", ["evaluation", "examination"])
    @pytest.mark.parametrize("model", [None, {"backbone": "x"}, {"weights_sha256": "of another"}])
    def test_papers_of_another_model_are_refused(self, paper, model, plant, photos, models, versions):
        good = load_candidate(models["good"])
        papers = {name: {"model": describe_model(good)} for name in ("evaluation", "examination")}
        papers[paper] = {"model": model} if model else {}
        with pytest.raises(
            VisionpipeError, match=f"the {paper} is not of this candidate: run the evaluation"
        ):
            contest(
                Registry("cells", models["good"]),
                good,
                papers["evaluation"],
                photos.manifest,
                photos.read,
                {},
                PromotionParameters(resamples=200),
                examination=papers["examination"],
            )
        assert versions() == {}


class TestTurns:
    def test_two_names_of_one_store_have_one_turn(self, plant, tmp_path, monkeypatch):
        monkeypatch.setattr(aliases, "_LOCK_TIMEOUT_S", 0.1)
        (tmp_path / "link").symlink_to(plant)
        before = mlflow.get_registry_uri()
        with aliases.turn("cells"):
            mlflow.set_registry_uri(f"sqlite:///{tmp_path}/link/mlflow.db")
            try:
                with pytest.raises(VisionpipeError, match="has not ended"), aliases.turn("cells"):
                    pass
            finally:
                mlflow.set_registry_uri(before)

    def test_the_lock_is_for_every_user(self, plant, monkeypatch):
        umask = os.umask(0o022)
        try:
            with aliases.turn("cells"):
                pass
        finally:
            os.umask(umask)
        (lock,) = plant.glob("mlflow.db.*.lock")
        assert lock.stat().st_mode & 0o777 == 0o666

    def test_a_lock_that_cannot_be_opened_costs_one_line(self, plant):
        with aliases.turn("cells"):
            pass
        (lock,) = plant.glob("mlflow.db.*.lock")
        lock.unlink()
        lock.mkdir()
        with pytest.raises(VisionpipeError, match="cells: cannot lock") as refused, aliases.turn("cells"):
            pass
        assert "\n" not in str(refused.value)

    def test_a_champion_that_changes_meanwhile_is_judged_instead(
        self, photos, models, promote, versions, evaluation
    ):
        """As when a promoter on another machine, which the lock does not hold back, was faster."""
        promote("poor")
        promote("good", mode="propose")
        judged = []
        gate = judge_of(
            photos.manifest[photos.manifest["split"] == "test"],
            photos.read,
            load_candidate(models["good"]),
            PromotionParameters(resamples=200),
        )

        def judge(champion, earlier):
            judged.append(champion.version)
            decision = gate(champion, earlier)
            MlflowClient().set_registered_model_alias("cells", "champion", "2")
            return decision

        promotion = Registry("cells", models["good"]).promote(
            judge, mode="promote", evaluation=evaluation, tags={}, test_image_ids=["a"], metric="accuracy"
        )
        assert judged == ["1", "2"]
        assert promotion.decision.outcome == "reject"  # it is no better than the one that came first
        assert versions() == {"1": [], "2": ["champion"]}

    def test_a_champion_that_never_stops_changing_is_given_up_on(self, models, promote, versions):
        promote("poor")
        decision = promote("good", mode="propose").decision
        others = ["1", "2"]

        def judge(champion, earlier):
            others.reverse()
            MlflowClient().set_registered_model_alias("cells", "champion", others[0])
            return decision

        with pytest.raises(VisionpipeError, match="cells: the champion kept changing; nothing was promoted"):
            Registry("cells", models["good"]).promote(
                judge, mode="promote", evaluation={}, tags={}, test_image_ids=["a"], metric="accuracy"
            )
        assert set(versions()) == {"1", "2"}

    def test_a_promotion_that_does_not_end_is_named(self, promote, plant, monkeypatch):
        monkeypatch.setattr(aliases, "_LOCK_TIMEOUT_S", 0.1)
        promote("poor")
        (lock,) = plant.glob("mlflow.db.*.lock")
        with (
            FileLock(lock),
            pytest.raises(VisionpipeError, match=r"another promotion has not ended in 0\.1 s"),
        ):
            promote("good")
        assert promote("good").version == "2"

    def test_a_name_that_mlflow_refuses_costs_one_line(self, promote):
        with pytest.raises(VisionpipeError, match=r"a/b: MLflow refuses: .*") as refused:
            promote("good", model_name="a/b")
        assert "\n" not in str(refused.value)


class TestServer:
    @pytest.fixture
    def server(self, tmp_path, plant, monkeypatch):
        """A real MLflow server on this machine, in front of an empty store."""
        uri = f"http://127.0.0.1:{free_port()}"
        command = [
            "mlflow",
            "server",
            "--host",
            "127.0.0.1",
            "--port",
            uri.rpartition(":")[2],
            "--workers",
            "1",
        ]
        command += ["--backend-store-uri", f"sqlite:///{plant}/mlflow.db"]
        command += ["--artifacts-destination", str(tmp_path / "artifacts")]
        clean_environment(monkeypatch)
        with running(command, f"{uri}/health", tmp_path / "server.log"):
            monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
            assert connect(tmp_path, TrackingParameters(experiment="over REST")) == uri
            yield tmp_path

    def test_promotion_works_over_rest(self, server, promote, monkeypatch, versions, is_good):
        monkeypatch.setattr(tempfile, "tempdir", str(server / "scratch"))
        (server / "scratch").mkdir()
        assert promote("poor").version == "1"
        promotion = promote("good", tags={"git_commit": "abc"})
        assert (promotion.version, promotion.alias) == ("2", "champion")
        champion = Registry("cells").champion()
        assert champion.version == "2"
        assert is_good(champion)
        assert promote("good").decision.outcome == "reject"
        assert versions() == {"1": [], "2": ["champion"]}
        assert MlflowClient().get_model_version("cells", "2").tags["visionpipe.git_commit"] == "abc"
        assert [path.name for path in (server / "scratch").iterdir() if path.suffix != ".lock"] == []
        assert not (server / "mlartifacts").exists()  # the server keeps the artifacts
