"""The exact-type interval of the AUROC: variances by hand, and how often it holds with few positives."""

import math

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from visionpipe.metrics.auroc_interval import auroc_interval
from visionpipe.stats.intervals import clopper_pearson


def interval(scores_N, labels_N, groups_N=None, level=0.95):
    groups_N = np.arange(len(labels_N)) if groups_N is None else groups_N
    return auroc_interval(labels_N, np.column_stack([1 - scores_N, scores_N]), groups_N, level)


def test_the_area_is_scikit_learn_s_and_the_interval_that_of_its_effective_pairs():
    random = np.random.default_rng(0)
    labels = np.array([1] * 40 + [0] * 60)
    scores = np.round(random.uniform(size=100) * 0.6 + 0.3 * labels, 1)  # ties
    found, area = interval(scores, labels), roc_auc_score(labels, scores)
    wins = (scores[:40, None] > scores[None, 40:]) + 0.5 * (scores[:40, None] == scores[None, 40:])
    parts = ((wins.mean(1) - area) ** 2).sum() / 40**2 + ((wins.mean(0) - area) ** 2).sum() / 60**2
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    q1, q2 = q1 - area**2, q2 - area**2
    hanley = (area * (1 - area) + max(39 * q1 + 59 * q2, 59 * q1 + 39 * q2)) / 2400
    pairs = area * (1 - area) / max(parts * 100 / 99, hanley)
    exact = clopper_pearson(area * pairs, pairs)
    assert (found.estimate, found.low, found.high) == pytest.approx((area, exact.low, exact.high))


@pytest.mark.parametrize(("area", "n_positive"), [(0.97, 15), (0.9, 8)])
@pytest.mark.parametrize("alpha", [0.025, 0.0028])
def test_the_lower_bound_is_too_high_as_seldom_as_said_with_few_positives(area, n_positive, alpha):
    """1,000 simulations: 37 or more at 2.5 %, 8 or more at 0.28 % have a chance of about 1 %."""
    random, too_high = np.random.default_rng(1), 0
    labels = np.array([1] * n_positive + [0] * (270 - n_positive))
    for _ in range(1000):
        scores = random.normal(labels * norm.ppf(area) * math.sqrt(2))
        too_high += interval(scores, labels, level=1 - 2 * alpha).low > area
    assert too_high < {0.025: 37, 0.0028: 8}[alpha]


@pytest.mark.parametrize("alpha", [0.025, 0.0112, 0.0028])
def test_positives_that_are_lost_altogether_are_reckoned_with(alpha):
    """A fifth of the positives looks like the surest negatives; 15 of them show none in 3.5 % of the samples."""
    random, too_high = np.random.default_rng(2), 0
    labels = np.array([1] * 15 + [0] * 255)
    truth = 0.8 * norm.cdf(3.5 / math.sqrt(2))
    for _ in range(500):
        scores = np.where(labels == 1, random.normal(3.5, size=270), random.normal(size=270))
        scores[labels * random.random(270) > 0.8] = -9
        too_high += interval(scores, labels, level=1 - 2 * alpha).low > truth
    assert too_high < {0.025: 22, 0.0112: 13, 0.0028: 6}[alpha]


def test_copies_of_images_prove_no_more():
    random = np.random.default_rng(3)
    labels = np.array([1] * 10 + [0] * 50)
    scores, rows = random.normal(labels * 1.0), np.repeat(np.arange(60), 5)
    once, copied = interval(scores, labels), interval(scores[rows], labels[rows], rows)
    assert (copied.low, copied.high) == pytest.approx((once.low, once.high), abs=1e-3)


def test_the_order_of_two_classes_does_not_matter_and_one_has_no_area():
    labels, scores = np.array([0, 0, 1, 1, 1]), np.array([0.1, 0.6, 0.5, 0.8, 0.9])
    one, other = interval(scores, labels), interval(1 - scores, 1 - labels)
    assert (one.estimate, one.low, one.high) == pytest.approx((other.estimate, other.low, other.high))
    assert math.isnan(interval(scores, np.ones(5, dtype=int)).low)
