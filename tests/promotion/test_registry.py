"""What the gate lets through is registered, whole and at once, with MLflow's store in a file or behind a server."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from mlflow_store import clean_environment, file_hashes, free_port, running
from visionpipe.promotion import record
from visionpipe.promotion.registry import Registry
from visionpipe.promotion.succession import rollback
from visionpipe.promotion.tracking import TrackingParameters, connect


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
        assert file_hashes(kept / "candidate") == file_hashes(models["poor"])
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
        compared = record.events(MlflowClient(), "cells", "comparison")
        assert len(compared) == 1  # but it has looked at the test images

    def test_an_experiment_with_what_was_taken_back_is_not_said_to_wait(self, promote):
        promote("poor")
        promote("good")
        rollback("cells", by="B. Ito", why="misses cracks")
        promotion = promote("good", mode="off")
        assert (promotion.decision.outcome, promotion.version) == ("promote", None)
        (*_, compared) = record.events(MlflowClient(), "cells", "comparison")
        assert "approve" not in promotion.decision.reason + compared.payload["reason"]

    def test_a_run_that_is_under_way_owns_the_version(self, promote):
        with mlflow.start_run() as run:
            promote("good")
            assert mlflow.active_run().info.run_id == run.info.run_id
        assert MlflowClient().get_model_version("cells", "1").run_id == run.info.run_id


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
