"""Paired tests agree with statsmodels, with brute force, and keep their level."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import binom, norm
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from visionpipe.stats.paired import (
    cluster_swap_test,
    holm,
    mcnemar_exact,
    mcnemar_from_counts,
    non_inferiority,
    paired_cluster_bootstrap,
    tango_z,
)


def accuracy_gain(champion_N, challenger_N):
    """Gain in accuracy when some answers are exchanged."""
    difference_N = challenger_N.astype(float) - champion_N
    return lambda swapped_BN: (1 - 2 * swapped_BN) @ difference_N / len(difference_N)


@given(b=st.integers(0, 60), c=st.integers(0, 60))
def test_mcnemar_is_that_of_statsmodels(b, c):
    found = mcnemar_exact([1] * b + [0] * c + [1], [0] * b + [1] * c + [1])
    assert (found.b, found.c) == (b, c)
    assert found.p_value == pytest.approx(mcnemar([[1, b], [c, 0]], exact=True).pvalue, abs=1e-12)
    assert found.p_greater == pytest.approx(binom.sf(c - 1, b + c, 0.5), abs=1e-12)
    assert found.p_less == pytest.approx(binom.sf(b - 1, b + c, 0.5), abs=1e-12)


def test_mcnemar_refuses_models_that_answered_different_images():
    with pytest.raises(ValueError, match="differ"):
        mcnemar_exact([True, False], [True])


@given(b=st.floats(0, 40), c=st.floats(0, 40))
def test_fractional_counts_lie_between_the_whole_ones(b, c):
    p = mcnemar_from_counts(b, c).p_greater
    assert (
        mcnemar_from_counts(b, np.ceil(c)).p_greater - 1e-12
        <= p
        <= mcnemar_from_counts(np.ceil(b), np.floor(c)).p_greater + 1e-12
    )


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_is_that_of_statsmodels(p_values):
    np.testing.assert_allclose(holm(p_values), multipletests(p_values, method="holm")[1], atol=1e-15)


def test_holm_of_nothing_is_nothing():
    assert holm([]).tolist() == []


def constrained_z(b, c, n, difference):
    """Tango's score statistic with the likelihood maximised numerically instead of by formula."""

    def loss(only_champion):
        only_challenger = only_champion + difference
        cells = [(b, only_champion), (c, only_challenger), (n - b - c, 1 - only_champion - only_challenger)]
        return -sum(k * np.log(max(p, 1e-300)) for k, p in cells if k)

    bounds = (max(0.0, -difference), (1 - difference) / 2)
    q = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-12}).x
    return (c - b - n * difference) / np.sqrt(n * (2 * q + difference - difference**2))


@pytest.mark.parametrize(
    ("b", "c", "n", "difference"),
    list(itertools.product([0, 1, 7], [0, 3, 12], [30, 200], [-0.2, -0.05, 0.02, 0.3])),
)
def test_the_score_statistic_maximises_the_likelihood_under_the_hypothesis(b, c, n, difference):
    assert tango_z(b, c, n, difference) == pytest.approx(constrained_z(b, c, n, difference), abs=1e-4)


def test_non_inferiority_agrees_with_the_mcnemar_z_at_margin_zero():
    assert tango_z(9, 21, 100, 0.0) == pytest.approx((21 - 9) / np.sqrt(30))


@given(b=st.integers(0, 20), c=st.integers(0, 20), same=st.integers(1, 200), level=st.floats(0.6, 0.99))
def test_the_interval_and_the_test_say_the_same(b, c, same, level):
    found = non_inferiority(b, c, b + c + same, 0.05, level)
    assert -1 <= found.low <= found.difference <= found.high <= 1
    z_limit = norm.ppf((1 + level) / 2)
    for bound, expected in ((found.low, z_limit), (found.high, -z_limit)):
        if -1 < bound < 1:
            assert tango_z(b, c, b + c + same, bound) == pytest.approx(expected, abs=1e-6)
    assert (found.p_value < (1 - level) / 2) == (found.low > -0.05) or abs(found.low + 0.05) < 1e-9


@pytest.mark.parametrize(("n", "disagreement"), [(60, 0.15), (250, 0.2)])
def test_a_loss_of_exactly_the_margin_is_acquitted_at_most_as_often_as_stated(n, disagreement):
    """Exact: every pair of counts, weighted by its trinomial probability (score tests may exceed 2.5 % a little)."""
    margin = 0.05
    champion_only, challenger_only = (disagreement + margin) / 2, (disagreement - margin) / 2
    wrong = 0.0
    for d in range(n + 1):
        p_d = binom.pmf(d, n, disagreement)
        if p_d < 1e-9:
            continue
        c = np.arange(d + 1)
        acquitted = [non_inferiority(d - k, k, n, margin).p_value <= 0.025 for k in c]
        wrong += p_d * binom.pmf(c, d, challenger_only / (champion_only + challenger_only))[acquitted].sum()
    assert 0.015 < wrong < 0.031


@pytest.mark.parametrize("arguments", [(3, 3, 5, 0.05), (0, 0, 0, 0.05), (1, 1, 10, 0), (1, 1, 10, 1.5)])
def test_impossible_counts_and_margins_are_refused(arguments):
    with pytest.raises(ValueError, match="non_inferiority"):
        non_inferiority(*arguments)


def test_the_swap_test_is_exact_mcnemar_for_single_images():
    champion_N, challenger_N = np.zeros((2, 100), dtype=bool)
    champion_N[:6], challenger_N[6:22] = True, True
    p = cluster_swap_test(
        accuracy_gain(champion_N, challenger_N), np.arange(100), permutations=100_000, seed=0
    )
    assert p == pytest.approx(mcnemar_exact(champion_N, challenger_N).p_greater, abs=0.002)


def test_the_swap_test_keeps_its_level_when_images_come_in_groups():
    random, groups = np.random.default_rng(0), np.repeat(np.arange(40), 5)
    swap, naive = [], []
    for seed in range(400):
        right = [(random.random(40)[groups] < 0.7) for _ in range(2)]
        swap.append(cluster_swap_test(accuracy_gain(*right), groups, permutations=199, seed=seed))
        naive.append(mcnemar_exact(*right).p_greater)
    assert np.mean(np.array(swap) <= 0.05) <= 0.075
    assert np.mean(np.array(naive) <= 0.05) > 0.15


def test_the_gain_is_resampled_in_pairs():
    """Two models that err on the same images have a narrow interval for the gain, wide ones each."""
    random = np.random.default_rng(1)
    champion_N = random.random(300) < 0.7
    challenger_N = champion_N | (random.random(300) < 0.1)

    def accuracy_of(right_N):
        return lambda weights_BN: weights_BN @ right_N / weights_BN.sum(axis=1)

    gain = paired_cluster_bootstrap(
        accuracy_of(champion_N), accuracy_of(challenger_N), np.arange(300), resamples=2000, level=0.95, seed=0
    )
    assert gain.estimate == pytest.approx(challenger_N.mean() - champion_N.mean())
    share = gain.estimate
    assert gain.high - gain.low == pytest.approx(2 * 1.96 * np.sqrt(share * (1 - share) / 300), rel=0.1)
