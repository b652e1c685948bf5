"""The risk-coverage curve, its area and the deferral threshold agree with scikit-learn and with counting."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_curve
from statsmodels.stats.proportion import proportion_confint

from visionpipe.metrics.selective import aurc, aurc_of_images, deferral, risk_coverage_curve
from visionpipe.metrics.summary import classification_metrics


def answers(n=200, seed=0, decimals=None):
    random = np.random.default_rng(seed)
    confidence_N = random.uniform(0.5, 1, n)
    if decimals is not None:
        confidence_N = confidence_N.round(decimals)  # many ties
    return random.random(n) < confidence_N, confidence_N


def risk_by_scikit_learn(correct_N, confidence_N, weights_N=None):
    """Return threshold -> risk: of the images at least as sure, the precision of "it is right" is 1 - risk."""
    precision_T, _, thresholds_T = precision_recall_curve(correct_N, confidence_N, sample_weight=weights_N)
    return dict(zip(thresholds_T.tolist(), 1 - precision_T[:-1], strict=True))


@pytest.mark.parametrize("decimals", [None, 1])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_area_is_the_mean_risk_at_the_confidence_of_each_image(decimals, weighted):
    correct_N, confidence_N = answers(decimals=decimals)
    weights_N = np.random.default_rng(1).random(200) + 0.1 if weighted else None
    risk = risk_by_scikit_learn(correct_N, confidence_N, weights_N)
    expected = np.average([risk[c] for c in confidence_N], weights=weights_N)
    assert aurc(correct_N, confidence_N, weights_N) == pytest.approx(expected, abs=1e-12)


def test_without_ties_it_is_the_formula_of_the_paper():
    correct_N, confidence_N = answers()
    wrong_N = ~correct_N[np.argsort(-confidence_N)]
    expected = np.mean(np.cumsum(wrong_N) / np.arange(1, 201))
    assert aurc(correct_N, confidence_N) == pytest.approx(expected, abs=1e-12)


def test_a_bootstrap_in_one_call_is_that_of_copies_resample_by_resample():
    correct_N, confidence_N = answers(50, decimals=2)
    weights_BN = np.random.default_rng(2).multinomial(50, np.full(50, 1 / 50), size=20)
    copied = [
        aurc(np.repeat(correct_N, weights_N), np.repeat(confidence_N, weights_N)) for weights_N in weights_BN
    ]
    np.testing.assert_allclose(aurc(correct_N, confidence_N, weights_BN), copied, atol=1e-12)


@given(data=st.data())
def test_it_lies_between_perfect_and_reversed_order_and_ignores_the_order_of_the_rows(data):
    pairs = data.draw(
        st.lists(st.tuples(st.booleans(), st.sampled_from([0.5, 0.7, 0.9])), min_size=1, max_size=12)
    )
    correct_N, confidence_N = (np.array(column) for column in zip(*pairs, strict=True))
    shuffled = np.array(data.draw(st.permutations(range(len(pairs)))))
    found = aurc(correct_N, confidence_N)
    assert found == pytest.approx(aurc(correct_N[shuffled], confidence_N[shuffled]), abs=1e-12)
    distinct_N = np.arange(len(pairs))[::-1]
    best, worst = (aurc(np.sort(correct_N)[::step], distinct_N) for step in (-1, 1))
    assert best - 1e-12 <= found <= worst + 1e-12


def test_a_confidence_that_tells_nothing_has_the_error_rate():
    correct_N, _ = answers()
    assert aurc(correct_N, np.full(200, 0.8)) == pytest.approx(1 - correct_N.mean())


@pytest.mark.parametrize(("n", "decimals"), [(1, None), (7, None), (60, 1), (5000, None), (5000, 1)])
def test_the_curve_ends_at_the_error_rate_and_every_point_of_it_is_a_threshold(n, decimals):
    correct_N, confidence_N = answers(n, decimals=decimals)
    curve = risk_coverage_curve(correct_N, confidence_N)
    risks = {}
    for threshold in np.unique(confidence_N):
        kept_N = confidence_N >= threshold
        risks[round(kept_N.mean(), 9)] = 1 - correct_N[kept_N].mean()
    assert 1 <= len(curve) <= 100
    assert curve[-1] == pytest.approx((1.0, 1 - correct_N.mean()))
    coverages = [coverage for coverage, _ in curve]
    assert coverages == sorted(set(coverages))
    for coverage, risk in curve:
        assert risk == pytest.approx(risks[round(coverage, 9)], abs=1e-9)
    if n <= 100:
        assert len(curve) == len(risks)


def test_no_image_has_no_curve():
    assert risk_coverage_curve([], []) == []


def test_at_the_threshold_both_shares_have_exact_intervals():
    correct_N, confidence_N = answers(300)
    found = deferral(correct_N, confidence_N, np.arange(300), 0.7, 0.95)
    kept_N = confidence_N >= 0.7
    assert found["n"] == kept_N.sum()
    assert found["threshold"] == 0.7
    for name, right, n in (
        ("coverage", kept_N.sum(), 300),
        ("accuracy", correct_N[kept_N].sum(), kept_N.sum()),
    ):
        assert found[name]["estimate"] == pytest.approx(right / n)
        expected = proportion_confint(right, n, method="beta")
        np.testing.assert_allclose((found[name]["low"], found[name]["high"]), expected, atol=1e-9)


def test_an_image_at_the_threshold_is_answered():
    found = deferral([True, False], [0.9, 0.8], [0, 1], 0.9, 0.95)
    assert (found["n"], found["accuracy"]["estimate"]) == (1, 1.0)


def test_where_every_image_is_deferred_there_is_no_accuracy_but_a_reason():
    found = deferral([True, False], [0.6, 0.7], [0, 1], 0.9, 0.95)
    assert found["coverage"]["estimate"] == 0
    assert found["accuracy"]["estimate"] is found["accuracy"]["low"] is None
    assert found["accuracy"]["reason"] == "every test image is left to a person"
    json.dumps(found, allow_nan=False)


def test_copies_of_images_do_not_narrow_the_intervals():
    correct_N, confidence_N = answers(80)
    once = deferral(correct_N, confidence_N, np.arange(80), 0.7, 0.95)
    rows = np.repeat(np.arange(80), 5)
    copied = deferral(correct_N[rows], confidence_N[rows], rows, 0.7, 0.95)
    for name in ("coverage", "accuracy"):
        width = once[name]["high"] - once[name]["low"]
        assert copied[name]["high"] - copied[name]["low"] == pytest.approx(width, rel=0.1), name


def draw(n, random):
    """Two classes; the larger the score, the likelier the label."""
    labels_N = (random.random(n) < 0.3).astype(int)
    p_N = 1 / (1 + np.exp(-(2 * (random.normal(size=n) + 2 * labels_N - 1) - 0.85)))
    return labels_N, np.column_stack([1 - p_N, p_N])


def test_its_interval_covers_the_truth():
    """300 simulations of 150 images: 1.3 % standard error."""
    random = np.random.default_rng(5)
    labels_N, probabilities_NK = draw(300_000, random)
    truth = aurc(probabilities_NK.argmax(axis=1) == labels_N, probabilities_NK.max(axis=1))
    covered = 0
    for seed in range(300):
        labels_N, probabilities_NK = draw(150, random)
        found = classification_metrics(
            labels_N, probabilities_NK, ["a", "b"], np.arange(150),
            resamples=300, level=0.95, seed=seed, only=["aurc"],
        )["aurc"]  # fmt: skip
        covered += found["low"] <= truth <= found["high"]
    assert 0.9 <= covered / 300 <= 0.99


def test_a_model_without_a_mistake_is_not_claimed_to_be_certainly_so():
    """The bound is the area of a model that is surest of its mistakes, at the error rate that 40 images leave."""
    labels_N = np.arange(40) % 2
    found = classification_metrics(
        labels_N, np.where(np.eye(2)[labels_N] == 1, 0.9, 0.1), ["a", "b"], np.arange(40),
        resamples=200, level=0.95, seed=0, only=["aurc"],
    )["aurc"]  # fmt: skip
    assert found["estimate"] == found["low"] == 0
    rate = 1 - 0.025 ** (1 / 40)
    surest_are_wrong_N = np.arange(100_000) >= rate * 100_000
    assert found["high"] == pytest.approx(aurc(surest_are_wrong_N, -np.arange(100_000)), abs=1e-4)


@pytest.mark.parametrize("decimals", [None, 1])
def test_what_the_images_add_makes_the_area_and_sure_mistakes_add_most(decimals):
    correct_N, confidence_N = answers(decimals=decimals)
    adds_N = aurc_of_images(correct_N, confidence_N)
    assert adds_N.mean() == pytest.approx(aurc(correct_N, confidence_N))
    assert not adds_N[correct_N].any()
    mistakes = np.flatnonzero(~correct_N)
    by_confidence = mistakes[np.argsort(confidence_N[mistakes])]
    assert (np.diff(adds_N[by_confidence]) >= 0).all()
    assert aurc_of_images([False, True, True], [0.9, 0.6, 0.5])[0] == pytest.approx(1 + 1 / 2 + 1 / 3)


def test_sure_mistakes_that_the_sample_lacks_are_reckoned_with():
    """A model that is surest of its mistakes, 1 % of the images: 100 images show none of them in 37 %."""
    probabilities = np.column_stack([np.linspace(0.6, 0.9, 100), np.linspace(0.4, 0.1, 100)])
    labels = np.zeros(100, dtype=int)
    labels[:10] = 1  # ten unsure mistakes
    found = classification_metrics(
        labels,
        probabilities,
        ["a", "b"],
        np.arange(100),
        resamples=300,
        level=0.95,
        seed=0,
        only={"aurc"},
        allow_unseen=True,
    )["aurc"]
    assert found["high"] > found["estimate"] + 0.01 * (1 - np.log(0.01))
