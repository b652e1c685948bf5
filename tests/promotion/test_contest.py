"""Champion and challenger are judged on the same photos, each in its own way of seeing them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from photo_sets import good_candidate, photo_set
from visionpipe.errors import VisionpipeError
from visionpipe.images.decode import decode_rgb
from visionpipe.models.candidate import load_candidate
from visionpipe.promotion import contest as contest_module
from visionpipe.promotion.contest import judge_of, report
from visionpipe.promotion.gate import judge
from visionpipe.promotion.parameters import PromotionParameters
from visionpipe.promotion.registry import Champion, Promotion
from visionpipe.promotion.wear import Comparison

FAST = {"resamples": 200}


@pytest.fixture(scope="module")
def three_colours():
    return photo_set(train=6, validation=4, test=15, labels=("blue", "green", "red"), seed=12)


@pytest.fixture
def asked(monkeypatch):
    """What the gate was given."""
    arguments = {}

    def listen(**given):
        arguments.update(given)
        return judge(**given)

    monkeypatch.setattr(contest_module, "judge", listen)
    return arguments


def common_photos(photos):
    return photos.manifest[photos.manifest["split"] == "test"]


def champion_of(candidate):
    return Champion("cells", "7", candidate, {})


def predicted(candidate, test, photos):
    """Predict one photo at a time, with the file's own bytes, as a user would."""
    spec = candidate.classifier.spec
    rows = [
        candidate.classifier.predict(decode_rgb(photos.files[image_id], spec.image_size_px)[None])
        for image_id in test["image_id"]
    ]
    return np.concatenate([row.probabilities_NK for row in rows])


def test_models_of_other_classes_and_sizes_are_judged_on_the_same_photos(asked, three_colours):
    """The plant learned of a third class: the champion has never heard of green."""
    manifest = three_colours.manifest
    two_colours = replace(three_colours, manifest=manifest[manifest["label"] != "green"])
    champion = good_candidate(two_colours, image_size_px=48, backbone="timm/test_resnet", weights="none")
    challenger = good_candidate(three_colours)
    test = common_photos(three_colours).sample(frac=1, random_state=1)

    decision = judge_of(test, three_colours.read, challenger, PromotionParameters(**FAST))(
        champion_of(champion)
    )

    assert asked["classes"] == ["blue", "green", "red"]
    np.testing.assert_array_equal(np.array(asked["classes"])[asked["labels_N"]], test["label"])
    np.testing.assert_allclose(
        asked["challenger_probabilities_NK"], predicted(challenger, test, three_colours), rtol=1e-4, atol=1e-6
    )
    expected_NK = predicted(champion, test, three_colours)
    np.testing.assert_allclose(
        asked["champion_probabilities_NK"][:, [0, 2]], expected_NK, rtol=1e-4, atol=1e-6
    )
    assert (asked["champion_probabilities_NK"][:, 1] == 0).all()
    assert next(check for check in decision.checks if check.kind == "gain").passed
    assert decision.outcome == "insufficient_evidence"
    assert (
        "accuracy where the champion knew the class" in decision.reason
    )  # 30 images of the old ones are few
    assert decision.champion_version == "7"


def test_a_class_that_the_challenger_has_forgotten_is_held_against_it(three_colours):
    manifest = three_colours.manifest
    two_colours = replace(three_colours, manifest=manifest[manifest["label"] != "green"])
    champion, challenger = good_candidate(three_colours), good_candidate(two_colours)
    decide = judge_of(
        common_photos(three_colours), three_colours.read, challenger, PromotionParameters(**FAST)
    )
    assert decide(champion_of(champion)).outcome == "reject"


