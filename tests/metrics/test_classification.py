"""Metrics agree with scikit-learn over a grid of settings, weighted, resampled and degenerate."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    f1_score,
    precision_score,
    recall_score,
    roc_auc_score,
)

from random_predictions import predictions
from visionpipe.metrics.classification import (
    accuracy,
    auroc,
    average_precision,
    balanced_accuracy,
    class_precision,
    class_recall,
    macro_f1,
)


@pytest.mark.parametrize("n_classes", [2, 3, 10])
@pytest.mark.parametrize("decimals", [None, 0])
@pytest.mark.parametrize("weighted", [False, True])
def test_every_metric_is_that_of_scikit_learn(n_classes, decimals, weighted):
    labels, probabilities = predictions(180, n_classes, n_classes, decimals)
    predicted = probabilities.argmax(axis=1)
    weights = np.random.default_rng(1).random(180) if weighted else None
    sk = {"sample_weight": weights}
    assert accuracy(labels, predicted, weights) == pytest.approx(accuracy_score(labels, predicted, **sk))
    assert balanced_accuracy(labels, predicted, n_classes, weights) == pytest.approx(
        balanced_accuracy_score(labels, predicted, **sk)
    )
    assert macro_f1(labels, predicted, n_classes, weights) == pytest.approx(
        f1_score(labels, predicted, average="macro", **sk)
    )
    np.testing.assert_allclose(
        class_recall(labels, predicted, n_classes, weights),
        recall_score(labels, predicted, average=None, **sk),
    )
    np.testing.assert_allclose(
        class_precision(labels, predicted, n_classes, weights),
        precision_score(labels, predicted, average=None, zero_division=np.nan, **sk),
    )
    # one class against the rest, by hand: scikit-learn refuses weights for its own average
    columns = [1] if n_classes == 2 else range(n_classes)
    for ours, theirs in ((auroc, roc_auc_score), (average_precision, average_precision_score)):
        expected = np.mean([theirs(labels == k, probabilities[:, k], **sk) for k in columns])
        assert ours(labels, probabilities, weights) == pytest.approx(expected)


@pytest.mark.parametrize("n_classes", [2, 4])
def test_a_whole_bootstrap_in_one_call_is_that_of_scikit_learn_resample_by_resample(n_classes):
    labels, probabilities = predictions(60, n_classes, 5, decimals=1)
    predicted = probabilities.argmax(axis=1)
    weights_BN = np.random.default_rng(2).multinomial(60, np.full(60, 1 / 60), size=25)
    ours = {
        "auroc": auroc(labels, probabilities, weights_BN),
        "f1": macro_f1(labels, predicted, n_classes, weights_BN),
        "balanced": balanced_accuracy(labels, predicted, n_classes, weights_BN),
        "precision": average_precision(labels, probabilities, weights_BN),
    }
    for b, weights in enumerate(weights_BN):
        rows = np.repeat(np.arange(60), weights)
        y, p, z = labels[rows], probabilities[rows], predicted[rows]
        columns = [1] if n_classes == 2 else range(n_classes)
        assert ours["auroc"][b] == pytest.approx(np.mean([roc_auc_score(y == k, p[:, k]) for k in columns]))
        assert ours["f1"][b] == pytest.approx(f1_score(y, z, average="macro"))
        assert ours["balanced"][b] == pytest.approx(balanced_accuracy_score(y, z))
        assert ours["precision"][b] == pytest.approx(
            np.mean([average_precision_score(y == k, p[:, k]) for k in columns])
        )


@given(data=st.data())
def test_auroc_counts_pairs(data):
    n = data.draw(st.integers(2, 20))
    labels = np.array(data.draw(st.lists(st.integers(0, 1), min_size=n, max_size=n)))
    scores = np.array(data.draw(st.lists(st.sampled_from([0.1, 0.4, 0.5, 0.9]), min_size=n, max_size=n)))
    found = auroc(labels, np.column_stack([1 - scores, scores]))
    pairs = [(p > q) + 0.5 * (p == q) for p in scores[labels == 1] for q in scores[labels == 0]]
    assert math.isnan(found) if not pairs else found == pytest.approx(np.mean(pairs))


def test_the_two_classes_of_a_binary_problem_have_the_same_auroc():
    labels, probabilities = predictions(80, 2, 6)
    scores = np.round(probabilities[:, 1], 1)  # many ties, the same ones on both sides
    probabilities = np.column_stack([1 - scores, scores])
    assert auroc(labels, probabilities) == pytest.approx(auroc(1 - labels, probabilities[:, ::-1]))


def test_classes_without_images_do_not_count():
    labels, probabilities = predictions(90, 3, 7)
    wider = np.column_stack([probabilities, np.zeros(90)])
    predicted = wider.argmax(axis=1)
    assert auroc(labels, wider) == auroc(labels, probabilities)
    assert balanced_accuracy(labels, predicted, 4) == balanced_accuracy(labels, predicted, 3)
    assert macro_f1(labels, predicted, 4) == macro_f1(labels, predicted, 3)
    assert math.isnan(class_recall(labels, predicted, 4)[3])
