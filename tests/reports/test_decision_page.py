"""The page on the gate's verdict says how often the test images have decided, and speaks plainly of each check."""

from itertools import product

import numpy as np
import pytest

from card_facts import card_decision, card_facts
from gate_cases import decide, labels_of, pair
from visionpipe.promotion.gate import refuse
from visionpipe.promotion.wear import Comparison, wear_of
from visionpipe.reports.model_card import model_card
from visionpipe.reports.pages import decision_page
from visionpipe.stats.families import ProportionDifference, compare_family

IDS = [f"image{i}" for i in range(600)]


def judged(n_earlier, **parameters):
    earlier = [Comparison("2026-01-01", "2", frozenset(IDS), "reject")] * n_earlier
    labels_N = labels_of(600)
    return decide(
        labels_N,
        *pair(labels_N, 0.1, seed=1),
        slices={"site": np.array(["Ulm", "Graz"])[np.arange(600) % 2]},
        wear=wear_of(IDS, earlier, planned=12, alpha=0.025),
        parameters=parameters,
    ).as_dict()


@pytest.mark.parametrize(
    ("n_earlier", "told", "colours"),
    [
        (0, "Never before: all 600 are fresh. This is the first of 12 planned comparisons.", 1),
        (
            1,
            "This is comparison 2 of 12 planned. 0 of the 600 images are fresh; on average an image was used 1 time",
            1,
        ),
        (5, "This is comparison 6 of 12 planned.", 1),
        (
            12,
            "these images are worn out, and nothing was judged on them. 55 fresh test images allow one more",
            0,
        ),
    ],
)
def test_the_page_says_how_often_the_test_images_have_decided(n_earlier, told, colours, parse):
    page = parse(decision_page(judged(n_earlier)))
    assert told in page.text
    boxes = [rect["fill"] for rect in page.all("rect")]
    assert len(boxes) == 12
    assert boxes.count("#1f5f99") == colours
    if colours:
        assert boxes.index("#1f5f99") == n_earlier


def test_a_verdict_that_did_not_ask_about_wear_shows_nothing_of_it(decision, parse):
    assert "How often these test images" not in parse(decision_page(decision)).text


def test_each_check_says_what_it_asks_and_its_name_once(parse):
    text = parse(decision_page(judged(0, acceptance=["recall[defective] >= 0.5"]))).text
    for question in (
        "Is it better?", "Is anything worse?", "Is it good enough?", "Are the images new to it?",
        "Can it be judged?", "May the images decide again?",
    ):  # fmt: skip
        assert question in text
    assert text.count("recall[defective] >= 0.5") == 1
    assert "Youden's J of a class: the share of its images that are found" in text


def test_a_comparison_that_could_not_be_made_is_a_page_too(parse):
    refused = refuse(
        "champion can be read",
        "champion cells v3 cannot be read: weights.safetensors is missing.",
        n_images=40,
        champion_version="3",
        metric="accuracy",
    )
    assert (refused.outcome, refused.looked) == ("reject", False)
    text = parse(decision_page(refused.as_dict())).text
    assert "Keep the champion" in text
    assert "Not promoted: champion cells v3 cannot be read: weights.safetensors is missing." in text
    assert "version 3" in text


def test_the_page_says_plainly_what_is_not_protected(parse):
    labels_N = labels_of(600)
    sites_N = np.array([f"site{k % 18}" for k in range(600)])
    few = decide(labels_N, *pair(labels_N, 0.1, seed=1), slices={"site": sites_N}).as_dict()
    n = sum(c["kind"] == "non_inferiority" and c["passed"] is None for c in few["checks"])
    assert n > 12
    text = parse(decision_page(few)).text
    assert (
        f"too few test images of these {n} classes and slices to show that the challenger loses nothing"
        in text
    )
    assert "At most a large loss would have stopped it" in text
    assert f"And {n - 12} more" in text
    assert f"{n} classes and slices have too few images to judge" in few["reason"]
    enough = judged(0)
    assert all(c["passed"] for c in enough["checks"])
    assert "Not protected" not in parse(decision_page(enough)).text


def test_the_page_does_not_promise_that_an_interval_right_of_its_margin_passes(parse):
    """Holm's steps: two members, the clearer of which does not pass."""
    shapes = list(product((2, 4, 6), (2, 4, 6), (150, 200, 260)))
    held = [
        found
        for pair_of_shapes in product(shapes, shapes)
        for found in compare_family(
            [ProportionDifference(b, c, n, planned=0.1 * n) for b, c, n in pair_of_shapes],
            margin=0.05,
            level=0.95,
        )
    ]
    assert any(f.low > -0.05 and f.p_inferior > 0.025 for f in held)
    assert not any(f.low < -0.05 and f.p_inferior <= 0.025 for f in held)
    text = parse(decision_page(judged(0))).text
    assert "No class or slice passes whose interval reaches beyond its margin." in text
    assert "where one does not pass, no less clear one does" in text


@pytest.mark.parametrize("champion", ["6", None])
def test_a_winner_that_waits_for_approval_is_not_called_promoted(champion, decision, parse):
    waiting = {
        **decision,
        "outcome": "promote",
        "alias": "challenger",
        "champion_version": champion,
        "checks": [],
    }
    page = parse(decision_page(waiting))
    assert "waits for approval (visionpipe approve)" in page.text
    assert "Promote" not in page.text


def test_a_decision_that_needs_very_many_images_says_more_than_a_million(decision, parse):
    text = parse(decision_page(decision | {"images_needed": 7_343_232})).text
    assert "more than 1 million needed to decide" in text


def test_a_challenger_that_leaves_all_to_a_person_is_said_to_do_so(decision, parse):
    assert "left to a person" not in parse(decision_page(decision)).text
    text = parse(decision_page(decision | {"left_to_a_person": "Every photo is: 17 are too few"})).text
    said = "With the challenger every photo is: 17 are too few."
    assert text.index(said) < text.index("All checks")


def test_the_confidence_of_gain_and_limits_is_told_where_it_is_not_that_of_the_evaluation(parse):
    first, third = (parse(decision_page(judged(n))).text for n in (0, 2))
    why = "not that of the evaluation: all 12 planned comparisons share one risk"
    assert f"has 97.76 % confidence, {why}" in first
    assert f"has 99.75 % confidence, {why}" in third
    assert "not that of the evaluation" not in parse(decision_page(judged(12))).text


@pytest.mark.parametrize(("spent", "told"), [({"spent": 0.0112}, True), ({}, False)])
def test_so_it_is_on_the_model_card(spent, told, parse):
    decision = card_decision()
    decision["wear"] = decision["wear"] | spent
    text = parse(model_card(card_facts(), decision).html).text
    assert "which a model must meet with the end of its interval." in text
    assert ("It has 97.76 % confidence, not that of the figures below" in text) == told


def test_a_card_of_a_model_that_leaves_all_to_a_person_is_not_green(parse):
    facts = card_facts()
    good = parse(model_card(facts, card_decision()).html)
    facts["evaluation"]["model"] |= {"deferral_confidence": None, "all_deferred": "17 photos are too few"}
    poor = parse(model_card(facts, card_decision()).html)
    assert [page.all("header")[0]["class"] for page in (good, poor)] == [
        "card verdict good",
        "card verdict warn",
    ]
    assert "Answered without a person none" in poor.text
    assert "Every photo is left to a person: 17 photos are too few." in poor.text
