"""The expected cost is the confusion matrix times the costs, and its interval counts what has not happened yet."""

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix
from statsmodels.stats.proportion import proportion_confint

from visionpipe.metrics.costs import cost_matrix, expected_cost
from visionpipe.metrics.summary import classification_metrics

DEAR_MISS = cost_matrix({"defective": {"functional": 10}}, ["defective", "functional"])


def draw(n, seed, share=0.3, missed=0.1, false_alarms=0.05):
    """Class 0 is the rare one; each class has its own error rate."""
    random = np.random.default_rng(seed)
    labels_N = (random.random(n) > share).astype(int)
    wrong_N = random.random(n) < np.where(labels_N == 0, missed, false_alarms)
    return labels_N, np.where(wrong_N, 1 - labels_N, labels_N)


@pytest.mark.parametrize("n_classes", [2, 4])
def test_it_is_the_mean_of_the_costs_in_the_confusion_matrix(n_classes):
    random = np.random.default_rng(n_classes)
    labels_N, predicted_N = random.integers(0, n_classes, size=(2, 150))
    costs_KK = random.integers(0, 20, size=(n_classes, n_classes)).astype(float)
    found = expected_cost(labels_N, predicted_N, costs_KK, np.arange(150))
    expected = (confusion_matrix(labels_N, predicted_N) * costs_KK).sum() / 150
    assert found.estimate == pytest.approx(expected)
    assert costs_KK.min() <= found.low < expected < found.high <= costs_KK.max()


@pytest.mark.parametrize("cost", [1, 7])
def test_with_one_cost_it_is_that_cost_times_the_exact_interval_of_the_error_rate(cost):
    labels_N, predicted_N = draw(200, 0)
    found = expected_cost(labels_N, predicted_N, cost * (1 - np.eye(2)), np.arange(200))
    low, high = proportion_confint((labels_N != predicted_N).sum(), 200, method="beta")
    assert (found.low, found.high) == (pytest.approx(cost * low), pytest.approx(cost * high))


def test_what_is_right_costs_nothing_and_mistakes_that_are_not_named_cost_one():
    costs_KK = cost_matrix({"a": {"c": 5, "a": 0.5}}, ["a", "b", "c"])
    np.testing.assert_array_equal(costs_KK, [[0.5, 1, 5], [1, 0, 1], [1, 1, 0]])


def test_a_cost_of_a_class_that_does_not_exist_is_named():
    with pytest.raises(ValueError, match=r"costs name 'cat', 'owl'; known classes: a, b"):
        cost_matrix({"a": {"owl": 1}, "cat": {"b": 2}}, ["a", "b"])


def test_a_dear_mistake_that_has_not_been_seen_still_counts():
    labels_N, predicted_N = draw(100, 1, missed=0)
    found = expected_cost(labels_N, predicted_N, DEAR_MISS, np.arange(100))
    cheap = expected_cost(labels_N, predicted_N, 1 - np.eye(2), np.arange(100))
    assert found.estimate == cheap.estimate  # no dear one among them
    unseen = 1 - 0.025 ** (1 / 100)  # the largest share of which 100 images may show none
    assert found.high >= 9 * unseen
    flawless = expected_cost(labels_N, labels_N, DEAR_MISS, np.arange(100))
    assert (flawless.estimate, flawless.low) == (0, 0)
    assert flawless.high == pytest.approx(10 * unseen)


@pytest.mark.parametrize(
    ("n", "rates", "cost"),
    [(200, {}, 10), (150, {"missed": 0.3, "false_alarms": 0.02}, 3), (120, {"missed": 0.02}, 50)],
)
def test_its_bounds_err_at_most_as_often_as_they_may(n, rates, cost):
    """400 simulations; 2.5 % a side may err: 19 or more have a chance of 1 %."""
    costs_KK = np.array([[0, cost], [1, 0]])
    rate = {"share": 0.3, "missed": 0.1, "false_alarms": 0.05} | rates
    truth = rate["share"] * rate["missed"] * cost + (1 - rate["share"]) * rate["false_alarms"]
    found = [expected_cost(*draw(n, seed, **rates), costs_KK, np.arange(n)) for seed in range(400)]
    assert sum(interval.low > truth for interval in found) < 19
    assert sum(interval.high < truth for interval in found) < 19


def test_copies_of_images_do_not_narrow_the_interval():
    labels_N, predicted_N = draw(100, 2)
    once = expected_cost(labels_N, predicted_N, DEAR_MISS, np.arange(100))
    rows = np.repeat(np.arange(100), 4)
    copied = expected_cost(labels_N[rows], predicted_N[rows], DEAR_MISS, rows)
    assert copied.high - copied.low == pytest.approx(once.high - once.low, rel=0.1)


def test_where_nothing_costs_anything_there_is_nothing_to_estimate():
    found = expected_cost([0, 1], [1, 1], np.zeros((2, 2)), [0, 1])
    assert (found.low, found.estimate, found.high) == (0, 0, 0)


def test_the_summary_takes_costs_by_name():
    labels_N, predicted_N = draw(100, 3)
    probabilities_NK = np.where(np.eye(2)[predicted_N] == 1, 0.9, 0.1)

    def summary(**options):
        found = classification_metrics(
            labels_N, probabilities_NK, ["defective", "functional"], np.arange(100),
            resamples=100, level=0.95, seed=0, only=[], **options,
        )  # fmt: skip
        return found["expected_cost"]

    expected = expected_cost(labels_N, predicted_N, DEAR_MISS, np.arange(100))
    found = summary(costs={"defective": {"functional": 10}})
    assert (found["estimate"], found["high"], found["n"]) == (expected.estimate, expected.high, 100)
    assert summary()["estimate"] == pytest.approx((labels_N != predicted_N).mean())