@pytest.mark.parametrize("who", ["challenger", "champion"])
@pytest.mark.parametrize("column", ["image_id", "group_id"])
def test_a_model_that_has_learned_from_a_test_image_is_refused(who, column, photos, models):
    good, poor = load_candidate(models["good"]), load_candidate(models["poor"])
    test = common_photos(photos)
    leaked = {"challenger": good, "champion": poor}[who]
    seen = leaked.seen.copy()
    seen.loc[0, column] = test[column].iloc[3]
    leaked = replace(leaked, seen=seen)
    challenger, champion = (leaked, poor) if who == "challenger" else (good, leaked)
    decision = judge_of(test, photos.read, challenger, PromotionParameters(**FAST))(champion_of(champion))
    assert decision.outcome == "reject"
    assert f"the {who} has learned from 1 of the test" in decision.reason
    assert test[column].iloc[3][:12] in decision.reason


def test_the_first_model_is_checked_for_leaks_too(photos, models):
    good = load_candidate(models["good"])
    leaked = replace(good, seen=photos.manifest[["image_id", "group_id", "split"]])
    decision = judge_of(common_photos(photos), photos.read, leaked, PromotionParameters(**FAST))(None)
    assert decision.outcome == "reject"
    assert "the challenger has learned from 40 of the test images" in decision.reason


def test_the_users_columns_are_the_slices(asked, photos, models):
    parameters = PromotionParameters(**FAST, slices=["camera"], min_slice_images=10)
    poor, good = load_candidate(models["poor"]), load_candidate(models["good"])
    decision = judge_of(common_photos(photos), photos.read, good, parameters)(champion_of(poor))
    assert list(asked["slices"]) == ["camera"]
    assert {"north", "south"} <= {word.strip(",:=") for c in decision.checks for word in c.name.split()}


def test_the_outcome_fits_into_json(photos, models):
    decision = judge_of(
        common_photos(photos), photos.read, load_candidate(models["good"]), PromotionParameters()
    )(None)
    told = report(Promotion(decision, "4", "champion"), "cells", {"git_commit": "abc"}, {"n": 3}, None)
    told = json.loads(json.dumps(told, allow_nan=False))
    assert (told["outcome"], told["challenger_version"], told["alias"]) == ("promote", "4", "champion")
    assert (told["model_name"], told["provenance"]) == ("cells", {"git_commit": "abc"})


class TestBadModels:
    """Whatever is wrong with a model is a verdict: no traceback, and no promotion."""

    def decide(self, photos, challenger, champion, **parameters):
        judge = judge_of(
            common_photos(photos), photos.read, challenger, PromotionParameters(**(FAST | parameters))
        )
        decision = judge(champion_of(champion) if champion else None, [])
        json.dumps(decision.as_dict(), allow_nan=False)
        assert decision.outcome in {"reject", "insufficient_evidence"}
        return decision

    @pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory."), MemoryError()])
    def test_memory_that_runs_out_says_nothing_of_the_champion(self, error, photos, models):
        def run_out(*args):
            raise error

        good, champion = (load_candidate(models[name]) for name in ("good", "poor"))
        champion.classifier.head.register_forward_hook(run_out)
        with pytest.raises(
            VisionpipeError, match=r"memory ran out while the champion \(version 7\) predicted"
        ):
            self.decide(photos, good, champion)

    @pytest.mark.parametrize(
        ("broken", "told"),
        [
            ("shapes", "mat1 and mat2"),
            ("papers", "group_id"),
            ("nothing", "NoneType"),
        ],
    )
    def test_a_champion_that_loads_and_then_fails(self, broken, told, photos, models):
        good, champion = (load_candidate(models[name]) for name in ("good", "poor"))
        if broken == "shapes":
            champion.classifier.head = torch.nn.Linear(3, 2)
        elif broken == "papers":  # an older visionpipe kept no groups
            champion = replace(champion, seen=champion.seen[["image_id", "split"]])
        else:
            champion = replace(champion, seen=None)
        decision = self.decide(photos, good, champion)
        assert decision.outcome == "reject"
        assert "the champion (version 7) fails on the test images" in decision.reason
        assert told in decision.reason
        assert "visionpipe rollback" in decision.reason
        assert not decision.looked

    @pytest.mark.parametrize("who", ["challenger", "champion"])
    @pytest.mark.parametrize("weight", [float("nan"), float("inf")])
    @pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # inf - inf, in the softmax
    def test_a_model_that_gives_no_numbers(self, who, weight, photos, models):
        good, poor = (load_candidate(models[name]) for name in ("good", "poor"))
        broken = good if who == "challenger" else poor
        with torch.no_grad():
            broken.classifier.head.bias.fill_(weight)
        decision = self.decide(photos, good, poor)
        assert decision.outcome == "reject"
        assert f"the {who}'s probabilities" in decision.reason

    def test_no_test_image_at_all(self, photos, models):
        manifest = photos.manifest
        empty = replace(photos, manifest=manifest[manifest["split"] == "train"])
        good, poor = (load_candidate(models[name]) for name in ("good", "poor"))
        for champion in (poor, None):
            assert self.decide(empty, good, champion).n_test_images == 0

    def test_test_images_of_one_class_only(self, photos, models):
        manifest = photos.manifest
        blue = replace(photos, manifest=manifest[manifest["label"] == "blue"])
        good, poor = (load_candidate(models[name]) for name in ("good", "poor"))
        for champion in (poor, None):
            decision = self.decide(blue, good, champion, min_test_images=10)
            assert "at least two classes are needed" in decision.reason

    def test_images_that_cannot_be_read_any_more(self, photos, models):
        """The store has lost one: the predictions no longer fit the table."""
        first = common_photos(photos)["image_id"].iloc[0]
        lost = replace(photos, files={key: data for key, data in photos.files.items() if key != first})
        good = load_candidate(models["good"])
        assert self.decide(lost, good, None).outcome == "reject"


