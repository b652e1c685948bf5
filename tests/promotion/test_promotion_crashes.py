"""Whatever happens during a promotion, and however many there are, there is one champion and it is whole."""

from __future__ import annotations

import signal
import time

import numpy as np
import pytest
from mlflow import MlflowClient

from promoters import Promoters
from visionpipe.promotion.registry import Registry


@pytest.fixture(scope="module")
def warm_promoters(models):
    started = Promoters(models)
    yield started
    started.close()


@pytest.fixture
def promoters(warm_promoters, plant):
    warm_promoters.project = plant
    return warm_promoters


class TestCrash:
    @pytest.mark.parametrize("step", ["create_model_version", "set_registered_model_alias"])
    def test_stopped_at_the_worst_moment_the_old_champion_stays(self, step, promote, is_good, monkeypatch):
        promote("poor")
        with monkeypatch.context() as crash, pytest.raises(KeyboardInterrupt):

            def stop(*args, **kwargs):
                raise KeyboardInterrupt

            crash.setattr(MlflowClient, step, stop)
            promote("good")
        champion = Registry("cells").champion()
        assert champion.version == "1"
        assert not is_good(champion)
        assert promote("good").alias == "champion"
        assert is_good(Registry("cells").champion())

    def test_killed_at_random_there_is_always_a_champion_and_the_next_promotion_works(
        self, promote, is_good, promoters
    ):
        promote("poor")
        promoters.start("good")
        promoters.go()
        started = time.monotonic()
        assert promoters.finish() == [0]
        duration_s = time.monotonic() - started
        assert is_good(Registry("cells").champion())

        killed = 0
        for moment in (np.arange(6) + np.random.default_rng(2).random(6)) / 6:
            MlflowClient().set_registered_model_alias("cells", "champion", "1")
            promoters.start("good")
            promoters.go()
            time.sleep(moment * duration_s)
            killed += promoters.kill() == [signal.SIGKILL]
            champion = Registry("cells").champion()
            assert (champion.version == "1") != is_good(champion)  # the old one or the new one, whole
        assert killed

        MlflowClient().set_registered_model_alias("cells", "champion", "1")
        promotion = promote("good")
        assert promotion.alias == "champion"
        assert Registry("cells").champion().version == promotion.version


class TestRace:
    @pytest.mark.parametrize("pair", [("poor", "good"), ("good", "poor"), ("good", "good")])
    def test_of_two_at_once_one_is_judged_against_the_other(self, pair, promoters, versions, is_good):
        for name in pair:
            promoters.start(name)
        promoters.go()
        assert promoters.finish() == [0, 0]
        first, second = sorted(promoters.answers, key=lambda answer: answer["champion"] is not None)
        assert (first["champion"], first["outcome"], first["alias"]) == (None, "promote", "champion")
        assert second["champion"] == first["version"]
        last = second["version"] or first["version"]
        champion = Registry("cells").champion()
        assert champion.version == last
        assert is_good(champion)  # whoever was first, the better one is champion in the end
        assert set(versions()) == {answer["version"] for answer in (first, second)} - {None}
