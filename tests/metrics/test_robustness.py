"""Numbers of the examination agree with scikit-learn, scipy and torch, and claim no more than their images allow."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import beta, binomtest, norm, quantile_test
from sklearn.metrics import roc_auc_score, roc_curve

from visionpipe.metrics.robustness import (
    accuracy_entry,
    detection,
    energy,
    mean_accuracy,
    surely_worse_from,
    systematic_sample,
)

OPTIONS = {"resamples": 400, "level": 0.95, "seed": 0}


def test_accuracy_has_an_exact_interval():
    found = accuracy_entry([1, 1, 1, 0], ["a", "b", "c", "d"], 0.95)
    assert (found["estimate"], found["n"]) == (0.75, 4)
    assert found["low"] == pytest.approx(beta.ppf(0.025, 3, 2))
    assert found["high"] == pytest.approx(beta.ppf(0.975, 4, 1))


def test_the_mean_is_over_all_corruptions_and_strengths():
    entries = {"blur": [{"estimate": 1.0}, {"estimate": 0.5}], "fog": [{"estimate": 0.0}]}
    assert mean_accuracy(entries) == 0.5
    assert mean_accuracy({}) is None


@pytest.mark.parametrize("seed", range(5))
def test_detection_agrees_with_scikit_learn(seed):
    random = np.random.default_rng(seed)
    inside, outside = random.normal(1, 1, 60).round(1), random.normal(0, 1, 40).round(1)
    found = detection(inside, outside, np.arange(60), **OPTIONS)
    truth, scores = np.repeat([1, 0], [60, 40]), np.concatenate([inside, outside])
    assert found["auroc"]["estimate"] == pytest.approx(roc_auc_score(truth, scores), abs=1e-12)
    assert found["auroc"]["low"] < found["auroc"]["estimate"] < found["auroc"]["high"]
    fpr, tpr, _ = roc_curve(truth, scores, drop_intermediate=False)
    assert found["false_positive_rate"]["estimate"] == pytest.approx(fpr[tpr >= 0.95][0])


def test_perfect_detection_on_few_pictures_is_not_certain():
    found = detection(np.linspace(5, 6, 10), np.zeros(12), np.arange(10), **OPTIONS)["auroc"]
    assert (found["estimate"], found["high"]) == (1.0, 1.0)
    assert found["low"] == pytest.approx(beta.ppf(0.025, 10, 1))
    found = detection(np.zeros(10), np.linspace(5, 6, 12), np.arange(10), **OPTIONS)["auroc"]
    assert (found["estimate"], found["low"]) == (0.0, 0.0)
    assert found["high"] == pytest.approx(beta.ppf(0.975, 1, 10))


@pytest.mark.parametrize("level", [0.8, 0.95])
@pytest.mark.parametrize("n", [24, 100, 400])
def test_the_false_positive_rate_is_as_uncertain_as_its_threshold(n, level):
    """The threshold's exact interval and those of the shares at its ends are scipy's, each with half of the error."""
    random = np.random.default_rng(n)
    inside, outside = random.normal(0, 1, n), random.normal(-1.5, 1, 60)
    found = detection(inside, outside, np.arange(n), resamples=20, level=level, seed=0)["false_positive_rate"]
    halved = (1 + level) / 2
    lowest, highest = quantile_test(inside, p=0.05).confidence_interval(halved)
    lowest = -np.inf if np.isnan(lowest) else lowest
    low, high = (
        binomtest(int((outside >= score).sum()), 60).proportion_ci(halved, method="exact")
        for score in (highest, lowest)
    )
    assert (found["low"], found["high"]) == pytest.approx((low.low, high.high))
    assert (found["high"] == 1) == (n == 24)


@pytest.mark.parametrize(
    ("n", "m", "images_per_group"), [(24, 60, 1), (24, 500, 1), (200, 200, 1), (200, 200, 4)]
)
def test_the_interval_of_the_false_positive_rate_covers_the_truth(n, m, images_per_group):
    random, runs = np.random.default_rng(0), 300
    truth = norm.sf(norm.ppf(0.05), -1.5)
    groups = np.arange(n) // images_per_group
    covered = 0
    for _ in range(runs):
        inside = random.normal(0, 1, n)[groups]
        outside = random.normal(-1.5, 1, m)
        found = detection(inside, outside, groups, resamples=1, level=0.9, seed=0)["false_positive_rate"]
        covered += found["low"] <= truth <= found["high"]
    assert covered / runs >= 0.9 - 2 * np.sqrt(0.9 * 0.1 / runs)


def test_images_of_one_group_are_one_piece_of_evidence():
    inside, outside = np.repeat(np.linspace(0, 1, 8), 5), np.linspace(-0.5, 0.8, 40)
    alone = detection(inside, outside, np.arange(40), **OPTIONS)["auroc"]
    grouped = detection(inside, outside, np.repeat(np.arange(8), 5), **OPTIONS)["auroc"]
    assert grouped["estimate"] == alone["estimate"]
    assert grouped["high"] - grouped["low"] > 1.5 * (alone["high"] - alone["low"])


def test_scores_that_are_not_finite_are_not_judged():
    found = detection([0.5, np.nan], [0.1, 0.2], ["a", "b"], **OPTIONS)
    assert found["auroc"]["estimate"] is None
    assert found["auroc"]["reason"] == "scores are not finite"
    assert found["false_positive_rate"] is None


def test_energy_is_torchs_logsumexp():
    logits = np.random.default_rng(0).normal(0, 300, (50, 4))
    np.testing.assert_allclose(energy(logits), torch.logsumexp(torch.tensor(logits), 1).numpy(), rtol=1e-12)


def answers(n_right, n=24):
    return np.arange(n) < n_right


def test_a_loss_is_claimed_where_the_exact_test_of_scipy_proves_it():
    groups, alpha = np.arange(24), 0.01
    for n_left in range(24):
        p_value = binomtest(24 - n_left, 24 - n_left, 0.5, alternative="greater").pvalue
        found = surely_worse_from(answers(24), [answers(n_left)], groups, alpha)
        assert found == (1 if p_value <= alpha else None)


def test_strengths_are_claimed_from_the_strongest_down_without_a_gap():
    groups = np.arange(24)
    steps = [answers(n) for n in (24, 12, 22, 10, 2)]
    assert surely_worse_from(answers(24), steps, groups, 0.01) == 4
    assert surely_worse_from(answers(24), [*steps[:4], answers(23)], groups, 0.01) is None
    assert surely_worse_from(answers(24), [], groups, 0.01) is None


def test_near_duplicates_prove_less():
    plain, corrupted = answers(24), answers(14)
    assert surely_worse_from(plain, [corrupted], np.arange(24), 0.01) == 1
    assert surely_worse_from(plain, [corrupted], np.arange(24) // 5, 0.01) is None


def test_a_harmless_change_is_rarely_called_a_loss():
    """Answers change as often for the better as for the worse; at most alpha of such changes may be claimed."""
    random = np.random.default_rng(0)
    claims = 0
    for _ in range(2000):
        plain = random.random(24) < 0.7
        steps = [np.where(random.random(24) < 0.3, random.random(24) < 0.7, plain) for _ in range(5)]
        claims += surely_worse_from(plain, steps, np.arange(24), 0.05) is not None
    assert claims / 2000 <= 0.05


def test_a_systematic_sample_steps_through_the_rows():
    for n_rows, count in ((100, 7), (24, 23), (5, 1)):
        for seed in range(50):
            rows = systematic_sample(n_rows, count, seed)
            assert len(rows) == count
            assert rows[0] >= 0
            assert rows[-1] < n_rows
            assert set(np.diff(rows)) <= {n_rows // count, -(-n_rows // count)}
    assert systematic_sample(4, 9, 0).tolist() == [0, 1, 2, 3]
    assert systematic_sample(4, 0, 0).tolist() == []
    assert systematic_sample(0, 3, 0).tolist() == []
