"""Two-sample tests agree with scipy and with loops, and are quiet when nothing moved."""

import json
import warnings
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ks_2samp, kstest

from visionpipe.stats.two_sample import ks, mmd_permutation


@pytest.mark.parametrize(("n", "m"), [(20, 33), (500, 500), (2001, 900), (900, 5000)])
@pytest.mark.parametrize("shift", [0.0, 0.1, 3.0])
@pytest.mark.parametrize("ties", [False, True])
def test_ks_is_that_of_scipy(n, m, shift, ties):
    random = np.random.default_rng(n + m)
    x, y = random.normal(size=n), random.normal(shift, 1.1, size=m)
    if ties:
        x, y = np.round(x), np.round(y)
    found = ks(x, y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = ks_2samp(x, y, method="asymp" if max(n, m) > 2000 else "auto")
    assert found.statistic == pytest.approx(expected.statistic, abs=1e-12)
    assert found.p_value == pytest.approx(expected.pvalue, abs=1e-12)


@given(
    st.lists(st.floats(-10, 10) | st.sampled_from([0.0, 1.0, -np.inf, np.inf]), min_size=1, max_size=30),
    st.lists(st.floats(-10, 10) | st.sampled_from([0.0, 1.0, -np.inf, np.inf]), min_size=1, max_size=30),
)
def test_both_ways_to_the_ks_statistic_agree(x, y):
    with pytest.MonkeyPatch.context() as patch:
        exact = ks(x, y)
        patch.setattr("visionpipe.stats.two_sample.EXACT_ROWS", 0)
        assert ks(x, y).statistic == pytest.approx(exact.statistic, abs=1e-12)


def test_ks_drops_missing_values_counts_them_and_leaves_its_input_alone():
    random = np.random.default_rng(0)
    x, y = random.normal(size=3000), random.normal(size=2500)
    x[:7], y[::10] = np.nan, np.nan
    kept = x.copy()
    found = ks(x, y)
    assert (found.n_reference, found.n_current) == (2993, 2250)
    assert (found.n_missing_reference, found.n_missing_current) == (7, 250)
    assert found.statistic == ks(x[7:], y[~np.isnan(y)]).statistic
    np.testing.assert_array_equal(x, kept)


def test_a_column_gone_missing_is_not_called_no_drift():
    found = ks([1.0, 2.0], [np.nan, np.nan])
    assert found.p_value is None
    assert "current" in found.reason
    assert "reference" in ks([], [1.0]).reason
    json.dumps(found.as_dict(), allow_nan=False)


def naive_mmd_squared(x, y, bandwidth):
    """Gretton et al. 2012, equation 3, by loops."""
    k = lambda a, b: np.exp(-np.sum((a - b) ** 2) / (2 * bandwidth**2))  # noqa: E731
    n, m = len(x), len(y)
    within_x = sum(k(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    within_y = sum(k(y[i], y[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return within_x + within_y - 2 * sum(k(a, b) for a in x for b in y) / (n * m)


@pytest.mark.parametrize(("n", "m", "shift"), [(12, 17, 0.0), (20, 9, 1.0), (2, 2, 0.5)])
def test_mmd_is_that_of_the_paper(n, m, shift):
    random = np.random.default_rng(n)
    x, y = random.normal(100, 1, size=(n, 3)), random.normal(100 + shift, 1, size=(m, 3))
    found = mmd_permutation(x, y, permutations=10, seed=0)
    pooled = np.concatenate([x, y])
    distances = [np.linalg.norm(pooled[i] - pooled[j]) for i in range(n + m) for j in range(i)]
    # the root of the median squared distance is the median distance up to the two middle pairs
    assert found.bandwidth == pytest.approx(np.median(distances), rel=0.05)
    assert found.bandwidth**2 == pytest.approx(np.median(np.square(distances)))
    assert found.mmd_squared == pytest.approx(naive_mmd_squared(x, y, found.bandwidth), abs=1e-10)


def test_the_permutation_p_value_is_that_of_brute_force():
    random = np.random.default_rng(1)
    x, y = random.normal(size=(6, 2)), random.normal(0.8, 1, size=(6, 2))
    found = mmd_permutation(x, y, permutations=20_000, seed=0)
    pooled = np.concatenate([x, y])
    splits = [list(c) for c in combinations(range(12), 6)]
    values = [
        naive_mmd_squared(pooled[s], np.delete(pooled, s, axis=0), found.bandwidth) for s in splits[:462]
    ]
    # a split and its complement give the same value, so half of the 924 splits are enough
    assert found.p_value == pytest.approx(np.mean(np.array(values) >= found.mmd_squared - 1e-12), abs=0.015)


def test_p_values_are_uniform_when_nothing_moved():
    random = np.random.default_rng(2)
    p_values = [
        mmd_permutation(*random.normal(size=(2, 40, 4)), permutations=199, seed=seed).p_value
        for seed in range(300)
    ]
    assert kstest(p_values, "uniform").pvalue > 0.01
    assert np.mean(np.array(p_values) <= 0.05) <= 0.09


def test_mmd_sees_a_change_of_shape_that_the_mean_does_not():
    random = np.random.default_rng(3)
    x, y = random.normal(size=(300, 5)), 1.6 * random.normal(size=(300, 5))
    assert mmd_permutation(x, y, permutations=200, seed=0).p_value < 0.01


def test_mmd_drops_incomplete_rows_and_draws_at_most_max_rows():
    random = np.random.default_rng(4)
    x, y = random.normal(size=(50, 3)), random.normal(size=(400, 3))
    x[3, 1], y[:5, 0] = np.nan, np.inf
    options = {"permutations": 50, "seed": 7, "max_rows": 100}
    found = mmd_permutation(x, y, **options)
    assert (found.n_reference, found.n_current) == (49, 100)
    assert (found.n_missing_reference, found.n_missing_current) == (1, 5)
    assert mmd_permutation(x, y, **options) == found


@pytest.mark.parametrize("y", [np.zeros((5, 2)), np.vstack([np.zeros((5, 2)), np.ones((1, 2))])])
def test_mmd_of_constant_embeddings_is_no_crash(y):
    found = mmd_permutation(np.zeros((20, 2)), y, permutations=50, seed=0)
    assert 0 < found.p_value <= 1
    json.dumps(found.as_dict(), allow_nan=False)


def test_mmd_says_why_when_there_is_too_little():
    found = mmd_permutation(np.full((5, 2), np.nan), np.zeros((5, 2)), permutations=10, seed=0)
    assert found.p_value is None
    assert "reference" in found.reason
    assert mmd_permutation([], np.zeros((5, 2)), permutations=10, seed=0).p_value is None


def test_embeddings_of_two_sizes_are_refused():
    with pytest.raises(ValueError, match="3 features in the reference, 2 now"):
        mmd_permutation(np.zeros((5, 3)), np.zeros((5, 2)), permutations=10, seed=0)
