"""What is newer than the verdict stands on the index apart from the run that came to it."""

import re

import pytest

from index_documents import DATED, DECISION, FAILED, FOUND, MODEL, NEWER, VALIDATION, documents
from visionpipe.reports.index import run_index


def test_data_that_failed_are_the_headline_and_the_other_pages_are_of_an_earlier_run(parse):
    page = parse(run_index(documents(validation=FAILED, decision=DECISION | {"decided_on": "2026-01-06"})))
    assert "Validation failed: nothing was trained Not met by the data: 1 expectation." in page.text
    assert "The reports on the model show version 2, which the run of 2026-01-06 made champion." in page.text
    assert "models:/cells@champion names the champion of today" in page.text
    assert "as of the run" not in page.text
    places = [
        page.text.index(f"{words} ") for words in ("The data that failed", "An earlier run, of 2026-01-06")
    ]
    assert places[0] < page.text.index("Data and labels") < places[1] < page.text.index("Model card")
    assert page.all("a")[0]["href"] == "data_docs/index.html"


def test_data_that_failed_before_there_was_a_model_tell_of_no_earlier_run(parse):
    page = parse(run_index({"validation": FAILED}))
    assert "Validation failed: nothing was trained" in page.text
    assert "earlier run" not in page.text


def test_a_training_that_was_not_evaluated_stands_apart_from_the_run_before(parse):
    decision = DECISION | {"decided_on": "2026-01-06"}
    page = parse(run_index(documents(training_summary=NEWER, decision=decision)))
    assert page.all("a")[0]["href"] == "training.html"
    new, old = (
        page.text.index(f"{words} ")
        for words in ("Trained since, and not evaluated", "An earlier run, of 2026-01-06")
    )
    assert new < page.text.index("12 epochs, started 2026-02-03 10:20 UTC Not evaluated") < old
    assert old < page.text.index("Evaluation")
    assert "cells version 2 was made champion" in page.text
    assert (
        "A candidate was trained since, which the training report alone shows. The other reports on the model show "
        "version 2, which this run made champion." in page.text
    )


RULE = {"deferral_confidence": 0.8, "decision": {"costs_KK": None}}


@pytest.mark.parametrize(
    ("again", "is_newer"),
    [
        (RULE, False),
        (RULE | {"deferral_confidence": 0.9}, True),
        (RULE | {"decision": {"costs_KK": [[0, 1], [2, 0]]}}, True),
        ({"deferral_confidence": 0.8}, False),  # of an earlier version, which knew no decision
        ({}, False),
    ],
)
def test_the_same_weights_are_the_same_model_only_with_the_same_settings(again, is_newer, parse):
    evaluation = {"n": 60, "metrics": {"accuracy": FOUND}, "model": MODEL | RULE}
    text = parse(run_index(documents(evaluation=evaluation, training_summary={"model": MODEL | again}))).text
    assert ("Trained since, and not evaluated" in text) == ("was trained since" in text) == is_newer
    judged = parse(
        run_index(documents(evaluation=evaluation, decision=DECISION | {"model": MODEL | again}))
    ).text
    assert ("not judged yet" in judged) == ("Test accuracy" not in judged) == is_newer


def test_a_training_before_any_evaluation_is_the_headline(parse):
    text = parse(run_index({"training_summary": NEWER, "validation": VALIDATION})).text
    assert "A model was trained, and not evaluated No model has been judged here yet." in text
    assert "earlier run" not in text
    known = {"training_summary": NEWER, "evaluation": {"n": 60, "metrics": {"accuracy": FOUND}, **NEWER}}
    assert "not evaluated" not in parse(run_index(known)).text


def test_data_that_failed_and_a_newer_training_each_stand_apart(parse):
    page = parse(run_index(documents(validation=FAILED, training_summary=NEWER)))
    assert [a["href"] for a in page.all("a")][:3] == [
        "data_docs/index.html",
        "training.html",
        "decision.html",
    ]


def grouped(found):
    """Return the pages that the index links, by the heading under which they stand."""
    _, *parts = re.split("<h2>(.*?)</h2>", run_index(found))
    return {
        title: re.findall('<li><div><a href="(.*?)"', links)
        for title, links in zip(parts[::2], parts[1::2], strict=True)
    }


JUDGED, DATA = ["decision.html", "model_card.html"], ["data_docs/index.html"]
EARLIER, VALIDATED = "An earlier run, of 2026-01-06", "The data as last validated"
UNJUDGED = {"evaluation": {"n": 60, "metrics": {"accuracy": FOUND}, **NEWER}, "examination": {**NEWER}}


def test_data_that_were_validated_before_a_newer_training_are_not_those_of_the_verdict():
    assert grouped(documents(training_summary=NEWER, decision=DATED)) == {
        "Trained since, and not evaluated": ["training.html"],
        VALIDATED: DATA,
        EARLIER: [*JUDGED, "evaluation.html"],
    }


@pytest.mark.parametrize(
    ("training", "apart"),
    [(MODEL, {"Trained since, and not evaluated": ["training.html"]}), (NEWER["model"], {})],
)
def test_an_evaluation_that_was_not_judged_is_not_that_of_the_verdict(training, apart):
    pages = ["evaluation.html", "examination.html", *([] if apart else ["training.html"])]
    assert grouped(documents(training_summary={"model": training}, decision=DATED, **UNJUDGED)) == {
        **apart,
        "Evaluated, and not judged": pages,
        VALIDATED: DATA,
        EARLIER: JUDGED,
    }


def test_an_examination_that_a_broken_off_evaluation_left_is_that_of_the_verdict():
    left = UNJUDGED | {"training_summary": NEWER, "examination": {"model": MODEL}}
    assert grouped(documents(decision=DATED, **left))[EARLIER] == [*JUDGED, "examination.html"]


def test_a_training_before_data_that_failed_was_not_of_them(parse):
    found = documents(training_summary=NEWER, decision=DATED, validation=FAILED)
    assert grouped(found) == {
        "The data that failed": DATA,
        "Trained before these data, and not evaluated": ["training.html"],
        EARLIER: [*JUDGED, "evaluation.html"],
    }
    assert (
        "A candidate was trained before these data, which the training report alone shows. The other reports on the "
        "model show version 2, which the run of 2026-01-06 made champion." in parse(run_index(found)).text
    )
    text = parse(run_index(found | UNJUDGED)).text
    assert "The reports on the model show a candidate that was not judged yet" in text


def test_a_new_head_alone_is_not_said_to_have_been_trained_for_no_epochs(parse):
    probe = MODEL | {"trained_stages": "head", "epochs": 0}
    text = parse(run_index(documents(training_summary={"model": probe}))).text
    assert "trained: head" in text and "0 epochs" not in text


def test_one_run_is_one_group():
    [(title, pages)] = grouped(documents(decision=DATED)).items()
    assert title == "From photos to a verdict"
    assert pages == [*JUDGED, "evaluation.html", "training.html", *DATA]
