"""One promotion at a time, and whoever became champion meanwhile is judged instead."""

from __future__ import annotations

import os

import mlflow
import pytest
from filelock import FileLock
from mlflow import MlflowClient

from visionpipe.errors import VisionpipeError
from visionpipe.models.candidate import load_candidate
from visionpipe.promotion import aliases
from visionpipe.promotion.contest import judge_of
from visionpipe.promotion.parameters import PromotionParameters
from visionpipe.promotion.registry import Registry


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
