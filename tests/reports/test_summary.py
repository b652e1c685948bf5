"""The table that ends a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from card_facts import card_decision, card_facts
from visionpipe.reports.summary import print_summary


@pytest.fixture
def printed(capsys, monkeypatch):
    """`printed(decision, evaluation)`: the table's text."""
    monkeypatch.setenv("COLUMNS", "160")

    def table(**made):
        print_summary(made, [])
        return capsys.readouterr().out

    return table


def test_the_champions_figure_stands_beside_the_challengers(printed):
    text = printed(decision=card_decision(), evaluation=card_facts()["evaluation"])
    assert "+0.034 (+0.010 to +0.058)" in text
    assert "balanced accuracy: challenger 0.860, champion v6 0.826" in text  # 0.860 less the gain


def test_models_that_answer_alike_have_the_same_figure(printed):
    (alike, *_) = card_decision()["checks"]
    decision = card_decision(checks=[{**alike, "value": 0.0, "low": None, "high": None}])
    text = printed(decision=decision, evaluation=card_facts()["evaluation"])
    assert "challenger 0.860, champion v6 0.860" in text


def test_without_a_champion_or_an_evaluation_there_is_nothing_to_set_beside(printed):
    first = card_decision(champion_version=None, checks=card_decision()["checks"][1:])
    assert "champion v" not in printed(decision=first, evaluation=card_facts()["evaluation"])
    assert "challenger 0" not in printed(decision=card_decision())


def test_what_is_answered_without_a_person_is_said(printed):
    evaluation = card_facts()["evaluation"]
    assert "automatic" not in printed(evaluation=evaluation)
    share = {"estimate": 0.6, "low": 0.5, "high": 0.7, "level": 0.95}
    some = evaluation | {"selective": {"deferral": {"n": 9, "coverage": share, "accuracy": share}}}
    text = printed(evaluation=some)
    assert "automatic" in text and "0.600 (0.500–0.700) of the photos, of which 0.600" in text
    model = evaluation["model"] | {"deferral_confidence": None, "all_deferred": "17 images are [too] few"}
    text = printed(evaluation=evaluation | {"model": model})
    assert "none of the photos, every photo is left to a person: 17 images are [too] few" in text
    none = {"estimate": 0.0, "low": 0.0, "high": 0.06, "level": 0.95}
    unsure = {"deferral": {"n": 0, "threshold": 0.8, "coverage": none, "accuracy": none | {"estimate": None}}}
    text = printed(evaluation=evaluation | {"selective": unsure})
    assert "0.000 (0.000–0.060) of the photos, no test image was answered without a person" in text


def scoring_summary(**other):
    counts = {"n_logged": 100, "n_deferred": 2, "n_learned_from": 0}
    figures = {"n": 40, "metrics": {}, "per_class": {}}
    return {"model_version": "3", **counts, "own_test": figures, "arrivals": None, **other}


def test_arrivals_that_the_model_learned_from_are_said_to_be_left_out(printed):
    said = "775 arrivals left out: the model learned from them"
    assert said in printed(scoring_summary=scoring_summary(n_learned_from=775))
    assert "left out" not in printed(scoring_summary=scoring_summary())


def test_arrivals_of_a_class_that_the_model_does_not_know_are_named(printed):
    accuracy = {"estimate": 0.5, "low": 0.4, "high": 0.6, "level": 0.95, "n": 100}
    figures = {"n": 100, "metrics": {"accuracy": accuracy}, "per_class": {}}
    summary = scoring_summary(own_test=figures)
    text = printed(scoring_summary={**summary, "arrivals": {**figures, "unknown_classes": {"cracked": 50}}})
    assert "50 of them of a class that the model does not know: cracked" in text


def test_a_folder_with_brackets_in_its_name_is_printed_whole(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    page = Path("/plant [old]/[/b]/index.html")
    print_summary({}, [page])
    assert str(page) in capsys.readouterr().out
