"""A label is given at the least expected cost or under a false-positive cap, and the promise holds on new images."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from visionpipe.metrics.costs import cost_matrix
from visionpipe.models.classifier import ModelSpec
from visionpipe.models.decisions import Decision, capped_threshold, fit_prior_weights
from visionpipe.models.recipe_parameters import CalibrationParameters


def drawn(shares_K, n_images=20_000, seed=0):
    """Return probabilities that are true, and labels drawn from them, of classes in about the given shares."""
    random = np.random.default_rng(seed)
    probabilities_NK = softmax(random.normal(0, 1.5, (n_images, len(shares_K))) + np.log(shares_K), axis=1)
    labels_N = (probabilities_NK.cumsum(axis=1) < random.random((n_images, 1))).sum(axis=1)
    return probabilities_NK, np.minimum(labels_N, len(shares_K) - 1)


def by_least_cost(costs_KK, weights_K=None):
    weights_K = np.ones(len(costs_KK)) if weights_K is None else weights_K
    return Decision(costs_KK=costs_KK.tolist(), prior_weights_K=list(weights_K))


def test_without_a_rule_the_likeliest_class_is_given():
    probabilities_NK, _ = drawn([0.2, 0.3, 0.5], 50)
    np.testing.assert_array_equal(Decision().choose(probabilities_NK), probabilities_NK.argmax(axis=1))


@given(st.integers(0, 999), st.integers(2, 5))
def test_each_image_gets_the_label_of_least_expected_cost(seed, n_classes):
    random = np.random.default_rng(seed)
    costs_KK = random.random((n_classes, n_classes)) * (1 - np.eye(n_classes))
    probabilities_NK = softmax(random.normal(size=(20, n_classes)), axis=1)
    chosen_N = by_least_cost(costs_KK).choose(probabilities_NK)
    for p_K, chosen in zip(probabilities_NK, chosen_N, strict=True):
        expected = [sum(p_K[k] * costs_KK[k, j] for k in range(n_classes)) for j in range(n_classes)]
        assert expected[chosen] == pytest.approx(min(expected))


def test_with_two_classes_the_threshold_is_elkan_s():
    """Elkan, The Foundations of Cost-Sensitive Learning, IJCAI 2001, equation 2."""
    costs_KK = cost_matrix({"bad": {"good": 9.0}}, ["bad", "good"])
    bad_N = np.linspace(0, 1, 1001)
    chosen_N = by_least_cost(costs_KK).choose(np.column_stack([bad_N, 1 - bad_N]))
    assert bad_N[chosen_N == 0].min() == pytest.approx(1 / (1 + 9), abs=0.0011)


@pytest.mark.parametrize("shares", [[0.5, 0.5], [0.9, 0.1], [0.7, 0.2, 0.1]])
def test_true_probabilities_get_weights_of_1(shares):
    weights_K = fit_prior_weights(*drawn(shares))
    np.testing.assert_allclose(weights_K, 1, rtol=0.1)


@pytest.mark.parametrize("shares", [[0.9, 0.1], [0.7, 0.2, 0.1]])
def test_weights_undo_what_balanced_training_does_to_the_prior(shares):
    probabilities_NK, labels_N = drawn(shares)
    balanced_NK = probabilities_NK / np.array(shares)
    balanced_NK /= balanced_NK.sum(axis=1, keepdims=True)
    weights_K = fit_prior_weights(balanced_NK, labels_N)
    expected_K = np.array(shares) / np.exp(np.log(shares).mean())
    np.testing.assert_allclose(weights_K, expected_K, rtol=0.1)
    mended_NK = balanced_NK * weights_K
    mended_NK /= mended_NK.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(
        mended_NK.mean(axis=0), np.bincount(labels_N) / len(labels_N), atol=1e-3
    )  # one made-up image


def test_with_many_classes_their_mean_probabilities_are_their_shares_too():
    random, n_classes = np.random.default_rng(0), 100
    shares_K = 1 / np.arange(1, n_classes + 1)
    labels_N = np.append(np.arange(n_classes), random.choice(n_classes, 400, p=shares_K / shares_K.sum()))
    logits_NK = random.normal(size=(500, n_classes))
    logits_NK[np.arange(500), labels_N] += 2
    probabilities_NK = softmax(logits_NK, axis=1)
    mended_NK = probabilities_NK * fit_prior_weights(probabilities_NK, labels_N)
    mended_NK /= mended_NK.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(mended_NK.mean(axis=0), np.bincount(labels_N) / 500, atol=1e-3)


def test_two_classes_weigh_as_logistic_regression_finds():
    probabilities_NK, labels_N = drawn([0.8, 0.2])
    shifted_N = np.log(probabilities_NK[:, 1] / probabilities_NK[:, 0]) + 1.5
    shifted_NK = softmax(np.column_stack([np.zeros(len(labels_N)), shifted_N]), axis=1)
    weights_K = fit_prior_weights(shifted_NK, labels_N)
    # its slope, which is the temperature's part, is 1 within a few per cent on this sample
    found = LogisticRegression(C=np.inf).fit(shifted_N[:, None], labels_N)
    assert found.coef_[0, 0] == pytest.approx(1, abs=0.05)
    assert np.log(weights_K[1] / weights_K[0]) == pytest.approx(found.intercept_[0], abs=0.06)


@pytest.mark.parametrize("sure", [1 - 1e-9, 1.0])
def test_weights_stay_finite_where_no_image_is_wrong(sure):
    labels_N = np.arange(30) % 3
    probabilities_NK = np.where(np.eye(3, dtype=bool)[labels_N], sure, (1 - sure) / 2)
    np.testing.assert_allclose(fit_prior_weights(probabilities_NK, labels_N), 1, rtol=0.01)


def test_mistakes_cost_less_on_new_images_also_after_balanced_training():
    shares, costs_KK = [0.9, 0.1], np.array([[0.0, 1.0], [2.0, 0.0]])
    probabilities_NK, labels_N = drawn(shares)
    balanced_NK = probabilities_NK / np.array(shares)
    balanced_NK /= balanced_NK.sum(axis=1, keepdims=True)
    seen, new = slice(0, 500), slice(500, None)

    def cost(decision):
        return costs_KK[labels_N[new], decision.choose(balanced_NK[new])].mean()

    weights_K = fit_prior_weights(balanced_NK[seen], labels_N[seen])
    best = costs_KK[labels_N[new], by_least_cost(costs_KK).choose(probabilities_NK[new])].mean()
    assert cost(by_least_cost(costs_KK, weights_K)) < 1.02 * best
    assert cost(by_least_cost(costs_KK)) > 1.1 * best  # what balanced probabilities would have cost
    assert cost(Decision()) > 1.1 * best


@pytest.mark.parametrize("cap", [0.02, 0.1, 0.3])
@pytest.mark.parametrize("n_others", [49, 120])
def test_the_false_positive_rate_on_new_images_is_under_the_cap_on_average_and_close_to_it(cap, n_others):
    random = np.random.default_rng(1)
    rates = []
    for _ in range(3000):
        scores_N = random.random(n_others + 10)  # of other classes uniform: the rate beyond t is 1 - t
        threshold = capped_threshold(scores_N, np.arange(len(scores_N)) >= n_others, cap)
        rates.append(1 - threshold if threshold is not None else 0.0)
    error = np.std(rates) / np.sqrt(len(rates))
    assert np.mean(rates) <= cap + 3 * error
    if cap * (n_others + 1) >= 1:
        assert np.mean(rates) >= cap - 1 / (n_others + 1) - 3 * error


@given(
    st.lists(st.sampled_from([0.1, 0.4, 0.40001, 0.7, 1.0]), min_size=1, max_size=40), st.floats(0.01, 0.99)
)
def test_with_ties_too_no_more_validation_images_are_given_the_class_than_allowed(scores, cap):
    scores_N = np.array(scores)
    threshold = capped_threshold(scores_N, np.zeros(len(scores_N), dtype=bool), cap)
    allowed = cap * (len(scores_N) + 1) - 1
    if threshold is None:
        assert allowed < 1e-8
    else:
        assert (scores_N >= threshold).sum() <= allowed + 1e-8
        lower = scores_N[scores_N < threshold].max(initial=-1)
        assert lower < 0 or (scores_N >= lower).sum() > allowed - 1  # the next score down would be too many


@pytest.mark.parametrize(("cap", "n_others"), [(0.29, 99), (0.57, 99), (0.1, 29)])
def test_rounding_errors_cost_no_image(cap, n_others):
    scores_N = np.linspace(0, 1, n_others)
    threshold = capped_threshold(scores_N, np.zeros(n_others, dtype=bool), cap)
    assert (scores_N >= threshold).sum() == round(cap * (n_others + 1)) - 1


def test_a_capped_class_is_given_from_its_threshold_on_and_never_below():
    rule = Decision(capped_class=1, capped_from=0.3)
    probabilities_NK = np.array([[0.7, 0.3, 0.0], [0.1, 0.29, 0.61], [0.2, 0.29, 0.51], [0.4, 0.25, 0.35]])
    assert rule.choose(probabilities_NK).tolist() == [1, 2, 2, 0]
    strict = Decision(capped_class=1, capped_from=0.95)
    assert strict.choose(np.array([[0.06, 0.94, 0.0], [0.02, 0.96, 0.02]])).tolist() == [0, 1]


def test_the_spec_gives_labels_and_keeps_its_rule_through_json():
    spec = ModelSpec(
        backbone="x", weights="none", classes=["bad", "good"], image_size_px=32,
        decision=by_least_cost(np.array([[0.0, 9.0], [1.0, 0.0]])),
    )  # fmt: skip
    again = ModelSpec.model_validate_json(spec.model_dump_json())
    assert again == spec
    assert again.decision.choose(np.array([[0.2, 0.8], [0.05, 0.95]])).tolist() == [0, 1]


@pytest.mark.parametrize(
    "rule",
    [
        {"costs_KK": [[0, 1], [1, 0]]}, {"prior_weights_K": [1, 1]}, {"capped_class": 1}, {"capped_from": 0.5},
        {"capped_class": 2, "capped_from": 0.5},
        {"costs_KK": [[0, 1, 1], [1, 0, 1], [1, 1, 0]], "prior_weights_K": [1, 1, 1]},
        {"costs_KK": [[0, 1], [1]], "prior_weights_K": [1, 1]}, {"costs_KK": [[0, 1]], "prior_weights_K": [1, 1]},
        {"costs_KK": [], "prior_weights_K": []},
    ],
)  # fmt: skip
def test_a_damaged_rule_is_refused(rule):
    with pytest.raises(ValidationError, match="decision: is incomplete or not made for 2 classes"):
        ModelSpec(backbone="x", weights="none", classes=["a", "b"], image_size_px=32, decision=rule)


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"decision": "least_cost"}, "training.calibration.costs"),
        ({"decision": "capped_false_positives"}, "training.calibration.capped_class"),
        ({"decision": "least_cost", "costs": {"a": {"b": -1}}}, "greater than or equal to 0"),
    ],
)
def test_parameters_that_lack_what_the_rule_needs_are_refused(parameters, said):
    with pytest.raises(ValidationError, match=said):
        CalibrationParameters(**parameters)
