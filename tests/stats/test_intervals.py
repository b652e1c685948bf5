"""Intervals of proportions agree with statsmodels, and cover the truth as often as they say."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom
from statsmodels.stats.proportion import proportion_confint

from visionpipe.stats.intervals import clopper_pearson, clustered_proportion, effective_size


@given(trials=st.integers(1, 400), share=st.floats(0, 1), level=st.floats(0.5, 0.999))
def test_clopper_pearson_is_that_of_statsmodels(trials, share, level):
    successes = round(share * trials)
    interval = clopper_pearson(successes, trials, level)
    expected = proportion_confint(successes, trials, alpha=1 - level, method="beta")
    np.testing.assert_allclose((interval.low, interval.high), expected, atol=1e-9)


def test_clopper_pearson_covers_every_share_at_least_as_often_as_it_says():
    trials = 25
    intervals = [clopper_pearson(k, trials) for k in range(trials + 1)]
    for share in np.linspace(0.01, 0.99, 99):
        covering = [k for k, i in enumerate(intervals) if i.low <= share <= i.high]
        assert binom.pmf(covering, trials, share).sum() >= 0.95


def test_nothing_seen_means_nothing_known():
    interval = clopper_pearson(0, 0)
    assert (interval.low, interval.high) == (0, 1)
    assert interval.as_dict() == {"estimate": None, "low": 0, "high": 1, "level": 0.95}
    json.dumps(interval.as_dict(), allow_nan=False)


@pytest.mark.parametrize(
    ("successes", "trials", "level"), [(3, 2, 0.95), (-1, 2, 0.95), (1, 2, 1.0), (1, 2, 0)]
)
def test_impossible_counts_and_levels_are_refused(successes, trials, level):
    with pytest.raises(ValueError, match=r"impossible|strictly between"):
        clopper_pearson(successes, trials, level)


def test_single_images_are_worth_exactly_their_number():
    right_N = np.array([1, 1, 1, 0, 1, 1, 0, 1], dtype=bool)
    assert effective_size(right_N, np.arange(8)) == 8
    assert clustered_proportion(right_N, list("abcdefgh")) == clopper_pearson(6, 8)


def test_copies_of_an_image_add_no_evidence():
    right_G = np.random.default_rng(0).random(80) < 0.8
    once = clustered_proportion(right_G, np.arange(80))
    copied = clustered_proportion(np.repeat(right_G, 10), np.repeat(np.arange(80), 10))
    assert copied.estimate == once.estimate
    np.testing.assert_allclose((copied.low, copied.high), (once.low, once.high), atol=0.01)
    flawless = clustered_proportion(np.ones(800), np.repeat(np.arange(80), 10))
    assert flawless.low == pytest.approx(clopper_pearson(80, 80).low)


def test_groups_that_do_not_agree_count_almost_fully():
    right_N = np.random.default_rng(1).random(3000) < 0.8
    assert 2400 < effective_size(right_N, np.arange(3000) // 3) <= 3000


@pytest.mark.parametrize(
    ("alike", "narrowest", "widest"), [(0.0, 0.15, 0.3), (0.3, 0.2, 0.4), (0.7, 0.4, 0.6)]
)
def test_one_group_of_half_the_images_is_told_by_the_others(alike, narrowest, widest):
    """How far images of a group agree is seen on all groups, not on the largest alone (decision record 0014)."""
    random, groups_N = np.random.default_rng(3), np.repeat(np.arange(41), [200] + [5] * 40)
    intervals = []
    for _ in range(500):
        of_group_N, own_N = (random.random(41) < 0.9)[groups_N], random.random(400) < 0.9
        right_N = np.where(random.random(400) < alike, of_group_N, own_N)
        intervals.append(clustered_proportion(right_N, groups_N))
    assert np.mean([interval.low > 0.9 for interval in intervals]) <= 0.025
    assert np.mean([interval.high < 0.9 for interval in intervals]) <= 0.025
    assert narrowest < np.mean([interval.high - interval.low for interval in intervals]) < widest


def test_a_flawless_model_is_not_told_less_well_than_one_with_mistakes():
    groups_N, random = np.repeat(np.arange(41), [200] + [5] * 40), np.random.default_rng(4)
    flawless = clustered_proportion(np.ones(400), groups_N).low
    assert flawless == pytest.approx(clopper_pearson(41, 41).low)  # as if images of a group were one
    for n_wrong in (1, 2, 5, 10, 20, 40):
        right_N = np.ones(400)
        right_N[random.choice(400, n_wrong, replace=False)] = 0
        assert clustered_proportion(right_N, groups_N).low < flawless


def test_small_groups_that_are_all_right_say_nothing_of_a_large_one_that_is_not():
    groups_N = np.repeat(np.arange(41), [200] + [5] * 40)
    interval = clustered_proportion(np.where(np.arange(400) < 100, 0.0, 1.0), groups_N)
    assert interval.low < 0.5 < interval.estimate == 0.75


def test_clustered_proportion_covers_where_the_naive_interval_does_not():
    random, covered, naive = np.random.default_rng(2), 0, 0
    clusters = np.repeat(np.arange(60), 5)
    for _ in range(400):
        right_N = (random.beta(4, 1, size=60) > random.random(60)).repeat(5)
        right_N ^= random.random(300) < 0.05
        truth = 0.8 * 0.95 + 0.2 * 0.05
        interval, plain = clustered_proportion(right_N, clusters), clopper_pearson(right_N.sum(), 300)
        covered += interval.low <= truth <= interval.high
        naive += plain.low <= truth <= plain.high
    assert 0.93 <= covered / 400 <= 0.985
    assert naive / 400 < 0.8


@pytest.mark.parametrize(
    ("right", "agreeing", "groups", "size"), [(0.97, 0.7, 60, 10), (0.95, 0.5, 40, 10), (0.98, 0.0, 60, 5)]
)
def test_a_few_mistakes_in_groups_are_not_taken_for_independent(right, agreeing, groups, size):
    """By the cluster-robust variance by itself up to 14 % of the lower bounds lie above the truth; 2.5 % may."""
    random, above = np.random.default_rng(3), 0
    clusters = np.repeat(np.arange(groups), size)
    for _ in range(400):
        of_group_G = random.random(groups) < right
        own_N = random.random(groups * size) < right
        right_N = np.where(random.random(groups * size) < agreeing, of_group_G[clusters], own_N)
        above += clustered_proportion(right_N, clusters).low > right
    assert above / 400 <= 0.025


def test_one_mistake_hardly_improves_the_bound_of_a_flawless_model():
    right_N, clusters = np.ones(1000), np.repeat(np.arange(100), 10)
    flawless = clustered_proportion(right_N, clusters).low
    right_N[0] = 0
    assert flawless < 0.97
    assert clustered_proportion(right_N, clusters).low < flawless + 0.005
