"""The index and the table that ends a run write their figures as the pages do."""

import pytest

from index_documents import DECISION, FOUND, MODEL, VALIDATION, documents
from visionpipe.metrics.slices import LOWER
from visionpipe.reports import wording
from visionpipe.reports.index import run_index
from visionpipe.reports.summary import print_summary

MISSING = {
    "estimate": None,
    "low": None,
    "high": None,
    "level": 0.95,
    "n": 60,
    "reason": "only class '[b]' occurs",
}
DRIFT = {"drifted": True, "reason": "Brightness is higher.", "model_version": "2"}
AUDIT = {"n_judged": 60, "n_issues": 4}


@pytest.mark.parametrize("accuracy", [FOUND, MISSING])
def test_the_index_writes_the_accuracy_as_every_page_does(accuracy):
    page = run_index(documents(evaluation={"n": 60, "metrics": {"accuracy": accuracy}, "model": MODEL}))
    assert f"60 test images, accuracy {wording.interval(accuracy)}" in page


def test_the_index_links_every_page_of_the_run(parse):
    page = parse(run_index(documents()))
    names = ["decision.html", "model_card.html", "evaluation.html", "training.html", "data_docs/index.html"]
    assert [a["href"] for a in page.all("a")] == names
    assert "timm/resnet18, trained: stages 4-5 and head, 12 epochs" in page.text


@pytest.mark.parametrize(
    ("document", "pages"),
    [
        ("examination", ["examination.html"]),
        ("drift", ["drift.html", "drift_evidently.html"]),
        ("label_audit", ["label_audit.html"]),
    ],
)
def test_a_report_is_linked_if_and_only_if_it_was_made(document, pages, parse):
    made = {"examination": {}, "drift": DRIFT, "label_audit": AUDIT}
    without = {a["href"] for a in parse(run_index(documents())).all("a")}
    with_it = {a["href"] for a in parse(run_index(documents(**{document: made[document]}))).all("a")}
    assert with_it - without == set(pages)
    assert without < with_it


@pytest.mark.parametrize(
    ("changes", "headline"),
    [
        ({}, "cells version 2 was made champion"),
        ({"alias": "challenger"}, "cells version 2 won and waited for approval"),
        (
            {"alias": None, "challenger_version": None},
            "cells: the candidate would be promoted, but nothing is registered",
        ),
        (
            {"outcome": "reject", "alias": None, "challenger_version": None},
            "cells: candidate refused, version 1 stayed champion",
        ),
        (
            {
                "outcome": "insufficient_evidence",
                "alias": None,
                "challenger_version": None,
                "champion_version": None,
            },
            "cells: not enough evidence, there was no champion yet",
        ),
    ],
)
def test_the_verdict_is_the_title(changes, headline):
    page = run_index(documents(decision=DECISION | changes))
    assert f"<h1>{headline}</h1>" in page


def test_drift_of_another_model_than_the_champion_of_the_run_is_said_to_be_so(parse):
    of_new, of_old = (
        parse(run_index(documents(drift=DRIFT | {"model_version": version}))).text for version in ("2", "1")
    )
    assert "champion after the run above" not in of_new
    assert "Of version 1; champion after the run above: version 2. Brightness is higher." in of_old


ALL_DEFERRED = {
    "n": 60,
    "metrics": {"accuracy": FOUND},
    "model": MODEL | {"deferral_confidence": None, "all_deferred": "no confidence was enough"},
}


def test_a_champion_that_leaves_all_to_a_person_is_not_celebrated(parse):
    some = {"threshold": 0.8, "n": 30, "coverage": FOUND, "accuracy": FOUND}
    quiet = ALL_DEFERRED | {"model": MODEL | {"deferral_confidence": 0.8}, "selective": {"deferral": some}}
    good, poor = (parse(run_index(documents(evaluation=each))) for each in (quiet, ALL_DEFERRED))
    heads = [next(h["class"] for h in page.all("header")) for page in (good, poor)]
    assert heads == ["card verdict good", "card verdict warn"]
    assert "Answered without a person 0.912 (0.881–0.938)" in good.text
    assert "Answered without a person none" in poor.text
    said = "every photo is left to a person: no confidence was enough"
    assert f"cells version 2 was made champion E{said[1:]}. Proven better." in poor.text
    assert f"0.912 (0.881–0.938); {said} No automatic answer" in poor.text
    assert "left to a person" not in good.text


