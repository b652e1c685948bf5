"""Every metric comes with an interval: exact, bounded where nothing went wrong, and covering the truth."""

import json
import math

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    brier_score_loss,
    f1_score,
    log_loss,
    recall_score,
    roc_auc_score,
)
from statsmodels.stats.proportion import proportion_confint

from random_predictions import predictions
from visionpipe.metrics.calibration import classwise_calibration_error, expected_calibration_error
from visionpipe.metrics.classification import auroc
from visionpipe.metrics.selective import aurc
from visionpipe.metrics.summary import classification_metrics
from visionpipe.stats.bootstrap import cluster_bootstrap


def summary(labels_N, probabilities_NK, **options):
    classes = [f"class{k}" for k in range(np.shape(probabilities_NK)[1])]
    settings_ = {"resamples": 300, "level": 0.95, "seed": 0} | options
    groups_N = settings_.pop("groups", np.arange(len(labels_N)))
    return classification_metrics(labels_N, probabilities_NK, classes, groups_N, **settings_)


def test_the_summary_holds_every_metric_inside_its_interval_and_is_json():
    labels, probabilities = predictions(200, 3, 8)
    found = summary(labels, probabilities)
    assert found["n"] == 200
    names = {
        "accuracy",
        "balanced_accuracy",
        "macro_f1",
        "auroc",
        "average_precision",
        "log_loss",
        "brier",
        "ece",
        "classwise_ece",
        "aurc",
        "expected_cost",
    }
    kinds = ("recall", "precision", "false_positive_rate")
    per_class = {f"{kind}[class{k}]" for kind in kinds for k in range(3)}
    assert set(found) == names | per_class | {"n"}
    for name in names | per_class:
        assert found[name]["low"] < found[name]["estimate"] < found[name]["high"], name
    assert found["ece"]["estimate"] == pytest.approx(expected_calibration_error(labels, probabilities))
    assert found["classwise_ece"]["estimate"] == pytest.approx(
        classwise_calibration_error(labels, probabilities)
    )
    right_N = probabilities.argmax(axis=1) == labels
    assert found["aurc"]["estimate"] == pytest.approx(aurc(right_N, probabilities.max(axis=1)))
    json.dumps(found, allow_nan=False)
    assert summary(labels, probabilities) == found
    assert summary(labels, probabilities, seed=1)["auroc"] != found["auroc"]


def test_metrics_that_are_not_wanted_cost_nothing_and_change_nothing():
    labels, probabilities = predictions(120, 2, 12)
    everything = summary(labels, probabilities)
    assert summary(labels, probabilities, only=["ece"])["ece"] == everything["ece"]
    assert "auroc" not in summary(labels, probabilities, only=["ece"])
    assert summary(labels, probabilities, only=[])["accuracy"] == everything["accuracy"]


def test_recall_and_precision_have_exact_intervals():
    labels, probabilities = predictions(150, 2, 9)
    predicted = probabilities.argmax(axis=1)
    found = summary(labels, probabilities)
    for name, rows in (("recall[class1]", labels == 1), ("precision[class1]", predicted == 1)):
        right = int(np.sum(rows & (labels == predicted)))
        expected = proportion_confint(right, int(rows.sum()), method="beta")
        np.testing.assert_allclose((found[name]["low"], found[name]["high"]), expected, atol=1e-9)
        assert found[name]["n"] == rows.sum()


def test_a_false_positive_rate_is_the_share_of_other_classes_and_its_interval_is_exact():
    labels, probabilities = predictions(150, 3, 13)
    found, predicted = summary(labels, probabilities), probabilities.argmax(axis=1)
    for k in range(3):
        of_others, given = labels != k, predicted == k
        expected = proportion_confint((of_others & given).sum(), of_others.sum(), method="beta")
        entry = found[f"false_positive_rate[class{k}]"]
        assert entry["estimate"] == pytest.approx(1 - recall_score(of_others, ~given))
        np.testing.assert_allclose((entry["low"], entry["high"]), expected, atol=1e-9)
        assert entry["n"] == of_others.sum()


def test_the_risk_is_ordered_by_the_probability_of_the_class_that_was_given():
    labels, probabilities = predictions(150, 3, 14)
    given = (probabilities * [3, 1, 1]).argmax(axis=1)  # as a decision rule does
    found = summary(labels, probabilities, predicted_N=given)["aurc"]["estimate"]
    assert found == pytest.approx(aurc(given == labels, probabilities[np.arange(150), given]))
    assert found != pytest.approx(aurc(given == labels, probabilities.max(axis=1)))


