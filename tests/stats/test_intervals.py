"""Intervals agree with statsmodels and scipy, and cover the truth as often as they say."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, bootstrap
from statsmodels.stats.proportion import proportion_confint

from visionpipe.stats.intervals import (
    Interval,
    clopper_pearson,
    cluster_bootstrap,
    cluster_bootstrap_many,
    clustered_proportion,
    effective_size,
)


def mean_of(values_N):
    return lambda weights_BN: weights_BN @ values_N / weights_BN.sum(axis=1)


@settings(deadline=None)
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


def variance_of(values_N):
    return lambda weights_BN: mean_of(values_N**2)(weights_BN) - mean_of(values_N)(weights_BN) ** 2


@pytest.mark.parametrize(("statistic_of", "scipy_statistic"), [(mean_of, np.mean), (variance_of, np.var)])
def test_bootstrap_agrees_with_scipy(statistic_of, scipy_statistic):
    """The variance of a skewed sample: biased and skewed itself, so that both corrections of BCa matter."""
    values_N = np.random.default_rng(3).exponential(size=60)
    ours = cluster_bootstrap(statistic_of(values_N), np.arange(60), resamples=40_000, level=0.9, seed=0)
    theirs = bootstrap(
        (values_N,),
        scipy_statistic,
        n_resamples=40_000,
        confidence_level=0.9,
        method="BCa",
        rng=np.random.default_rng(1),
    ).confidence_interval
    assert ours.estimate == pytest.approx(scipy_statistic(values_N))
    np.testing.assert_allclose((ours.low, ours.high), theirs, atol=0.02 * (theirs.high - theirs.low))


def test_cluster_bootstrap_covers_the_truth():
    """1.2 % standard error over 300 simulations; the naive bootstrap covers about 70 %."""
    random, covered, naive = np.random.default_rng(4), 0, 0
    clusters = np.repeat(np.arange(50), 4)
    for seed in range(300):
        values_N = random.normal(size=50)[clusters] + 0.5 * random.normal(size=200)
        options = {"resamples": 400, "level": 0.95, "seed": seed}
        interval = cluster_bootstrap(mean_of(values_N), clusters, **options)
        plain = cluster_bootstrap(mean_of(values_N), np.arange(200), **options)
        covered += interval.low <= 0 <= interval.high
        naive += plain.low <= 0 <= plain.high
    assert 0.915 <= covered / 300 <= 0.975
    assert naive / 300 < 0.8


def test_the_seed_fixes_the_interval_and_the_chunks_do_not(monkeypatch):
    values_N = np.random.default_rng(5).normal(size=90)
    clusters = np.array([f"g{i % 30}" for i in range(90)], dtype=object)
    options = {"resamples": 500, "level": 0.95}
    first = cluster_bootstrap(mean_of(values_N), clusters, seed=1, **options)
    assert cluster_bootstrap(mean_of(values_N), clusters, seed=1, **options) == first
    assert cluster_bootstrap(mean_of(values_N), clusters, seed=2, **options) != first
    monkeypatch.setattr("visionpipe.stats.intervals.CELLS_PER_CHUNK", 90 * 7)
    chunked = cluster_bootstrap(mean_of(values_N), clusters, seed=1, **options)
    assert (chunked.low, chunked.high) == pytest.approx((first.low, first.high), rel=1e-12)


def test_metrics_that_do_not_exist_in_a_resample_are_left_out():
    rare_N = np.zeros(40)
    rare_N[:2] = 1

    def share_or_nothing(weights_BN):  # NaN in the 13 % of the resamples that hold neither rare image
        weight_B = weights_BN @ rare_N
        return np.where(weight_B > 0, weight_B / 40, np.nan)

    never = lambda weights_BN: np.full(len(weights_BN), np.nan)  # noqa: E731
    options = {"resamples": 300, "level": 0.95, "seed": 0}
    interval = cluster_bootstrap(share_or_nothing, np.arange(40), **options)
    assert 0 < interval.low <= interval.estimate == 0.05 < interval.high
    assert cluster_bootstrap(never, np.arange(40), **options).as_dict()["low"] is None


def test_many_metrics_share_the_resamples_and_give_the_same_intervals():
    first_N, second_N = np.random.default_rng(6).normal(size=(2, 60))
    options = {"resamples": 300, "level": 0.95, "seed": 0}
    both = cluster_bootstrap_many(
        lambda weights_BN: np.column_stack([mean_of(v)(weights_BN) for v in (first_N, second_N)]),
        np.arange(60),
        **options,
    )
    assert both == [cluster_bootstrap(mean_of(v), np.arange(60), **options) for v in (first_N, second_N)]


def test_a_statistic_that_never_varies_has_an_interval_of_width_zero():
    interval = cluster_bootstrap(mean_of(np.ones(20)), np.arange(20), resamples=200, level=0.95, seed=0)
    assert interval == Interval(1.0, 1.0, 1.0, 0.95)


def test_an_empty_sample_is_refused():
    with pytest.raises(ValueError, match="0 observations"):
        cluster_bootstrap(mean_of(np.ones(0)), [], resamples=10, level=0.95, seed=0)
