"""Numbers are written one way, and never in a way that can be misread."""

import doctest

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from visionpipe.metrics.classification import average_precision
from visionpipe.reports import canvas, findings, rendering, wording
from visionpipe.reports.automation import automatic_share, left_to_a_person
from visionpipe.reports.model_facts import model_facts


@pytest.mark.parametrize("module", [canvas, findings, rendering, wording])
def test_examples_in_the_docstrings_hold(module):
    found = doctest.testmod(module)
    assert found.attempted
    assert not found.failed


def test_an_interval_below_zero_is_written_with_to():
    assert wording.interval({"estimate": -0.01, "low": -0.02, "high": 0.0}) == "−0.010 (−0.020 to 0.000)"


def test_an_interval_uses_the_same_digits_for_its_three_numbers():
    assert wording.interval({"estimate": 9.5, "low": 8.0, "high": 12.25}) == "9.50 (8.00–12.25)"
    assert wording.interval({"estimate": 0.0004, "low": 0.0001, "high": 0.001}) == "0.00040 (0.00010–0.00100)"


def test_a_number_that_rounds_to_zero_has_no_sign():
    assert wording.number(-0.0, signed=True) == "0.000"
    assert wording.number(-1e-9, signed=True, decimals=3) == "0.000"


@pytest.mark.parametrize(
    ("value", "share", "figure"),
    [
        (0.0, "0.0\u00a0%", "0.000"),
        (0.0001, "< 0.1\u00a0%", "0.00010"),
        (-0.00001, "> −0.1\u00a0%", "−0.00001"),
        (1e-9, "< 0.1\u00a0%", "< 0.00001"),
        (-1e-9, "> −0.1\u00a0%", "> −0.00001"),
        (0.0005, "0.1\u00a0%", "0.00050"),
        (-0.02, "−2.0\u00a0%", "−0.020"),
    ],
)
def test_only_nothing_at_all_is_written_as_zero(value, share, figure):
    assert wording.percent(value) == wording.percent(np.float64(value)) == share
    assert wording.number(value) == figure


def test_an_interval_of_next_to_nothing_is_not_written_as_zero():
    assert wording.interval({"estimate": 1e-9, "low": 0.0, "high": 2e-6}) == "< 0.00001 (0.000–< 0.00001)"
    assert wording.interval({"estimate": 0.0, "low": 0.0, "high": 0.0}) == "0.000 (0.000–0.000)"
    tiny = {"estimate": -1e-9, "low": -1e-6, "high": 1e-9}
    assert wording.interval(tiny, signed=True) == "> −0.00001 (> −0.00001 to < +0.00001)"


@pytest.mark.parametrize("nothing", [None, float("nan"), float("inf"), "0.5", True])
def test_what_is_no_number_is_a_dash(nothing):
    for write in (wording.number, wording.p_value, wording.percent):
        assert write(nothing) == "—"


def test_numbers_of_numpy_are_numbers():
    assert wording.number(np.float32(0.5)) == "0.500"
    assert wording.number(np.int64(1234)) == "1,234"
    assert wording.fact(np.float64(0.25)) == "0.25"


def test_several_confidence_levels_are_all_named():
    assert wording.level([{"level": 0.95}, {"level": 0.9}, None]) == "90\u00a0% or 95\u00a0%"


@pytest.mark.parametrize(
    ("n", "noun", "said"), [(1, "image", "1 image"), (0, "image", "0 images"), (2, "class", "2 classes")]
)
def test_a_count_takes_the_singular_of_one_only(n, noun, said):
    assert wording.counted(n, noun) == said


def test_a_model_of_one_pass_and_one_epoch_is_told_of_in_the_singular():
    facts = model_facts(
        {"mc_dropout_passes": 1, "epochs": 1, "trained_stages": "head", "weights": "none"}, []
    )
    assert facts["A prediction is the mean of"] == "1 pass with dropout"
    assert facts["Trained"] == "head, 1 epoch, from none weights"


def test_ranking_metrics_name_their_positive_class_or_how_they_are_averaged():
    assert "Positive class: b." in wording.meaning_of("auroc", ["a", "b"])
    assert "Each class in turn" in wording.meaning_of("average_precision", ["a", "b", "c"])
    assert "ositive class" not in wording.meaning_of("accuracy", ["a", "b"])


def test_the_positive_class_of_the_words_is_that_of_the_figures():
    labels_N, p_N = np.array([0, 0, 0, 1]), np.array([0.9, 0.8, 0.1, 0.7])
    found = average_precision(labels_N, np.column_stack([1 - p_N, p_N]))
    assert found == pytest.approx(average_precision_score(labels_N, p_N))  # of class 1, the second


def test_a_million_images_are_as_many_as_is_worth_saying():
    assert wording.images_needed(1_000_000) == "about 1,000,000"
    assert wording.images_needed(1_000_001) == "more than 1 million"


def test_a_photo_that_came_with_a_review_is_called_by_its_id():
    image_id = "ab" * 32
    assert rendering.photo_name(image_id, f"{image_id}/ann/2026-04-01T00:00:00+00:00") == "ab" * 6
    assert rendering.photo_name(image_id, float("nan")) == rendering.photo_name(image_id) == "ab" * 6
    assert rendering.photo_name(image_id, "C:\\photos\\7.png") == "7.png"


@pytest.mark.parametrize(
    ("of_calibration", "why"),
    [({"all_deferred": "too few of owls"}, "too few of owls"), ({}, "the validation images were not enough")],
    ids=["told", "by an earlier version"],
)
def test_why_all_is_left_to_a_person_is_told(of_calibration, why):
    model = {"deferral_confidence": None, **of_calibration}
    assert model_facts(model, ["cat", "dog"])["Left to a person"].startswith(f"every photo: {why}")
    assert left_to_a_person({"model": model}).startswith(f"Every photo is left to a person: {why}")


def test_what_is_not_known_to_be_left_to_a_person_is_not_said_to_be():
    assert left_to_a_person(None) is automatic_share({"model": {}}) is None
    some = {"deferral": {"threshold": 0.8, "n": 3, "coverage": {"estimate": 0.3}}}
    known = {"model": {"deferral_confidence": 0.8}, "selective": some}
    assert left_to_a_person(known) is None
    assert automatic_share(known) == {"estimate": 0.3}
    none = known | {"selective": {"deferral": some["deferral"] | {"n": 0, "coverage": {"estimate": 0.0}}}}
    assert left_to_a_person(none) == (
        "No test image was answered without a person: none reached the confidence of 0.800 that the model needs"
    )
    assert automatic_share(none) == {"estimate": 0.0}
