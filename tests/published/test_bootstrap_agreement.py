"""On the same resamples our bootstrap is scipy's, and our effective size is what statsmodels' robust variance says."""

import math

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.stats import bootstrap, norm, t
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from visionpipe.metrics.classification import auroc, balanced_accuracy
from visionpipe.stats.bootstrap import cluster_bootstrap
from visionpipe.stats.intervals import effective_size
from visionpipe.stats.paired import paired_cluster_bootstrap

RESAMPLES = 400


def scipys(data, statistic):
    """Both draw `integers(0, n, (resamples, n))` from a generator of this seed: the resamples are the same.

    Ours is expanded for n clusters, as scipy's is with more confidence.
    """
    n = len(data[0])
    expanded = math.sqrt(n / (n - 1)) * t.ppf(0.975, n - 1)
    found = bootstrap(
        data,
        statistic,
        paired=True,
        vectorized=False,
        n_resamples=RESAMPLES,
        confidence_level=2 * norm.cdf(expanded) - 1,
        method="BCa",
        rng=np.random.default_rng(5),
    )
    return found.confidence_interval


def ours(statistic, clusters_N):
    found = cluster_bootstrap(statistic, clusters_N, resamples=RESAMPLES, level=0.95, seed=5)
    return found.low, found.high


def test_auroc():
    random = np.random.default_rng(0)
    labels_N = np.repeat([0, 1], [70, 50])
    score_N = random.normal(size=120) + labels_N
    probabilities_NK = np.column_stack([-score_N, score_N])
    expected = scipys((labels_N, score_N), lambda y, s: roc_auc_score(y, s))
    found = ours(lambda w_BN: auroc(labels_N, probabilities_NK, w_BN), np.arange(120))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_a_mean_over_groups_of_several_sizes():
    """Scipy draws pairs (sum, size) of the groups, and divides."""
    random = np.random.default_rng(1)
    groups_N = np.repeat(np.arange(60), random.integers(1, 6, size=60))
    values_N = random.exponential(size=60)[groups_N] + 0.3 * random.random(len(groups_N))
    sums_G, sizes_G = np.bincount(groups_N, values_N), np.bincount(groups_N)
    expected = scipys((sums_G, sizes_G), lambda s, n: s.sum() / n.sum())
    found = ours(lambda w_BN: w_BN @ values_N / w_BN.sum(axis=1), groups_N)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_the_gain_of_one_model_over_another():
    random = np.random.default_rng(2)
    labels_N = (random.random(150) < 0.4).astype(int)
    says = [np.where(random.random(150) < right, labels_N, 1 - labels_N) for right in (0.75, 0.85)]

    def gain(y, champion, challenger):
        return balanced_accuracy_score(y, challenger) - balanced_accuracy_score(y, champion)

    expected = scipys((labels_N, *says), gain)
    scores = [lambda w_BN, codes_N=codes_N: balanced_accuracy(labels_N, codes_N, 2, w_BN) for codes_N in says]
    found = paired_cluster_bootstrap(*scores, np.arange(150), resamples=RESAMPLES, level=0.95, seed=5)
    np.testing.assert_allclose((found.low, found.high), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_the_effective_size_is_that_of_the_larger_design_effect(seed):
    """Cluster-robust, and by the intraclass correlation; half a cluster of average size at each outcome is added."""
    random = np.random.default_rng(seed)
    groups_N = np.repeat(np.arange(40), random.integers(1, 8, size=40))
    right_N = (random.beta(2, 1, size=40)[groups_N] > random.random(len(groups_N))).astype(float)
    n, size = len(right_N), len(right_N) / 40
    weight = np.sum(np.bincount(groups_N) ** 2) / n
    # a row that is half a cluster of `size` rows: its residual counts size / 2 times here, (size / 2)^2 times there
    weights_N = np.append(np.ones(n), [size / 2, size / 2])
    model = sm.WLS(np.append(right_N, [0, 1]), np.ones(n + 2), weights=weights_N)
    residuals_N = model.fit().wresid
    totals_G = np.bincount(groups_N, weights=residuals_N[:n])
    clustered = totals_G @ totals_G + size * (residuals_N[n:] @ residuals_N[n:])
    robust = max(1.0, 40 / 39 * (n - 1) / n * clustered / (residuals_N @ residuals_N))
    one_way = sm.OLS(right_N, groups_N[:, None] == np.arange(40)).fit()
    within = one_way.ssr / (one_way.df_resid + size - 1)
    correlation = max(0.0, 1 - within / (residuals_N @ residuals_N / (n + size)))
    sizes = [
        n / design_effect * (t.ppf(0.975, n - 1) / t.ppf(0.975, df)) ** 2
        for design_effect, df in ((robust, n / weight - 1), (1 + correlation * (weight - 1), 39))
    ]
    assert effective_size(right_N, groups_N) == pytest.approx(min(sizes), abs=1e-6)