def test_a_threshold_that_no_test_image_reached_leaves_not_every_photo_to_a_person(parse):
    none = {
        "threshold": 0.8,
        "n": 0,
        "coverage": {"estimate": 0, "low": 0, "high": 0.06},
        "accuracy": MISSING,
    }
    shy = ALL_DEFERRED | {"model": MODEL | {"deferral_confidence": 0.8}, "selective": {"deferral": none}}
    page = parse(run_index(documents(evaluation=shy)))
    assert next(h["class"] for h in page.all("header")) == "card verdict warn"
    assert "Answered without a person 0.000 (0.000–0.060)" in page.text
    said = "o test image was answered without a person: none reached the confidence of 0.800 that the model needs"
    assert f"made champion N{said}. Proven better." in page.text and f"; n{said} No automatic" in page.text
    assert "very photo" not in page.text


def test_figures_of_a_model_that_was_not_judged_do_not_stand_in_its_head(parse):
    decision = DECISION | {"weights_sha256": "f" * 64}
    text = parse(run_index(documents(evaluation=ALL_DEFERRED, decision=decision))).text
    assert (
        "Test accuracy" not in text
        and "left to a person" not in text.partition("Evaluated, and not judged")[0]
    )


def test_without_a_decision_the_index_links_what_there_is(parse):
    page = parse(run_index({"drift": DRIFT}))
    assert [a["href"] for a in page.all("a")] == ["drift.html", "drift_evidently.html"]
    assert "No report has been written yet." in parse(run_index({})).text


def test_the_last_table_of_a_run_writes_them_so_too(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    print_summary(
        {"decision": DECISION, "evaluation": {"n": 60, "metrics": {"accuracy": FOUND, "auroc": MISSING}}}, []
    )
    shown = capsys.readouterr().out
    assert "accuracy 0.912 (0.881–0.938), AUC — (only class '[b]' occurs)" in shown
    assert "gain in AUROC: +0.010 (−0.004 to +0.024)" in shown


@pytest.mark.parametrize(
    ("day", "said"), [("2026-01-06", "as of the run of 2026-01-06"), (None, "as of the last run that judged")]
)
def test_the_index_says_when_it_was_so_and_how_to_learn_what_is_so_now(day, said, parse):
    text = parse(run_index(documents(decision=DECISION | {"decided_on": day}))).text
    assert f"Reports · {said}" in text
    assert "The reports on the model show version 2, which this run made champion." in text
    now = "visionpipe trace models:/cells@champion names the champion of today."
    assert f"A later approval or rollback is not shown here; {now}" in text


def test_without_a_champion_the_index_names_no_command_that_would_fail(parse):
    nobody = {"champion_version": None, "challenger_version": None, "alias": None}
    decision = DECISION | {"outcome": "reject", **nobody}
    assert "visionpipe trace" not in parse(run_index(documents(decision=decision))).text


@pytest.mark.parametrize(
    ("name", "document", "title", "pill"),
    [
        ("validation", VALIDATION | {"warnings": ["Few of B."]}, "Data and labels", "1 warning"),
        (
            "examination",
            {"shortcuts": [{"name": "camera", "verdict": "predicts the label"}]},
            "Examination",
            "1 shortcut",
        ),
        ("label_audit", AUDIT, "Label audit", "4 doubtful"),
        (
            "evaluation",
            {
                "n": 60,
                "metrics": {"accuracy": FOUND},
                "model": MODEL,
                "per_class": {"a": {"recall": FOUND, "verdict": LOWER}},
                "worst_slice": {"name": "site is Linz", "accuracy": FOUND, "verdict": LOWER},
            },
            "Evaluation",
            "2 weak parts",
        ),
    ],
)
def test_a_report_with_a_warning_is_not_green_on_the_index(name, document, title, pill, parse):
    quiet, loud = (parse(run_index(documents(**changes))) for changes in ({}, {name: document}))
    assert "Warnings" not in quiet.text
    assert f"Warnings {title}" in loud.text and pill in loud.text
    assert "pill warn" in [span.get("class") for span in loud.all("span")]
