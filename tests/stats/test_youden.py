"""The difference in Youden's J, against scikit-learn and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from visionpipe.stats.youden import youden_difference


def models(random: np.random.Generator, n: int, champion: float, challenger: float) -> list[np.ndarray]:
    labels = random.random(n) < 0.3
    return [
        labels,
        *(np.where(random.random(n) < right, labels, ~labels) for right in (champion, challenger)),
    ]


def test_j_is_twice_balanced_accuracy_less_one():
    labels, one, two = models(np.random.default_rng(0), 300, 0.8, 0.9)
    gain = 2 * (balanced_accuracy_score(labels, two) - balanced_accuracy_score(labels, one))
    found = youden_difference(one, two, labels, np.arange(300), level=0.95)
    assert found.difference == pytest.approx(gain, abs=1e-12)


def test_its_interval_covers_the_truth_as_often_as_it_says():
    random, truth, covered = np.random.default_rng(1), 2 * (0.90 - 0.85), 0
    for _ in range(1000):
        labels, one, two = models(random, 200, 0.85, 0.90)
        low, high = youden_difference(one, two, labels, np.arange(200), level=0.95).interval(0.95)
        covered += low <= truth <= high
    assert 930 <= covered <= 985


def test_without_a_disagreement_few_images_prove_nothing_and_many_do():
    def p_value(n: int) -> float:
        called = np.arange(2 * n) % 2 == 0
        return youden_difference(called, called, called, np.arange(2 * n), level=0.95).p_inferior(0.05)

    assert p_value(30) > 0.025
    assert p_value(2000) < 1e-6


def test_copies_of_an_image_are_no_further_evidence():
    labels, one, two = models(np.random.default_rng(2), 200, 0.8, 0.9)
    once = youden_difference(one, two, labels, np.arange(200), level=0.95)
    thrice = [np.repeat(values, 3) for values in (one, two, labels)]
    copied = youden_difference(*thrice, np.repeat(np.arange(200), 3), level=0.95)
    assert copied.difference == pytest.approx(once.difference)
    assert copied.standard_error == pytest.approx(once.standard_error, rel=0.05)


def test_calling_everything_by_the_name_of_the_class_is_worth_nothing():
    labels = np.arange(100) < 40
    found = youden_difference(np.ones(100, bool), np.zeros(100, bool), labels, np.arange(100), level=0.95)
    assert found.difference == 0


def test_one_kind_of_image_alone_is_refused():
    with pytest.raises(ValueError, match="and others"):
        youden_difference([True], [True], [True], [0], level=0.95)
