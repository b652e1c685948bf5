"""The bootstrap agrees with scipy, covers the truth as often as it says, and says so where groups are too few."""

import numpy as np
import pytest
from scipy.stats import bootstrap

from visionpipe.stats.bootstrap import cluster_bootstrap, cluster_bootstrap_many
from visionpipe.stats.intervals import Interval


def mean_of(values_N):
    return lambda weights_BN: weights_BN @ values_N / weights_BN.sum(axis=1)


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
    monkeypatch.setattr("visionpipe.stats.bootstrap.CELLS_PER_CHUNK", 90 * 7)
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


def test_few_clusters_have_wider_intervals_and_five_none():
    """Percentiles of resamples miss the truth in 9 % for eight clusters; the standard error here is 1.1 %."""
    random, missed, clusters = np.random.default_rng(7), 0, np.repeat(np.arange(8), 10)
    for seed in range(400):
        values_N = random.normal(size=8)[clusters] + random.normal(size=80)
        interval = cluster_bootstrap(mean_of(values_N), clusters, resamples=400, level=0.95, seed=seed)
        missed += not interval.low <= 0 <= interval.high
    assert missed / 400 < 0.075
    few = cluster_bootstrap(mean_of(values_N), clusters % 5, resamples=400, level=0.95, seed=0)
    assert few.as_dict() == {"estimate": few.estimate, "low": None, "high": None, "level": 0.95}
    assert (
        cluster_bootstrap(mean_of(values_N), clusters % 5, resamples=400, level=0.9, seed=0).low
        < few.estimate
    )