def test_copies_of_images_do_not_narrow_the_intervals():
    labels, probabilities = predictions(80, 2, 10)
    once = summary(labels, probabilities, resamples=4000)
    rows = np.repeat(np.arange(80), 5)
    groups = [f"cell {r}" for r in rows]
    copied = summary(labels[rows], probabilities[rows], groups=groups, resamples=4000)
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "auroc", "log_loss", "recall[class0]"):
        width = once[name]["high"] - once[name]["low"]
        assert copied[name]["high"] - copied[name]["low"] == pytest.approx(width, rel=0.1), name


def test_a_flawless_model_is_not_claimed_to_be_certainly_flawless():
    labels = np.array([0] * 30 + [1] * 6)
    found = summary(labels, np.where(np.eye(2)[labels] == 1, 0.9, 0.1))
    assert found["accuracy"]["low"] == pytest.approx(0.025 ** (1 / 36))
    assert found["recall[class1]"]["low"] == pytest.approx(0.025 ** (1 / 6))
    assert found["auroc"]["low"] == pytest.approx(0.025 ** (1 / 6))  # six disjoint pairs, all ranked right
    for name in ("balanced_accuracy", "macro_f1", "average_precision"):
        assert found[name]["estimate"] == 1
        assert found[name]["low"] < 0.8, name


@pytest.mark.parametrize(("n_positive", "n"), [(3, 200), (10, 500), (60, 500)])
def test_a_perfect_ranking_by_luck_does_not_pass_for_a_good_one(n_positive, n):
    """Where a share of the negatives outranks all positives, it is seen in all but 2.5 % of the samples."""
    labels = np.array([1] * n_positive + [0] * (n - n_positive))
    bound = summary(labels, np.where(np.eye(2)[labels] == 1, 0.9, 0.1))["average_precision"]["low"]
    share = np.geomspace(1e-5, 0.5, 2000)
    false = share * (n - n_positive) / n_positive
    precision = 1 - false * np.log1p(1 / false)  # average precision when they are ranked first
    assert ((1 - share) ** (n - n_positive))[precision < bound].max(initial=0) <= 0.025
    assert bound > 0.01


def test_the_average_precision_of_two_classes_is_bounded_by_that_of_class_1_alone():
    labels = np.array([1] * 5 + [0] * 195)
    probabilities = np.where(np.eye(2)[labels] == 1, 0.9, 0.1)
    rare, common = summary(labels, probabilities), summary(1 - labels, probabilities[:, ::-1])
    assert rare["average_precision"]["low"] < 0.1 < 0.9 < common["average_precision"]["low"]


@pytest.mark.parametrize("name", ["auroc", "average_precision", "macro_f1"])
def test_one_mistake_does_not_better_a_bound(name):
    labels = np.array([1] * 12 + [0] * 200)
    scores = np.where(labels == 1, 0.9, 0.1)
    flawless = summary(labels, np.column_stack([1 - scores, scores]))[name]
    scores[-1] = 0.95
    flawed = summary(labels, np.column_stack([1 - scores, scores]))[name]
    assert flawed["estimate"] < flawless["estimate"]
    assert flawed["low"] <= flawless["low"]


def test_where_mistakes_are_many_the_bound_of_a_flawless_model_does_not_matter():
    labels, probabilities = predictions(300, 2, 15)
    bootstrap = cluster_bootstrap(
        lambda weights_BN: auroc(labels, probabilities, weights_BN),
        np.arange(300), resamples=300, level=0.95, seed=0,
    )  # fmt: skip
    assert summary(labels, probabilities)["auroc"]["low"] == pytest.approx(bootstrap.low)


