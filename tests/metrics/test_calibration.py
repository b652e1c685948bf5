"""Calibration scores agree with scikit-learn and with a loop over bins."""

import json
import math

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, log_loss
from statsmodels.stats.proportion import proportion_confint

from visionpipe.metrics.calibration import (
    brier,
    classwise_calibration_error,
    expected_calibration_error,
    nll,
    probability_problems,
    reliability_bins,
)


def predictions(n, n_classes, seed):
    random = np.random.default_rng(seed)
    logits_NK = 2 * random.normal(size=(n, n_classes))
    probabilities_NK = np.exp(logits_NK) / np.exp(logits_NK).sum(axis=1, keepdims=True)
    return random.integers(0, n_classes, size=n), probabilities_NK


def ece_by_loop(labels, probabilities, bins, weights):
    """Guo et al. 2017, equation 3, one image at a time."""
    inside = {m: [0.0, 0.0, 0.0] for m in range(1, bins + 1)}
    for label, row, weight in zip(labels, probabilities, weights, strict=True):
        m = next(m for m in inside if row.max() <= m / bins)
        inside[m][0] += weight
        inside[m][1] += weight * (int(np.argmax(row)) == label)
        inside[m][2] += weight * row.max()
    total = sum(count for count, _, _ in inside.values())
    return sum(
        count / total * abs(right / count - sure / count) for count, right, sure in inside.values() if count
    )


@pytest.mark.parametrize("n_classes", [2, 5])
@pytest.mark.parametrize("bins", [1, 10, 15])
@pytest.mark.parametrize("n", [1, 40, 700])
def test_ece_is_that_of_the_paper(n_classes, bins, n):
    labels_N, probabilities_NK = predictions(n, n_classes, seed=n)
    weights_BN = np.random.default_rng(0).integers(0, 4, size=(3, n)) + 0.5
    assert expected_calibration_error(labels_N, probabilities_NK, bins) == pytest.approx(
        ece_by_loop(labels_N, probabilities_NK, bins, np.ones(n)), abs=1e-12
    )
    expected_B = [ece_by_loop(labels_N, probabilities_NK, bins, weights_N) for weights_N in weights_BN]
    np.testing.assert_allclose(
        expected_calibration_error(labels_N, probabilities_NK, bins, weights_BN), expected_B, atol=1e-12
    )


def classwise_ece_by_loop(labels, probabilities, bins, weights):
    """Kull et al. 2019, equation 3: each class against the rest, one image at a time."""
    errors = []
    for k, p_N in enumerate(probabilities.T):
        inside = {m: [0.0, 0.0] for m in range(1, bins + 1)}
        for label, p, weight in zip(labels, p_N, weights, strict=True):
            m = next(m for m in inside if p <= m / bins)
            inside[m][0] += weight * (label == k)
            inside[m][1] += weight * p
        errors.append(sum(abs(share - said) for share, said in inside.values()) / sum(weights))
    return np.mean(errors)


@pytest.mark.parametrize("n_classes", [2, 5, 40])
@pytest.mark.parametrize("bins", [1, 15])
@pytest.mark.parametrize("n", [1, 300])
def test_classwise_ece_is_that_of_the_paper(n_classes, bins, n):
    labels_N, probabilities_NK = predictions(n, n_classes, seed=n)
    weights_BN = np.random.default_rng(0).integers(0, 4, size=(3, n)) + 0.5
    assert classwise_calibration_error(labels_N, probabilities_NK, bins) == pytest.approx(
        classwise_ece_by_loop(labels_N, probabilities_NK, bins, np.ones(n)), abs=1e-12
    )
    expected_B = [
        classwise_ece_by_loop(labels_N, probabilities_NK, bins, weights_N) for weights_N in weights_BN
    ]
    np.testing.assert_allclose(
        classwise_calibration_error(labels_N, probabilities_NK, bins, weights_BN), expected_B, atol=1e-12
    )


