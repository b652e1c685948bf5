"""Whatever happens during a promotion, and however many there are, there is one champion and it is whole."""

from __future__ import annotations

import shutil
import signal
import time

import numpy as np
import pytest
from mlflow import MlflowClient

from mlflow_store import new_store
from photo_sets import saved
from promoters import Promoters
from visionpipe.models.candidate import load_candidate
from visionpipe.promotion import record
from visionpipe.promotion.registry import Registry


@pytest.fixture(scope="module")
def ranked(models, photos, tmp_path_factory):
    """Three models, the worst first: `fair` calls half of what `good` knows to be red blue."""
    good = load_candidate(models["good"])
    test = photos.manifest[photos.manifest["split"] == "test"]
    prepared = photos.prepared(64)
    pixels_NHWC = prepared.pixels_NHWC[prepared.rows(test["image_id"].tolist())]
    logits_NK = good.classifier.predict(pixels_NHWC).logits_NK
    red = (test["label"] == "red").to_numpy()
    margin_N = logits_NK[red, 1] - logits_NK[red, 0]
    good.classifier.head.bias.data[0] += float(np.median(margin_N))
    return {
        "poor": models["poor"],
        "fair": saved(good, tmp_path_factory.mktemp("ranked") / "fair"),
        "good": models["good"],
    }


@pytest.fixture(scope="module")
def warm_promoters(ranked):
    started = Promoters(ranked)
    yield started
    started.close()


@pytest.fixture
def promoters(warm_promoters, plant):
    warm_promoters.project = plant
    return warm_promoters


@pytest.fixture
def rank(photos):
    """`rank(version)`: how many of the test photos this version gets right."""
    test = photos.manifest[photos.manifest["split"] == "test"]
    prepared = photos.prepared(64)
    pixels_NHWC = prepared.pixels_NHWC[prepared.rows(test["image_id"].tolist())]

    def right(version):
        from visionpipe.promotion.model_version import read_version

        labels = read_version("cells", version).candidate.classifier.predict(pixels_NHWC).labels
        return int((np.array(labels) == test["label"].to_numpy()).sum())

    return right


def assert_record_holds(rank, versions):
    """Every promotion has a comparison of its own that it won against the champion before, and is a better model."""
    events = record.events(MlflowClient(), "cells")
    won = {event.key: event.payload for event in events if event.kind == "comparison"}
    promotions = [event.payload for event in events if event.kind == "promotion"]
    assert len({promotion["comparison"] for promotion in promotions}) == len(promotions)
    assert len({promotion["version"] for promotion in promotions}) == len(promotions)
    for promotion in promotions:
        comparison = won[promotion["comparison"]]
        assert comparison["outcome"] == "promote"
        assert comparison["champion_version"] == promotion["previous"]
    ranks = {version: rank(version) for version in versions()}
    for promotion in promotions:
        if promotion["previous"] is not None:
            assert ranks[promotion["version"]] > ranks[promotion["previous"]]
    return events, promotions


class TestCrash:
    @pytest.mark.parametrize(
        "step",
        ["log_dict", "set_registered_model_tag", "create_model_version", "set_registered_model_alias"],
    )
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
        kill_at_random(6, np.random.default_rng(2), promote, is_good, promoters)

    @pytest.mark.slow
    def test_killed_at_fifty_random_moments(self, promote, is_good, promoters):
        told = kill_at_random(50, np.random.default_rng(3), promote, is_good, promoters)
        print(f"\nkill -9 at {told}")


def kill_at_random(rounds, random, promote, is_good, promoters):
    """Kill so many promotions at random moments; return what was found after them."""
    promote("poor")
    promoters.start("good")
    promoters.go()
    started = time.monotonic()
    assert promoters.finish() == [0]
    duration_s = time.monotonic() - started
    assert is_good(Registry("cells").champion())

    client = MlflowClient()
    told = {"killed": 0, "ended before": 0, "old champion": 0, "new champion": 0, "orphans": 0}
    while told["killed"] < rounds:
        assert told["ended before"] < 3 * rounds
        moment = random.random()
        client.set_registered_model_alias("cells", "champion", "1")
        before = {str(version.version) for version in client.search_model_versions("name='cells'")}
        promoters.start("good")
        promoters.go()
        time.sleep(moment * duration_s)
        killed = promoters.kill() == [signal.SIGKILL]
        champion = Registry("cells").champion()
        assert (champion.version == "1") != is_good(champion)  # the old one or the new one, whole
        after = {str(version.version) for version in client.search_model_versions("name='cells'")}
        told["killed" if killed else "ended before"] += 1
        if not killed:  # it took less than that: the machine is freer than when the first one was timed
            duration_s *= moment
        told["old champion" if champion.version == "1" else "new champion"] += 1
        told["orphans"] += len(after - before - {champion.version})
        record.events(client, "cells")  # whole, too

    client.set_registered_model_alias("cells", "champion", "1")
    promotion = promote("good")
    assert promotion.alias == "champion"
    assert Registry("cells").champion().version == promotion.version
    line = record.champions(record.events(client, "cells"))
    assert (line[0], line[-1]) == ("1", promotion.version)
    return told


class TestRace:
    @pytest.mark.parametrize("pair", [("poor", "good"), ("good", "poor"), ("good", "good")])
    def test_of_two_at_once_one_is_judged_against_the_other(self, pair, promoters, versions, is_good, rank):
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
        assert_record_holds(rank, versions)

    def test_of_eight_at_once_each_is_judged_against_the_champion_of_its_turn(
        self, promoters, versions, rank
    ):
        race(["poor", "good", "fair", "poor", "fair", "good", "poor", "fair"], promoters, versions, rank)

    @pytest.mark.slow
    @pytest.mark.parametrize("at_once", [2, 8])
    def test_a_hundred_rounds(self, at_once, warm_promoters, tmp_path, versions, rank):
        random, promotions = np.random.default_rng(at_once), []
        for number in range(100):
            warm_promoters.project = tmp_path / f"round {number}"
            new_store(warm_promoters.project)
            names = random.choice(["poor", "fair", "good"], at_once).tolist()
            promotions.append(race(names, warm_promoters, versions, rank))
            shutil.rmtree(warm_promoters.project)
        counted = dict(zip(*np.unique(promotions, return_counts=True), strict=True))
        print(f"\n{at_once} at once, 100 rounds: promotions a round -> rounds: {counted}")


def race(names, promoters, versions, rank):
    """Let these models promote at once; return how many were promoted."""
    for name in names:
        promoters.start(name)
    promoters.go()
    assert promoters.finish() == [0] * len(names)
    answers = promoters.answers
    assert len(answers) == len(names)
    promoted = [answer for answer in answers if answer["version"]]
    assert set(versions()) == {answer["version"] for answer in promoted}  # no orphan, none twice
    _, promotions = assert_record_holds(rank, versions)
    assert len(promotions) == len(promoted)
    assert [promotion["previous"] for promotion in promotions] == [
        None,
        *(promotion["version"] for promotion in promotions[:-1]),
    ]
    champion = Registry("cells").champion()
    assert champion.version == promotions[-1]["version"]
    assert all(rank(champion.version) >= rank(version) for version in versions())
    return len(promoted)
