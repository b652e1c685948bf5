"""What the pages say, also when parts are missing."""

import copy
import re

import numpy as np
import pytest

from visionpipe.errors import VisionpipeError
from visionpipe.reports import pages
from visionpipe.reports.evaluation_page import MAX_PICTURED_MISTAKES, evaluation_page

STANDING = {
    "promote": "candidate of this run",
    "reject": "refused candidate",
    "insufficient_evidence": "candidate not promoted",
}


def test_an_evaluation_says_estimate_and_interval_and_counts(make_evaluation, parse):
    evaluation = make_evaluation(2)
    evaluation["metrics"]["accuracy"] = {"estimate": 0.9124, "low": 0.8806, "high": 0.9381, "level": 0.9}
    page = parse(evaluation_page(evaluation, []))
    n = sum(map(sum, evaluation["confusion"]))
    assert "Accuracy 0.912 (0.881–0.938)" in page.text
    assert f"On {n} test images" in page.text
    assert "90 % confidence" in page.text


def test_a_metric_without_estimate_gives_its_reason_and_never_nan(make_evaluation, parse):
    evaluation = make_evaluation(2)
    evaluation["metrics"] = {
        "accuracy": {"estimate": None, "reason": "the test set is empty"},
        "auroc": {"estimate": float("nan"), "low": float("nan"), "high": 1.0},
        "ece": {"estimate": None},
        "n": 0,
    }
    text = parse(evaluation_page(evaluation, [])).text
    assert "not judged: the test set is empty" in text
    assert not re.search(r"\b(nan|None|inf)\b", text)


def test_an_evaluation_needs_only_title_classes_metrics_and_confusion(parse):
    bare = {"title": "Bare", "classes": ["a", "b"], "metrics": {}, "confusion": [[0, 0], [0, 0]]}
    page = parse(evaluation_page(bare, []))
    assert "No mistake to show." in page.text
    assert not page.all("img")


@pytest.mark.parametrize(
    "part", ["model", "data", "per_class", "reliability", "selective", "slices", "notes"]
)
def test_any_optional_part_may_be_missing_none_or_empty(part, make_evaluation):
    small = {"title": "Small", "classes": ["a", "b"], "metrics": {}, "confusion": [[4, 1], [0, 5]]}
    given = make_evaluation(names=["a", "b"])[part]
    without = evaluation_page(small, [])
    assert evaluation_page(small | {part: None}, []) == without
    assert evaluation_page(small | {part: type(given)()}, []) == without
    assert len(evaluation_page(small | {part: given}, [])) > len(without)


@pytest.mark.parametrize(
    ("path", "links"),
    [("training.html", ["index.html", "training.html"]), (None, ["index.html"]), ("//evil", ["index.html"])],
)
def test_an_evaluation_links_how_the_model_was_trained(path, links, make_evaluation, parse):
    page = parse(evaluation_page(make_evaluation() | {"training_report": path}, []))
    assert [a["href"] for a in page.all("a") if not a["href"].startswith("#")] == links


@pytest.mark.parametrize("n_classes", [2, 9, 30])
def test_every_class_stands_in_the_tables(n_classes, make_evaluation, parse):
    page = parse(evaluation_page(make_evaluation(n_classes), []))
    assert len([i for i in page.all("img") if "Confusion matrix" in i["alt"]]) == 1
    for i in range(n_classes):
        assert page.texts.count(f"class {i}") >= 2  # per-class table, data table


def test_beyond_50_classes_the_most_mistaken_are_drawn_and_the_tables_hold_all(make_evaluation, parse):
    evaluation = make_evaluation(53)
    evaluation["confusion"] = np.eye(53, dtype=int).tolist()
    evaluation["confusion"][52][51] = 9
    page = parse(evaluation_page(evaluation, []))
    assert "Drawn: the 50 of 53 classes with the most mistakes" in page.text
    assert page.texts.count("class 49") >= 2
    assert "class 52 class 51 9" in page.text


@pytest.mark.parametrize(
    ("n_classes", "named"), [(2, "0.5 is guessing. Positive class: class 1."), (3, "Each class in turn is")]
)
def test_a_ranking_metric_names_its_positive_class(n_classes, named, make_evaluation, parse):
    assert named in parse(evaluation_page(make_evaluation(n_classes), [])).text


def test_recall_and_precision_stand_in_the_class_table_only(make_evaluation, parse):
    evaluation = make_evaluation(2)
    evaluation["metrics"] |= {"recall[class 0]": {"estimate": 0.123}, "recall[other]": {"estimate": 0.456}}
    text = parse(evaluation_page(evaluation, [])).text
    assert "Recall[class 0]" not in text
    assert "Recall[other]" in text


