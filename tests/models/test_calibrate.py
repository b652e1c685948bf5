"""Confidence is made true by the temperature that explains validation best; below a threshold a person decides."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch.nn import functional

from visionpipe.models.calibrate import deferral_confidence, fit_temperature


def drawn(temperature, seed=0, n=4000, n_classes=4):
    """Return labels drawn from logits, and those logits made `temperature` times too large."""
    random = np.random.default_rng(seed)
    logits_NK = random.normal(0, 2, (n, n_classes)).astype(np.float32)
    noise = random.gumbel(size=logits_NK.shape)  # the largest of logit + Gumbel is a draw from the softmax
    return logits_NK * np.float32(temperature), (logits_NK + noise).argmax(axis=1)


def by_lbfgs(logits_NK, labels_N):
    """Minimise the same likelihood as Guo et al.'s own code does: LBFGS on the temperature."""
    logits, labels = torch.tensor(logits_NK, dtype=torch.float64), torch.tensor(labels_N)
    temperature = torch.ones(1, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([temperature], lr=0.1, max_iter=500, line_search_fn="strong_wolfe")

    def step():
        optimiser.zero_grad()
        loss = functional.cross_entropy(logits / temperature, labels)
        loss.backward()
        return loss

    optimiser.step(step)
    return temperature.item()


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.0, 6.0])
def test_the_temperature_is_the_likeliest(temperature):
    logits_NK, labels_N = drawn(temperature)
    fitted = fit_temperature(logits_NK, labels_N)
    assert fitted == pytest.approx(by_lbfgs(logits_NK, labels_N), rel=1e-3)
    assert fitted == pytest.approx(temperature, rel=0.1)


def test_it_is_found_for_logits_so_large_that_probabilities_vanish():
    logits_NK, labels_N = drawn(15.0)
    assert np.ptp(logits_NK, axis=1).max() > 100
    assert fit_temperature(logits_NK * 1.0, labels_N) == pytest.approx(15.0, rel=0.1)


def test_it_stays_in_its_bounds():
    logits_NK, labels_N = drawn(1.0, n=50)
    right_NK = np.eye(4, dtype=np.float32)[labels_N]
    assert 0.05 <= fit_temperature(right_NK, labels_N) < 0.06  # never wrong: as sure as it may be
    assert 19.0 < fit_temperature(np.roll(right_NK, 1, axis=1) * 50, labels_N) <= 20.0
    assert 0.05 <= fit_temperature(logits_NK * 1e6, labels_N) <= 20.0


def test_it_changes_no_decision():
    logits_NK, labels_N = drawn(3.0, n=200)
    scaled_NK = logits_NK / fit_temperature(logits_NK, labels_N)
    np.testing.assert_array_equal(scaled_NK.argmax(axis=1), logits_NK.argmax(axis=1))


@st.composite
def judged(draw):
    n = draw(st.integers(1, 40))
    steps = st.sampled_from([0.3, 0.5, 0.5000001, 0.7, 0.9, 1.0])  # ties are the hard part
    confidence_N = draw(arrays(float, n, elements=steps | st.floats(0.25, 1)))
    return confidence_N, draw(arrays(bool, n))


@given(judged(), st.sampled_from([0.5, 0.8, 0.95, 1.0]))
def test_the_threshold_is_the_lowest_that_is_accurate_enough(cases, wanted):
    confidence_N, correct_N = cases
    good = [t for t in confidence_N if correct_N[confidence_N >= t].mean() >= wanted]
    assert deferral_confidence(confidence_N, correct_N, wanted) == (min(good) if good else None)


@given(judged(), st.permutations(range(40)))
def test_the_threshold_does_not_depend_on_the_order(cases, order):
    confidence_N, correct_N = cases
    order = [row for row in order if row < len(confidence_N)]
    shuffled = deferral_confidence(confidence_N[order], correct_N[order], 0.8)
    assert shuffled == deferral_confidence(confidence_N, correct_N, 0.8)


@given(judged())
def test_who_wants_more_accuracy_defers_no_less(cases):
    thresholds = [deferral_confidence(*cases, wanted) for wanted in (0.5, 0.8, 0.95, 1.0)]
    as_numbers = [np.inf if threshold is None else threshold for threshold in thresholds]
    assert as_numbers == sorted(as_numbers)


def test_without_images_nothing_is_proven():
    assert deferral_confidence(np.array([]), np.array([], dtype=bool), 0.9) is None
