"""What makes no sense, or may not decide, is a verdict before anything is judged."""

import numpy as np
import pytest

from gate_cases import answers, decide, labels_of, pair
from visionpipe.promotion.parameters import PromotionParameters


@pytest.mark.parametrize("who", ["champion", "challenger"])
@pytest.mark.parametrize("what", ["ids", "groups"])
def test_test_images_that_a_model_has_learned_from_are_refused(who, what):
    labels_N = labels_of(400)
    prefix = {"ids": "image", "groups": "group"}[what]
    seen = {f"{prefix}{i}" for i in (3, 77, 5000)}
    decision = decide(labels_N, *pair(labels_N, 0.1, seed=11), **{f"{who}_seen_{what}": seen})
    assert decision.outcome == "reject"
    assert f"the {who} has learned from 2 of the test" in decision.reason
    assert f"({prefix}3, {prefix}77): " in decision.reason
    leak = next(c for c in decision.checks if c.passed is False)
    assert (leak.kind, leak.value, leak.limit) == ("leak", 2, 0)
    assert not any(c.kind == "gain" for c in decision.checks)


@pytest.mark.parametrize(
    ("who", "words"),
    [
        ("champion", ["splits have changed since it was trained", "ingestion.split", "model_name"]),
        ("challenger", ["train again"]),
    ],
)
def test_a_leak_is_told_with_its_cause_and_the_way_out(who, words):
    labels_N, image_ids_N = labels_of(400), [f"{i:064x}" for i in range(400)]
    seen = {f"{who}_seen_ids": image_ids_N[:61]}
    reason = decide(labels_N, *pair(labels_N, 0.1, seed=11), image_ids_N=image_ids_N, **seen).reason
    assert "learned from 61 of the test images (000000000000…, 000000000000…, 000000000000…, ...): " in reason
    assert [word for word in words if word not in reason] == []


def test_a_great_leak_is_counted_and_not_listed_in_full():
    labels_N = labels_of(400)
    decision = decide(
        labels_N, *pair(labels_N, 0.1, seed=11), challenger_seen_ids=[f"image{i}" for i in range(400)]
    )
    assert "400 of the test images" in decision.reason
    assert len(decision.reason) < 300


def spoil(probabilities_NK, how):
    spoiled = probabilities_NK.copy()
    if how == "narrow":
        return spoiled[:, :1]
    if how == "short":
        return spoiled[:-1]
    if how == "ragged":
        return [row.tolist() for row in spoiled[:-1]] + [[1.0]]
    if how == "words":
        return [["a", "b"]] * len(spoiled)
    spoiled[5] = {"nan": np.nan, "infinite": np.inf, "unnormalised": [0.9, 0.9], "negative": [1.5, -0.5]}[how]
    return spoiled


@pytest.mark.parametrize(
    "how", ["nan", "infinite", "unnormalised", "negative", "narrow", "short", "ragged", "words"]
)
@pytest.mark.parametrize("who", ["challenger", "champion"])
def test_probabilities_that_make_no_sense_are_a_verdict_not_a_traceback(how, who):
    labels_N = labels_of(400)
    challenger, champion = pair(labels_N, 0.1, seed=12)
    if who == "challenger":
        challenger = spoil(challenger, how)
    else:
        champion = spoil(champion, how)
    decision = decide(labels_N, challenger, champion)
    assert decision.outcome == "reject"
    assert [c.kind for c in decision.checks] == ["sanity"]