def test_earlier_comparisons_on_the_same_photos_count(photos, models):
    good, poor = (load_candidate(models[name]) for name in ("good", "poor"))
    test = common_photos(photos)
    decide = judge_of(test, photos.read, good, PromotionParameters(**FAST))
    ids = frozenset(test["image_id"])
    at_first = decide(champion_of(poor), [])
    assert (at_first.wear.comparison, at_first.wear.n_fresh) == (1, 40)
    again = decide(
        champion_of(poor), [Comparison("", "6", ids, "reject"), Comparison("", None, None, "promote")]
    )
    assert (again.wear.comparison, again.wear.n_fresh) == (3, 0)
    worn = decide(champion_of(poor), [Comparison("", "6", ids, "reject")] * 12)
    assert worn.outcome == "insufficient_evidence"
    assert "worn out" in worn.reason


def test_a_class_that_only_one_model_knows_is_noticed(three_colours):
    manifest = three_colours.manifest
    two_colours = replace(three_colours, manifest=manifest[manifest["label"] != "green"])
    all_three, only_two = good_candidate(three_colours), good_candidate(two_colours)
    kinds = {}
    for challenger, champion in ((all_three, only_two), (only_two, all_three)):
        judge = judge_of(
            common_photos(three_colours), three_colours.read, challenger, PromotionParameters(**FAST)
        )
        decision = judge(champion_of(champion))
        kinds |= {c.name: c.passed for c in decision.checks if c.kind == "class_change"}
    assert set(kinds) == {"new class green", "class green is still known"}
    assert kinds["class green is still known"] is False


def test_the_measured_speed_reaches_the_limit(photos, models):
    limits = {"acceptance": ["latency_ms_p95 <= 20"]}
    good, test = load_candidate(models["good"]), common_photos(photos)
    outcomes = [
        judge_of(test, photos.read, good, PromotionParameters(**FAST, **limits), latency_ms_p95=ms)(
            None
        ).outcome
        for ms in (None, (12.0, 15.0), (12.0, 25.0), (25.0, 30.0))
    ]
    assert outcomes == ["insufficient_evidence", "promote", "insufficient_evidence", "reject"]