def test_counts_from_numpy_are_taken(make_evaluation):
    evaluation = make_evaluation(3)
    same = evaluation_page(evaluation, [])
    assert evaluation_page(evaluation | {"confusion": np.array(evaluation["confusion"])}, []) == same


def test_the_gallery_shows_the_most_confident_mistakes_first_and_says_how_many_there_are(
    make_evaluation, make_mistakes, parse
):
    mistakes = make_mistakes(75)
    mistakes[10]["confidence"] = None
    page = parse(evaluation_page(make_evaluation(), mistakes))
    said = [float(c) for c in re.findall(r"functional \( ?([\d.]+) % ?\)", page.text)]
    assert len(said) == MAX_PICTURED_MISTAKES
    assert said == sorted(said, reverse=True)
    assert "The 60 most confident of 75 mistakes" in page.text
    assert [m["confidence"] for m in make_mistakes(75)] == sorted(m["confidence"] for m in make_mistakes(75))


def test_slices_are_listed_lowest_first(make_evaluation, parse):
    text = parse(evaluation_page(make_evaluation(), [])).text
    assert text.index("0.710 (") < text.index("0.930 (") < text.index("2 images")


def test_the_worst_slice_is_named_and_verdicts_stand_where_they_are_needed(make_evaluation, parse):
    text = parse(evaluation_page(make_evaluation(), [])).text
    assert "Weakest: module is B , accuracy 0.710 (0.680–0.740) on 21 images." in text
    assert text.count("Lower than the rest") == 4  # worst slice, its row, a class within it; what it means
    assert text.count("too few images to judge") == 1
    assert "no shortfall found" not in text
    assert "module is B Recall of class 0 0.410" in text
    assert "module is A and site is Linz Accuracy 0.870" in text


def test_a_class_with_too_few_images_is_said_to_have_them(make_evaluation, parse):
    evaluation = make_evaluation()
    evaluation["per_class"]["class 1"]["verdict"] = "too few images to judge"
    text = parse(evaluation_page(evaluation, [])).text
    assert "class 1 0.900 (0.870–0.930) too few images to judge" in text


def test_of_many_pairs_the_weakest_are_listed_and_all_are_counted(make_evaluation, parse):
    evaluation = make_evaluation()
    evaluation["slice_pairs"] = [evaluation["slice_pairs"][1] | {"name": f"pair {i}"} for i in range(33)]
    text = parse(evaluation_page(evaluation, [])).text
    assert "The 20 weakest of 33." in text
    assert "pair 19" in text
    assert "pair 20" not in text


def test_deferral_is_told_in_a_sentence(make_evaluation, parse):
    evaluation = make_evaluation()

    def said(deferral):
        page = evaluation_page(
            evaluation | {"selective": evaluation["selective"] | {"deferral": deferral}}, []
        )
        return parse(page).text

    found = said(evaluation["selective"]["deferral"])
    assert "when its confidence is below 0.830. So it answers 71.2 % of the test images itself" in found
    assert "(68.2 % to 74.2 %) and is right on 95.3 % of those (92.3 % to 98.3 %)" in found
    assert "A confidence that tells nothing would have 0.100" in found
    none = {"estimate": 0.0, "low": 0.0, "high": 0.012}
    nobody = {**dict.fromkeys(none), "reason": "every test image is left to a person"}
    found = said({"threshold": 0.83, "n": 0, "coverage": none, "accuracy": nobody})
    assert "0.000 (0.000–0.012)" in found and "No test image was answered without a person: none" in found
    evaluation["model"] = {"deferral_confidence": None}
    assert "Every photo is left to a person: " in said(None)


def test_the_reliability_diagram_says_whose_probability_it_judges(make_evaluation, parse):
    text = parse(evaluation_page(make_evaluation(), [])).text
    assert "The diagram judges the likeliest class" in text
    assert "the accuracy on this page judges the label that was given" in text


@pytest.mark.parametrize(
    ("change", "named"),
    [({"confusion": [[1, 2]]}, "confusion"), ({"confusion": [[1], [2]]}, "confusion"), ({}, "classes")],
)
def test_an_evaluation_that_cannot_be_shown_is_refused_by_name(change, named, make_evaluation):
    evaluation = make_evaluation(2) | change
    if not change:
        del evaluation["classes"]
    with pytest.raises(VisionpipeError, match=named):
        evaluation_page(evaluation, [])


@pytest.mark.parametrize(
    ("outcome", "champion", "said"),
    [
        ("promote", "6", "Promote the challenger"),
        ("promote", None, "Promote the challenger"),
        ("reject", "6", "Keep the champion"),
        ("reject", None, "Keep the champion"),
        ("insufficient_evidence", "6", "Keep the champion: not enough evidence"),
    ],
)
def test_a_decision_says_first_what_was_decided_and_why(outcome, champion, said, decision, parse):
    decision |= {"outcome": outcome, "champion_version": champion, "images_needed": 2900}
    text = parse(pages.decision_page(decision)).text
    assert f" · {STANDING[outcome]} {said} {decision['reason']}" in text
    assert "about 2,900 needed to decide" in text
    assert "+0.034 (+0.014 to +0.054)" in text


