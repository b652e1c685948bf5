"""AURC and the risk-coverage curve are those of a loop over thresholds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visionpipe.metrics.selective import aurc, risk_coverage_curve


def risk_at(correct_N, confidence_N, threshold):
    answered_N = confidence_N >= threshold
    return answered_N.mean(), 1 - correct_N[answered_N].mean()


@settings(max_examples=60)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 8)), min_size=1, max_size=30))
def test_aurc_is_the_mean_risk_over_the_images_as_thresholds(rows):
    """Geifman, Uziel and El-Yaniv (ICLR 2019), equation 3; few steps of confidence, so that there are ties."""
    correct_N = np.array([right for right, _ in rows], dtype=float)
    confidence_N = np.array([step for _, step in rows]) / 8
    expected = np.mean([risk_at(correct_N, confidence_N, own)[1] for own in confidence_N])
    assert aurc(correct_N, confidence_N) == pytest.approx(expected, abs=1e-6)
    curve = dict(risk_coverage_curve(correct_N, confidence_N))
    for threshold in set(confidence_N):
        coverage, risk = risk_at(correct_N, confidence_N, threshold)
        nearest = min(curve, key=lambda c: abs(c - coverage))
        assert (nearest, curve[nearest]) == pytest.approx((coverage, risk), abs=1e-6)


def test_weights_are_copies_of_images():
    random = np.random.default_rng(0)
    correct_N, confidence_N = random.random(40) < 0.8, random.integers(0, 12, size=40) / 12
    weights_N = random.integers(0, 4, size=40)
    copied = aurc(np.repeat(correct_N, weights_N), np.repeat(confidence_N, weights_N))
    assert aurc(correct_N, confidence_N, weights_N.astype(float)) == pytest.approx(copied, abs=1e-6)


def test_a_confidence_that_says_nothing_has_the_error_rate():
    random = np.random.default_rng(1)
    correct_N = random.random(20_000) < 0.8
    assert aurc(correct_N, random.random(20_000)) == pytest.approx(1 - correct_N.mean(), abs=0.01)
