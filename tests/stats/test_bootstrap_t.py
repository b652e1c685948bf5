"""The studentised bootstrap: the formula, done plainly, and how often the interval holds a skewed mean."""

from __future__ import annotations

import math

import numpy as np
import pytest

from visionpipe.stats.bootstrap import cluster_bootstrap
from visionpipe.stats.bootstrap_t import clustered_mean
from visionpipe.stats.intervals import clopper_pearson


def plain(values, clusters, draws, level):
    """The same, resample by resample and cluster by cluster."""
    members = [
        [v for v, c in zip(values, clusters, strict=True) if c == name] for name in sorted(set(clusters))
    ]

    def mean_and_error(chosen):
        n = sum(len(each) for each in chosen)
        mean = sum(sum(each) for each in chosen) / n
        residuals = [sum(each) - mean * len(each) for each in chosen]
        return mean, math.sqrt(len(chosen) / (len(chosen) - 1) * sum(r * r for r in residuals)) / n

    mean, error = mean_and_error(members)
    deviates = []
    for counts in draws:
        again, its_error = mean_and_error(
            [each for each, n in zip(members, counts, strict=True) for _ in range(n)]
        )
        deviates.append((again - mean) / its_error)
    high, low = np.quantile(deviates, [(1 - level) / 2, (1 + level) / 2])
    return mean - low * error, mean - high * error


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_it_is_the_textbook_s_resample_by_resample(level):
    random = np.random.default_rng(1)
    clusters = random.integers(0, 12, 40)
    clusters[:12] = range(12)
    values = random.exponential(size=40)
    found = clustered_mean(values, clusters, resamples=200, level=level, seed=5)
    draws = np.random.default_rng(5).multinomial(12, [1 / 12] * 12, size=200)
    np.testing.assert_allclose((found.low, found.high), plain(values, clusters, draws, level), rtol=1e-9)
    assert found.estimate == pytest.approx(values.mean())


def test_a_skewed_mean_in_clusters_is_above_the_interval_as_seldom_as_said():
    """400 simulations: at 2.5 % a side, 20 or more of them are above with a chance of 0.5 %. BCa leaves more."""
    random, above, above_bca = np.random.default_rng(2), 0, 0
    clusters = np.repeat(np.arange(60), 3)
    for seed in range(400):
        values = np.repeat(random.lognormal(sigma=1.0, size=60), 3) * random.uniform(0.5, 1.5, 180)
        found = clustered_mean(values, clusters, resamples=400, seed=seed)
        above += found.high < math.exp(0.5)
        bca = cluster_bootstrap(
            lambda w, v=values: w @ v / w.sum(1), clusters, resamples=400, level=0.95, seed=seed
        )
        above_bca += bca.high < math.exp(0.5)
    assert above < 20
    assert above < above_bca


def test_values_that_do_not_differ_leave_no_width():
    found = clustered_mean([0.3] * 12, np.arange(12) // 2, resamples=100)
    assert (found.low, found.estimate, found.high) == pytest.approx((0.3, 0.3, 0.3))


def test_five_clusters_bound_nothing():
    values_N = np.random.default_rng(0).random(50)
    assert math.isnan(clustered_mean(values_N, np.arange(50) % 5, resamples=100).low)
    assert clustered_mean(values_N, np.arange(50) % 6, resamples=100).low < values_N.mean()


def test_one_cluster_bounds_nothing():
    found = clustered_mean([0.1, 0.2], ["a", "a"], resamples=100)
    assert found.estimate == pytest.approx(0.15)
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_one_outlier_among_equal_values_does_not_make_a_bound_of_millions():
    found = clustered_mean([0.05] * 99 + [7.0], range(100), resamples=500)
    assert found.high < 7
    assert found.low > -7


@pytest.mark.parametrize("share", [0.005, 0.02])
def test_rare_large_values_are_reckoned_with(share):
    """400 simulations of 200 values, at most 1: 20 or more above at 2.5 % have a chance of 0.5 %."""
    random, above, without = np.random.default_rng(4), 0, 0
    truth = share * 0.9 + (1 - share) * 0.05
    for seed in range(400):
        values = np.where(random.random(200) < share, 0.9, random.uniform(0, 0.1, 200))
        above += clustered_mean(values, range(200), resamples=200, seed=seed, most=1.0).high < truth
        without += clustered_mean(values, range(200), resamples=200, seed=seed).high < truth
    assert above < 20
    assert without > above


def test_the_bound_is_never_beyond_the_exact_one_of_a_proportion():
    values = np.array([0.0] * 18 + [1.0, 1.0])
    found = clustered_mean(values, range(20), resamples=500, most=1.0)
    assert found.high == pytest.approx(clopper_pearson(2, 20).high)