def test_classwise_ece_sees_a_class_that_is_never_the_likeliest():
    """Class 0 is rightly given 60 %; the rest goes to class 1 alone, where it belongs to class 2."""
    labels_N, probabilities_NK = np.array([0] * 6 + [2] * 4), np.tile([0.6, 0.3, 0.1], (10, 1))
    assert expected_calibration_error(labels_N, probabilities_NK) == pytest.approx(0)
    assert classwise_calibration_error(labels_N, probabilities_NK) == pytest.approx((0 + 0.3 + 0.3) / 3)


def test_a_confidence_on_an_edge_belongs_to_the_bin_below():
    bins = reliability_bins([0, 0], [[0.8, 0.2], [0.81, 0.19]], bins=5)
    assert [b.count for b in bins] == [0, 0, 0, 1, 1]


def test_reliability_bins_hold_every_image_and_add_up_to_the_ece():
    labels_N, probabilities_NK = predictions(500, 3, seed=1)
    bins = reliability_bins(labels_N, probabilities_NK)
    assert sum(b.count for b in bins) == 500
    assert (bins[0].lower, bins[-1].upper, len(bins)) == (0, 1, 15)
    held = [b for b in bins if b.count]
    ece = sum(b.count / 500 * abs(b.accuracy.estimate - b.confidence) for b in held)
    assert ece == pytest.approx(expected_calibration_error(labels_N, probabilities_NK))
    for b in held:
        right = round(b.accuracy.estimate * b.count)
        expected = proportion_confint(right, b.count, alpha=0.05, method="beta")
        np.testing.assert_allclose((b.accuracy.low, b.accuracy.high), expected, atol=1e-9)
    empty = next(b for b in bins if not b.count).as_dict()
    assert empty["accuracy"] is empty["confidence"] is empty["low"] is None
    json.dumps([b.as_dict() for b in bins], allow_nan=False)


@pytest.mark.parametrize("n_classes", [2, 4])
def test_brier_and_log_loss_are_those_of_scikit_learn(n_classes):
    labels_N, probabilities_NK = predictions(200, n_classes, seed=2)
    weights_N = np.random.default_rng(3).random(200)
    classes = np.arange(n_classes)
    scores = probabilities_NK[:, 1] if n_classes == 2 else probabilities_NK
    expected = brier_score_loss(labels_N, scores, sample_weight=weights_N, labels=classes)
    assert brier(labels_N, probabilities_NK, weights_N) == pytest.approx(expected)
    expected = log_loss(labels_N, probabilities_NK, sample_weight=weights_N, labels=classes)
    assert nll(labels_N, probabilities_NK, weights_N) == pytest.approx(expected)


def test_being_surely_wrong_costs_a_lot_but_not_infinity():
    assert nll([1], [[1.0, 0.0]]) == pytest.approx(log_loss([1], [[1.0, 0.0]], labels=[0, 1]))
    assert math.isfinite(nll([1], [[1.0, 0.0]]))


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ([np.nan, 1], "not finite"),
        ([np.inf, 0], "not finite"),
        ([0.7, 0.7], "sum to 1"),
        ([1.2, -0.2], "negative"),
        ([0.5, 0.4], "sum to 1"),
    ],
)
def test_rows_that_are_no_probabilities_are_named(row, problem):
    found = probability_problems(np.array([[0.5, 0.5], row]), 2, 2)
    assert len(found) == 1
    assert found[0].startswith("1 of 2 rows are")
    assert problem in found[0]


def test_single_precision_probabilities_are_fine_and_other_shapes_are_not():
    _, probabilities_NK = predictions(50, 10, seed=4)
    assert probability_problems(probabilities_NK.astype(np.float16).astype(float), 50, 10) == []
    assert probability_problems(probabilities_NK, 50, 9) == ["shape (50, 10) instead of (50, 9)"]
    assert probability_problems(np.array(np.nan), 50, 9)


@pytest.mark.parametrize("weights", [np.ones(3), np.ones((2, 3)), np.ones((1, 1, 2))])
def test_weights_of_other_images_are_refused(weights):
    with pytest.raises(ValueError, match="weights of shape"):
        brier([0, 1], np.eye(2), weights)


def test_no_bins_are_refused():
    with pytest.raises(ValueError, match="bins is 0"):
        reliability_bins([0, 1], np.eye(2), bins=0)
