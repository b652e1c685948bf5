"""No interval leaves the range of its metric, and the cut costs no coverage."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from visionpipe.metrics.calibration import (
    chance_calibration_error,
    classwise_calibration_error,
    expected_calibration_error,
)
from visionpipe.metrics.calibration_interval import noise_added
from visionpipe.metrics.summary import classification_metrics
from visionpipe.stats.intervals import Interval


def summary(labels_N, probabilities_NK, groups_N=None, **options):
    classes = [f"class{k}" for k in range(np.shape(probabilities_NK)[1])]
    groups_N = np.arange(len(labels_N)) if groups_N is None else groups_N
    settings_ = {"resamples": 200, "level": 0.95, "seed": 0} | options
    return classification_metrics(labels_N, probabilities_NK, classes, groups_N, **settings_)


def calibrated(n, random):
    """Labels that are drawn with the stated probabilities: the calibration error is 0."""
    p_N = random.beta(1, 1.5, size=n)
    return (random.random(n) < p_N).astype(int), np.column_stack([1 - p_N, p_N])


@settings(max_examples=60)
@given(
    n=st.integers(2, 40),
    n_classes=st.integers(2, 4),
    sharpness=st.sampled_from([0.0, 1.0, 5.0, 1000.0]),
    seed=st.integers(0, 999),
)
def test_every_estimate_lies_inside_an_interval_inside_the_range(n, n_classes, sharpness, seed):
    random = np.random.default_rng(seed)
    labels_N = random.integers(0, n_classes, size=n)
    logits_NK = sharpness * (random.normal(size=(n, n_classes)) + np.eye(n_classes)[labels_N])
    odds_NK = np.exp(logits_NK - logits_NK.max(axis=1, keepdims=True))
    found = summary(
        labels_N, odds_NK / odds_NK.sum(axis=1, keepdims=True), random.integers(0, n, size=n), resamples=100
    )
    most = {"log_loss": math.inf, "brier": 1 if n_classes == 2 else 2}
    for name, entry in found.items():
        if name != "n" and entry["low"] is not None:
            assert 0 <= entry["low"] <= entry["estimate"] <= entry["high"] <= most.get(name, 1), name


@given(
    bounds=st.lists(st.floats(-2, 3), min_size=2, max_size=2).map(sorted),
    truth=st.floats(0, 1),
)
def test_what_is_cut_off_holds_no_possible_truth(bounds, truth):
    low, high = bounds
    cut = Interval((low + high) / 2, low, high, 0.95).clipped(0.0, 1.0)
    assert 0 <= cut.low <= cut.estimate <= cut.high <= 1
    if low <= 1 and high >= 0:  # else no truth was in it
        assert (cut.low <= truth <= cut.high) == (low <= truth <= high)


def test_an_interval_that_does_not_exist_is_not_made_up():
    cut = Interval(0.4, math.nan, math.nan, 0.95).clipped(0.0, 1.0)
    assert math.isnan(cut.low)
    assert math.isnan(cut.high)


@pytest.mark.parametrize("metric", ["ece", "classwise_ece"])
@pytest.mark.parametrize("n", [40, 300])
def test_a_calibrated_model_is_not_claimed_to_be_miscalibrated(n, metric):
    """300 simulations, 2.5 % of which may err: 20 would have a chance of 0.04 %."""
    random = np.random.default_rng(3)
    found = [summary(*calibrated(n, random), seed=seed, only=[metric])[metric] for seed in range(300)]
    assert sum(entry["low"] > 0 for entry in found) < 20
    assert all(0 < entry["estimate"] <= entry["high"] for entry in found)


@pytest.mark.parametrize("metric", ["ece", "classwise_ece"])
@pytest.mark.parametrize(
    ("n", "n_classes", "sharpness", "told"), [(60, 3, 2, 0.1), (200, 3, 2, 0.4), (300, 5, 1, 0.15)]
)
def test_no_bound_of_a_calibration_error_errs_more_often_than_it_may(n, n_classes, sharpness, told, metric):
    """The probabilities are off. 300 simulations, 2.5 % of which may err: 17 have a chance of 0.2 %."""
    random = np.random.default_rng(6)

    def draw(n):
        labels_N = random.integers(0, n_classes, n)
        logits_NK = sharpness * (1.2 * random.normal(size=(n, n_classes)) + 2 * np.eye(n_classes)[labels_N])
        odds_NK = np.exp(logits_NK - logits_NK.max(axis=1, keepdims=True))
        return labels_N, odds_NK / odds_NK.sum(axis=1, keepdims=True)

    error = {"ece": expected_calibration_error, "classwise_ece": classwise_calibration_error}[metric]
    truth = error(*draw(200_000))
    found = [summary(*draw(n), seed=seed, only=[metric])[metric] for seed in range(300)]
    assert sum(entry["low"] > truth for entry in found) < 17
    assert sum(entry["high"] < truth for entry in found) < 17
    assert np.mean([entry["low"] > 0 for entry in found]) > told  # it still says something


@pytest.mark.parametrize(("true_gap", "within"), [(0.0, 0.006), (0.05, 0.01), (0.15, 0.002)])
def test_the_noise_in_a_calibration_error_is_estimated(true_gap, within):
    """One bin, one confidence of 0.7: what noise adds is a sum over the binomial distribution, without a formula."""
    n, sure = 200, 0.7
    rights_X = np.arange(n + 1)
    added = binom.pmf(rights_X, n, sure - true_gap) @ np.abs(rights_X / n - sure) - true_gap
    random, probabilities_NK = np.random.default_rng(7), np.tile([sure, 1 - sure], (n, 1))
    found = [
        noise_added((np.arange(n) >= right).astype(int), probabilities_NK, np.arange(n))
        for right in random.binomial(n, sure - true_gap, 400)
    ]
    assert min(found) >= 0
    assert np.mean(found) == pytest.approx(added, abs=within)


def test_copies_of_images_hold_as_much_noise_as_one():
    labels_N, probabilities_NK = calibrated(100, np.random.default_rng(9))
    rows = np.repeat(np.arange(100), 4)
    once = noise_added(labels_N, probabilities_NK, np.arange(100))
    assert noise_added(labels_N[rows], probabilities_NK[rows], rows) == pytest.approx(once)
    assert noise_added(labels_N[rows], probabilities_NK[rows], np.arange(400)) < 0.7 * once


def test_a_model_that_is_plainly_overconfident_is_said_to_be():
    random = np.random.default_rng(4)
    labels_N, probabilities_NK = calibrated(400, random)
    sharper_NK = probabilities_NK**4 / (probabilities_NK**4).sum(axis=1, keepdims=True)
    found = summary(labels_N, sharper_NK, only=["ece"])["ece"]
    assert 0.05 < found["low"] < expected_calibration_error(labels_N, sharper_NK) < found["high"]


@pytest.mark.parametrize("copies", [1, 4])
def test_the_error_by_chance_is_binomial_where_all_confidences_are_the_same(copies):
    """Copies of an image are right or wrong together, so they change nothing."""
    n, sure = 50, 0.8
    errors_X, chances_X = np.abs(np.arange(n + 1) / n - sure), binom.pmf(np.arange(n + 1), n, sure)
    order = np.argsort(errors_X, kind="stable")
    expected = errors_X[order][np.searchsorted(np.cumsum(chances_X[order]), 0.975)]
    probabilities_NK = np.tile([sure, 1 - sure], (n * copies, 1))
    groups_N = np.repeat(np.arange(n), copies)
    found = chance_calibration_error(probabilities_NK, groups_N, draws=20_000, level=0.95, seed=0)
    assert found == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("n_classes", [2, 4])
def test_the_classwise_error_by_chance_is_that_of_labels_drawn_with_the_probabilities(n_classes):
    random = np.random.default_rng(8)
    probabilities_NK = random.dirichlet(np.ones(n_classes), 60)
    drawn = [
        classwise_calibration_error(
            [random.choice(n_classes, p=row) for row in probabilities_NK], probabilities_NK
        )
        for _ in range(2000)
    ]
    found = chance_calibration_error(
        probabilities_NK, np.arange(60), draws=4000, level=0.95, seed=0, classwise=True
    )
    assert found == pytest.approx(np.quantile(drawn, 0.975), rel=0.04)


def test_the_error_by_chance_needs_bins():
    with pytest.raises(ValueError, match="bins is 0"):
        chance_calibration_error(np.eye(2), [0, 1], 0, draws=10, level=0.95, seed=0)


@pytest.mark.parametrize("metric", ["ece", "classwise_ece"])
@pytest.mark.parametrize(("n", "right"), [(30, 0.9), (120, 0.98)])
def test_a_sure_model_whose_mistakes_were_not_seen_is_not_called_calibrated(n, right, metric):
    """Its error is its share of mistakes, nearly: 2.5 % may lie above. 200 simulations, 11 or more: 2 %."""
    random, above = np.random.default_rng(6), 0
    for seed in range(200):
        labels = (random.random(n) >= right).astype(int)
        found = summary(labels, np.tile([0.999, 0.001], (n, 1)), only={metric}, seed=seed)
        above += found[metric]["high"] < 0.999 - right
    assert above < 11
