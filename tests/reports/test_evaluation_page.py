"""The page on an evaluation tells what mistakes cost, and what is true where there is none."""

import re

import pytest

from card_facts import card_decision, card_facts
from visionpipe.reports.evaluation_page import evaluation_page
from visionpipe.reports.model_card import model_card


def found(estimate):
    return {"estimate": estimate, "low": estimate / 2, "high": 2 * estimate, "level": 0.95}


@pytest.fixture
def costly(make_evaluation):
    """Of 42 defective cells 2 were passed, at 10 each; of 43 functional ones 3 were thrown away, at 1 each."""
    evaluation = make_evaluation(2, ["defective", "functional"])
    costs = {"matrix": [[0.0, 10.0], [1.0, 0.0]], "achieved": found(0.27), "likeliest": found(0.5)}
    return evaluation | {"confusion": [[40, 2], [3, 40]], "costs": costs}


def test_the_costs_and_what_mistakes_have_cost_stand_on_the_page(costly, parse):
    page = parse(evaluation_page(costly, []))
    assert (
        "They cost 0.270 (0.135–0.540) an image; the likeliest class, always given, would have cost 0.500"
        in (page.text)
    )
    assert "Cost in all defective functional 10 2 20 functional defective 1 3 3" in page.text
    assert "#costs" in [a["href"] for a in page.all("a")]
    assert "promotion.costs" in page.text
    assert "mistakes cost" not in parse(evaluation_page(costly | {"costs": None}, [])).text


def test_a_dear_mistake_that_did_not_occur_is_listed_and_a_usual_one_is_not(costly, parse):
    costly["confusion"] = [[42, 0], [0, 43]]
    text = parse(evaluation_page(costly, [])).text
    assert "Cost in all defective functional 10 0 0" in text
    assert "functional defective" not in text


def test_the_model_card_tells_them_too(costly):
    facts = card_facts()
    facts["evaluation"] |= {"costs": costly["costs"]}
    card = model_card(facts, card_decision())
    for text in (card.html, card.markdown):
        said = "they cost 0.270 (0.135–0.540) an image, where the likeliest class would have cost 0.500"
        assert said in re.sub(r"\s+", " ", text)


def test_without_a_mistake_there_is_no_curve_to_draw_and_no_claim_that_there_never_will_be_one(
    make_evaluation, parse
):
    evaluation = make_evaluation() | {"confusion": [[40, 0], [0, 41]]}
    evaluation["metrics"]["accuracy"] = {"estimate": 1.0, "low": 0.955, "high": 1.0, "level": 0.95}
    some = evaluation["selective"]
    flawless = some | {"curve": [[0.5, 0.0], [1.0, 0.0]], "deferral": None}
    page = parse(evaluation_page(evaluation | {"selective": flawless}, []))
    assert "No test image was given a wrong label" in page.text
    assert "up to 4.5 % of more such images may be (95 % confidence)" in page.text
    assert "#alone" in [a["href"] for a in page.all("a")]
    pictures = parse(evaluation_page(evaluation, [])).all("img")
    assert len(page.all("img")) == len(pictures) - 1
    assert "A confidence that tells nothing" not in page.text
