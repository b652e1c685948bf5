"""Whose model a page shows is said in its head, as far as the run can know."""

import pytest

from card_facts import card_decision, card_facts
from visionpipe.reports.evaluation_page import evaluation_page
from visionpipe.reports.examination_page import examination_page
from visionpipe.reports.model_card import model_card
from visionpipe.reports.pages import decision_page, drift_page
from visionpipe.reports.standing import whose_pages
from visionpipe.reports.training_page import training_page

UNREGISTERED = {"challenger_version": None, "alias": None}
CASES = [
    ({}, "made champion by this run", "version 7, which this run made champion."),
    (
        {"alias": "challenger"},
        "waits for approval",
        "version 7, which won and waited for approval; version 6 stayed champion.",
    ),
    (
        {"outcome": "reject", **UNREGISTERED},
        "refused candidate",
        "the candidate of this run, which was refused; version 6 stayed champion.",
    ),
    (
        {"outcome": "insufficient_evidence", "champion_version": None, **UNREGISTERED},
        "candidate not promoted",
        "the candidate of this run, which was not promoted for want of evidence; there was no champion.",
    ),
]


@pytest.mark.parametrize(("changes", "head", "sentence"), CASES)
def test_the_pages_after_the_decision_say_what_became_of_the_candidate(changes, head, sentence, parse):
    decision = card_decision(wear=None, **changes)
    assert f"Promotion decision · {head}" in parse(decision_page(decision)).text
    assert f"Model card · {head} · 2026-01-06" in parse(model_card(card_facts(), decision).html).text
    assert whose_pages(decision) == f"The reports on the model show {sentence}"


def test_pages_of_a_model_that_was_not_judged_are_not_the_champions():
    decision = card_decision(wear=None) | {"weights_sha256": "a" * 64}
    assert "not judged yet" in whose_pages(decision, {"model": {"weights_sha256": "b" * 64}})
    for same in ({"model": {"weights_sha256": "a" * 64}}, None):
        assert "not judged" not in whose_pages(decision, same)


def test_the_pages_before_the_decision_claim_no_more_than_a_candidate(make_evaluation, training, parse):
    for page in (evaluation_page(make_evaluation(), []), training_page(training), examination_page({})):
        assert " · candidate of this run" in parse(page).text


def test_a_card_that_is_filed_with_its_version_says_nothing_of_its_fate_and_links_no_index(parse):
    page = parse(model_card(card_facts(), card_decision(filed_with_version=True)).html)
    assert "Model card · 2026-01-06" in page.text
    assert "index.html" not in [a["href"] for a in page.all("a")]


def test_drift_is_that_of_the_champion_of_its_day(drift_verdict, parse):
    assert "Drift report · version 6, champion then" in parse(drift_page(drift_verdict)).text


def test_a_drift_page_of_simulated_data_says_so(drift_verdict, parse):
    assert "Arrivals are simulated." not in parse(drift_page(drift_verdict)).text
    page = parse(drift_page(drift_verdict | {"demo_notice": "Arrivals are simulated."}))
    assert page.text.index("Arrivals are simulated.") < page.text.index("Adjusted p")


@pytest.mark.parametrize("page", ["decision", "drift", "evaluation of 2 classes", "training", "model card"])
def test_every_page_leads_back_to_the_index_first(page, all_pages, parse):
    assert parse(all_pages[page]).all("a")[0]["href"] == "index.html"