@pytest.mark.parametrize(
    ("outcome", "said"), [("promote", "Promote: a first champion"), ("reject", "Do not promote")]
)
def test_a_decision_without_champion_speaks_of_none(outcome, said, decision, parse):
    checks = [check for check in decision["checks"] if check["kind"] == "acceptance"]
    decision |= {"outcome": outcome, "champion_version": None, "checks": checks}
    assert f" · {STANDING[outcome]} {said}" in parse(pages.decision_page(decision)).text


def test_a_decision_names_what_failed_before_what_passed(decision, parse):
    text = parse(pages.decision_page(decision)).text
    table = text[text.index("All checks") :]
    order = ["paired cluster bootstrap", "accuracy[module=12]", "latency_ms_p95", "accuracy[module=3]"]
    places = [table.index(name) for name in order]
    assert places == sorted(places)
    assert "What stood against it accuracy[module=12] 30 images" in text
    assert "−0.020 (−0.070 to +0.030) −0.050" in table
    assert "4 of 6 1 open" in text


def test_without_evidence_a_decision_names_what_is_open_and_stands_in_the_way(decision, parse):
    decision["outcome"] = "insufficient_evidence"
    decision["checks"] = [check | {"passed": None, "detail": ""} for check in decision["checks"][1:4]]
    decision["checks"][2]["blocking"] = False
    text = parse(pages.decision_page(decision)).text
    assert "What is still open accuracy +0.034 (+0.014 to +0.054), limit 0.000 McNemar Challenger" in text
    assert "0 of 3 2 open, 1 not judged" in text


def test_a_challenger_without_version_is_called_unregistered_only_if_it_lost(decision, parse):
    del decision["challenger_version"]
    assert "not registered" not in parse(pages.decision_page(decision)).text
    assert "not registered" in parse(pages.decision_page(decision | {"outcome": "reject"})).text


def test_a_decision_without_checks_or_numbers_is_still_a_page(parse):
    bare = {"outcome": "insufficient_evidence", "reason": "The champion does not load.", "checks": []}
    page = parse(pages.decision_page(bare))
    assert "No check was made." in page.text
    assert not page.all("img")


def test_an_unknown_outcome_is_refused(decision):
    with pytest.raises(VisionpipeError, match="'maybe' is none of promote, reject, insufficient_evidence"):
        pages.decision_page(decision | {"outcome": "maybe"})


def test_drift_that_could_not_be_judged_is_not_reported_as_none(drift_verdict, parse):
    heads = {
        drifted: parse(pages.drift_page(drift_verdict | {"drifted": drifted})).text[:80]
        for drifted in (True, False, None)
    }
    assert "production images have changed" in heads[True]
    assert "No drift found" in heads[False]
    assert "Too little to judge drift" in heads[None]


def test_a_drift_page_puts_drifted_features_first(drift_verdict, parse):
    page = parse(pages.drift_page(drift_verdict))
    assert page.text.index("brightness is higher") < page.text.index("sharpness is higher")
    plots = [i["alt"] for i in page.all("img") if i["alt"].startswith("Distribution")]
    assert [alt.split()[2] for alt in plots] == ["Brightness", "Sharpness", "Predicted"]
    assert "2024-04-01 00:00 to 2024-06-30 23:10" in page.text
    assert [a["href"] for a in page.all("a")] == ["index.html", "drift/evidently%20report.html"]
    left_out = "Unknown class 3,000 rows Image ID is missing 1 row Parquet file cannot be read 1 file"
    assert left_out in page.text


def test_a_drift_page_needs_only_verdict_reason_and_tests(parse):
    page = parse(pages.drift_page({"drifted": None, "reason": "Too few rows.", "tests": [], "window": None}))
    assert "Too few rows." in page.text
    assert "No test was made." in page.text


def test_an_index_links_every_report_and_shows_the_headline(links, headline, parse):
    page = parse(pages.index_page(links, headline))
    assert [a["href"] for a in page.all("a")] == ["evaluation.html", "promotion/decision.html"]
    assert "0.912 (0.882–0.942)" in page.text
    assert "No report has been written yet." in parse(pages.index_page([], {"title": "Reports"})).text


def test_inputs_are_left_as_they_were(make_evaluation, decision, drift_verdict):
    for page, value in [
        (lambda e: evaluation_page(e, []), make_evaluation()),
        (pages.decision_page, decision),
        (pages.drift_page, drift_verdict),
    ]:
        before = copy.deepcopy(value)
        page(value)
        assert value == before