def test_macro_f1_is_known_no_better_than_balanced_accuracy():
    """A bootstrap of the few groups of a class believes that it is."""
    labels, probabilities = predictions(300, 10, 15)
    for groups in (np.arange(300), np.arange(300) // 10):
        found = summary(labels, probabilities, groups=groups)
        f1, balanced = found["macro_f1"], found["balanced_accuracy"]
        assert f1["estimate"] - f1["low"] >= balanced["estimate"] - balanced["low"] - 1e-12
        assert f1["high"] - f1["estimate"] >= balanced["high"] - balanced["estimate"] - 1e-12


def test_ten_classes_without_a_mistake_are_not_all_at_their_lower_bounds_at_once():
    labels = np.repeat(np.arange(10), 5)
    found = summary(labels, np.where(np.eye(10)[labels] == 1, 0.91, 0.01))
    one_class = 0.025 ** (1 / 5)  # 0.48
    all_alike = 0.025 ** (1 / 50)  # what 50 right answers prove of a common rate
    assert found["recall[class3]"]["low"] == pytest.approx(one_class)
    for name in ("macro_f1", "auroc"):
        assert one_class < 0.8 < found[name]["low"] < all_alike, name


@pytest.mark.parametrize(("name", "seen"), [("log_loss", -math.log(0.95)), ("brier", 0.0025)])
def test_very_wrong_answers_that_the_sample_lacks_are_reckoned_with(name, seen):
    """1 % of the images have a probability of 1 in 1,000 at their label: 100 images show none of them in 37 %."""
    labels = np.tile([0, 1], 50)
    found = summary(labels, np.where(np.eye(2)[labels] == 1, 0.95, 0.05), allow_unseen=True)[name]
    worst = {"log_loss": -math.log(0.001), "brier": 0.998}[name]
    assert found["estimate"] == pytest.approx(seen)
    assert found["high"] > 0.99 * seen + 0.01 * worst


def test_one_class_only_has_no_auroc_but_a_reason():
    found = summary(np.zeros(20, dtype=int), np.tile([0.7, 0.3], (20, 1)))
    assert found["auroc"]["estimate"] is found["auroc"]["low"] is None
    assert found["auroc"]["reason"] == "only class 'class0' occurs in the labels"
    assert found["recall[class1]"]["estimate"] is None
    assert found["recall[class1]"]["reason"] == "no image has this label"
    assert found["precision[class1]"]["reason"] == "no image was given this class"
    assert found["false_positive_rate[class0]"]["reason"] == "all images have this label"
    assert found["false_positive_rate[class1]"]["estimate"] == 0
    assert found["accuracy"]["estimate"] == 1
    json.dumps(found, allow_nan=False)


def simulate(n, random, sharpness=1.0):
    labels = (random.random(n) < 0.3).astype(int)
    score = sharpness * (2 * (random.normal(size=n) + 2 * labels - 1) - 0.85)
    p = 1 / (1 + np.exp(-score))
    return labels, np.column_stack([1 - p, p])


def test_the_intervals_cover_the_truth():
    """300 simulations of 150 images: 1.3 % standard error. The labels are overconfident on purpose (ECE 7 %)."""
    random = np.random.default_rng(11)
    labels, probabilities = simulate(200_000, random, sharpness=2)
    predicted = probabilities.argmax(axis=1)
    truth = {
        "accuracy": accuracy_score(labels, predicted),
        "balanced_accuracy": balanced_accuracy_score(labels, predicted),
        "macro_f1": f1_score(labels, predicted, average="macro"),
        "auroc": roc_auc_score(labels, probabilities[:, 1]),
        "log_loss": log_loss(labels, probabilities),
        "brier": brier_score_loss(labels, probabilities[:, 1]),
        "ece": expected_calibration_error(labels, probabilities),
    }
    covered = dict.fromkeys(truth, 0)
    for seed in range(300):
        found = summary(*simulate(150, random, sharpness=2), resamples=300, seed=seed)
        for name in covered:
            covered[name] += found[name]["low"] <= truth[name] <= found[name]["high"]
    share = {name: count / 300 for name, count in covered.items()}
    assert all(0.9 <= share[name] <= 0.99 for name in covered if name != "ece"), share
    assert share["ece"] >= 0.87, share


@pytest.mark.parametrize(
    ("labels", "probabilities", "problem"),
    [
        ([0, 1], np.eye(3), "shape"),
        ([0, 2], np.eye(2), "0 to 1"),
        ([0.0, 1.0], np.eye(2), "integer codes"),
        ([0, 1], [[0.5, 0.5], [np.nan, 0.5]], "not finite"),
        ([], np.zeros((0, 2)), "0 images"),
    ],
)
def test_tables_that_make_no_sense_are_refused(labels, probabilities, problem):
    with pytest.raises(ValueError, match=problem):
        classification_metrics(
            labels, probabilities, ["a", "b"], np.arange(len(labels)), resamples=10, level=0.95, seed=0
        )
