"""The page on the gate's verdict says how often the test images have decided, and speaks plainly of each check."""

import numpy as np
import pytest

from gate_cases import decide, labels_of, pair
from visionpipe.promotion.gate import refuse
from visionpipe.promotion.wear import Comparison, wear_of
from visionpipe.reports.pages import decision_page

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