@pytest.mark.parametrize(
    "broken",
    [
        {"labels_N": np.full(400, np.nan)},
        {"labels_N": np.full(400, 2)},
        {"labels_N": np.full(400, -1)},
        {"labels_N": np.zeros((400, 1), dtype=int)},
        {"labels_N": np.zeros(399, dtype=int)},
        {"labels_N": ["functional"] * 400},
        {"image_ids_N": ["same"] * 400},
        {"image_ids_N": 7},
        {"image_ids_N": [None, *range(1, 400)]},
        {"image_ids_N": np.full(400, np.nan)},
        {"labels_N": np.full(400, None)},
        {"champion_seen_ids": None},
        {"challenger_seen_groups": None},
        {"slices": ["site"]},
        {"group_ids_N": ["g"] * 399},
        {"group_ids_N": [None, *"g" * 399]},
        {"group_ids_N": np.zeros((400, 2))},
        {"slices": {"site": ["a"] * 3}},
        {"slices": {"site": [["a", "b"]] * 400}},
        {"classes": ["same", "same"]},
        {"classes": ["only"]},
        {"parameters": PromotionParameters(slices=["sight"])},
        {"parameters": PromotionParameters(acceptance=["recall[defectiv] >= 0.5"])},
    ],
)
def test_a_broken_test_table_is_a_verdict_not_a_traceback(broken):
    labels_N = labels_of(400)
    challenger, champion = pair(labels_N, 0.1, seed=13)
    arguments = {"parameters": PromotionParameters(resamples=200)} | broken
    labels = arguments.pop("labels_N", labels_N)
    if "image_ids_N" not in arguments:
        arguments["image_ids_N"] = np.arange(400)
    if "group_ids_N" not in arguments:
        arguments["group_ids_N"] = np.arange(400)
    parameters = arguments.pop("parameters").model_dump()
    assert decide(labels, challenger, champion, parameters=parameters, **arguments).outcome == "reject"


@pytest.mark.parametrize("labels", [[], [0, 1] * 10, [1] * 200])
@pytest.mark.parametrize("champion", [True, False])
def test_too_few_images_or_one_class_decide_nothing(labels, champion):
    labels_N = np.array(labels, dtype=int)
    challenger = answers(labels_N, np.ones(len(labels_N), bool)) if labels else np.zeros((0, 2))
    decision = decide(labels_N, challenger, 1 - challenger if champion else None)
    assert decision.outcome == "insufficient_evidence"
    assert decision.images_needed == (30 if len(labels) < 30 else None)
    assert not any(c.kind == "gain" for c in decision.checks)


def test_ids_are_compared_as_text():
    """A table read from CSV has numbers where the training record has texts."""
    labels_N = labels_of(400)
    models = pair(labels_N, 0.1, seed=13)
    for ids, seen in ((np.arange(400), {"3"}), (list(map(str, range(400))), {3})):
        decision = decide(labels_N, *models, image_ids_N=ids, champion_seen_ids=seen)
        assert decision.outcome == "reject"
        assert "has learned from 1 of the test images (3): " in decision.reason
    mixed = [0, "0", *range(2, 400)]
    assert "1 test image more than once in the table" in decide(labels_N, *models, image_ids_N=mixed).reason


def test_what_nobody_knows_of_is_refused_by_name():
    labels_N = labels_of(400)
    decision = decide(labels_N, *pair(labels_N, 0.1, seed=13), champion_seen_ids=None)
    assert "nobody knows from which images the champion has learned" in decision.reason


def test_no_slices_are_none():
    labels_N = labels_of(400)
    assert decide(labels_N, *pair(labels_N, 0.1, seed=13), slices=None).outcome == "promote"


@pytest.mark.parametrize(
    ("measured", "outcome"), [("4", "promote"), ("7.5", "reject"), ("fast", "open"), (-1.0, "open")]
)
def test_a_time_as_text_is_a_number_and_nonsense_is_no_time(measured, outcome):
    labels_N = labels_of(400)
    limit = {"acceptance": ["latency_ms_p95 <= 5"]}
    decision = decide(labels_N, *pair(labels_N, 0.1, seed=13), latency_ms_p95=measured, parameters=limit)
    assert decision.outcome == {"open": "insufficient_evidence"}.get(outcome, outcome)
    assert ("was not measured" in decision.reason) == (outcome == "open")
