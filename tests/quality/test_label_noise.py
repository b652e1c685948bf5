"""Doubtful labels: cleanlab's own numbers, an independent confident joint, and folds that cannot leak."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from visionpipe.errors import VisionpipeError
from visionpipe.quality.label_noise import out_of_fold_probabilities, rank_labels, summarise_audit
from visionpipe.quality.parameters import LabelAuditParameters

CLASSES = ["cat", "cow", "dog"]
PLAIN = LabelAuditParameters()


def noisy_labels(n=600, seed=0):
    """Return labels of which 8 % are wrong, and probabilities that mostly see it."""
    random = np.random.default_rng(seed)
    truth_N = random.choice(3, n, p=[0.5, 0.3, 0.2])
    labels_N = np.where(random.random(n) < 0.08, (truth_N + random.integers(1, 3, n)) % 3, truth_N)
    logits_NK = random.normal(0, 1, (n, 3)) + 2.5 * np.eye(3)[truth_N]
    probabilities_NK = np.exp(logits_NK) / np.exp(logits_NK).sum(axis=1, keepdims=True)
    return labels_N, probabilities_NK


def manifest_of(labels_N, classes=CLASSES):
    return pd.DataFrame(
        {
            "image_id": [f"{place:05d}" for place in range(len(labels_N))],
            "label": [classes[code] for code in labels_N],
            "source": "farm",
            "split": "train",
        }
    )


@pytest.mark.parametrize("score", ["self_confidence", "normalized_margin", "confidence_weighted_entropy"])
def test_the_ranking_is_cleanlabs(score):
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    labels_N, probabilities_NK = noisy_labels()
    listed = rank_labels(manifest_of(labels_N), CLASSES, probabilities_NK, LabelAuditParameters(score=score))
    place_N = listed["image_id"].astype(int).to_numpy()
    quality_N = get_label_quality_scores(labels_N, probabilities_NK, method=score)
    assert np.array_equal(listed["label_quality"], np.sort(quality_N))
    assert np.array_equal(listed["label_quality"], quality_N[place_N])
    assert np.array_equal(listed["is_issue"], find_label_issues(labels_N, probabilities_NK)[place_N])
    given_N = probabilities_NK[np.arange(len(labels_N)), labels_N]
    assert listed["self_confidence"].to_numpy() == pytest.approx(given_N[place_N])
    assert listed["suggested_label"].tolist() == [CLASSES[k] for k in probabilities_NK.argmax(1)[place_N]]


def confident_joint(labels_N, probabilities_NK):
    """Count images by given label and the class they are confidently counted to (JAIR 2021, equations 1 and 2)."""
    k = probabilities_NK.shape[1]
    threshold_K = np.array([probabilities_NK[labels_N == j, j].mean() for j in range(k)])
    counts_KK = np.zeros((k, k))
    for given, row in zip(labels_N, probabilities_NK, strict=True):
        above = [j for j in range(k) if row[j] >= threshold_K[j]]
        if above:
            counts_KK[given, max(above, key=lambda j: row[j])] += 1
    return counts_KK


@pytest.mark.parametrize("seed", range(5))
def test_as_many_doubts_as_an_independent_confident_joint_leads_to(seed):
    """Prune by noise rate (section 3.2): of each off-diagonal cell of the calibrated joint, its worst by margin."""
    labels_N, probabilities_NK = noisy_labels(seed=seed)
    counts_KK = confident_joint(labels_N, probabilities_NK)
    given_K = np.bincount(labels_N, minlength=3)
    joint_KK = counts_KK / counts_KK.sum(axis=1, keepdims=True) * given_K[:, None]  # equation 3, in images
    expected = set()
    for given in range(3):
        rows = np.flatnonzero(labels_N == given)
        for other in set(range(3)) - {given}:
            margin = probabilities_NK[rows, other] - probabilities_NK[rows, given]
            worst = rows[np.argsort(-margin)][: round(joint_KK[given, other])]
            expected |= {int(row) for row in worst if probabilities_NK[row].argmax() != given}
    listed = rank_labels(manifest_of(labels_N), CLASSES, probabilities_NK, PLAIN)
    found = set(listed.loc[listed["is_issue"], "image_id"].astype(int))
    # cleanlab rounds the rows of its joint so that they keep their sums: a cell may differ by one image
    assert len(found ^ expected) <= 6
    assert len(found & expected) >= 0.9 * len(expected)


def test_each_image_is_predicted_by_a_model_that_saw_neither_it_nor_its_group():
    random = np.random.default_rng(1)
    groups_N = np.repeat(np.arange(60), 2)
    labels_N = np.repeat(random.integers(0, 2, 60), 2)
    features_ND = np.repeat(random.normal(size=(60, 200)), 2, axis=0)  # near-duplicates, and nothing to learn
    free = LabelAuditParameters(inverse_regularisation=10.0)
    leaking = out_of_fold_probabilities(features_ND, labels_N, np.arange(120), free)
    honest = out_of_fold_probabilities(features_ND, labels_N, groups_N, free)

    def accuracy(probabilities_NK):
        return (probabilities_NK.argmax(axis=1) == labels_N).mean()

    assert accuracy(leaking) > 0.8  # the twin in the training part gives it away
    assert accuracy(honest) < 0.65  # chance


def test_probabilities_are_those_of_scikit_learn_on_the_other_folds():
    random = np.random.default_rng(2)
    labels_N = random.integers(0, 3, 120)
    features_ND = random.normal(size=(120, 8)) + 2 * np.eye(8)[labels_N]
    parameters = LabelAuditParameters(folds=2, inverse_regularisation=0.5)
    found_NK = out_of_fold_probabilities(features_ND, labels_N, np.arange(120).astype(str), parameters)
    assert found_NK.sum(axis=1) == pytest.approx(1)
    from sklearn.model_selection import StratifiedGroupKFold

    ids = np.arange(120).astype(str)
    for train, rest in StratifiedGroupKFold(2, shuffle=True, random_state=0).split(ids, labels_N, ids):
        scale = StandardScaler().fit(features_ND[train])
        model = LogisticRegression(C=0.5, max_iter=1000).fit(
            scale.transform(features_ND[train]), labels_N[train]
        )
        assert found_NK[rest] == pytest.approx(model.predict_proba(scale.transform(features_ND[rest])))


def test_an_image_whose_class_nobody_else_has_is_not_judged():
    random = np.random.default_rng(3)
    labels_N = np.array([0, 1] * 30 + [2, 2])
    groups_N = [str(place) for place in range(60)] + ["twins", "twins"]
    features_ND = random.normal(size=(62, 5)) + 3 * np.eye(5)[labels_N]
    probabilities_NK = out_of_fold_probabilities(features_ND, labels_N, groups_N, PLAIN)
    assert np.isnan(probabilities_NK).any(axis=1).tolist() == [False] * 60 + [True] * 2
    listed = rank_labels(manifest_of(labels_N), CLASSES, probabilities_NK, PLAIN)
    assert len(listed) == 60 and "dog" not in set(listed["label"])
    summary = summarise_audit(listed, 62)
    assert (summary["n_images"], summary["n_judged"]) == (62, 60)


def test_the_summary_counts_what_the_list_holds():
    labels_N, probabilities_NK = noisy_labels()
    listed = rank_labels(manifest_of(labels_N), CLASSES, probabilities_NK, PLAIN)
    summary = summarise_audit(listed, len(labels_N))
    assert summary["n_issues"] == listed["is_issue"].sum() > 20
    assert sum(found["n_issues"] for found in summary["per_class"].values()) == summary["n_issues"]
    assert sum(pair["n"] for pair in summary["confusions"]) == summary["n_issues"]
    assert all(pair["label"] != pair["suggested_label"] for pair in summary["confusions"])


@pytest.mark.parametrize(("labels", "groups"), [([0] * 6, "abcdef"), ([0, 1] * 3, "aaaaaa")])
def test_what_cannot_be_audited_is_said_in_one_line(labels, groups):
    with pytest.raises(VisionpipeError, match="at least two of each are needed"):
        out_of_fold_probabilities(np.zeros((6, 2)), labels, list(groups), PLAIN)


@pytest.mark.parametrize(("n_of_each", "folds", "cut_into"), [(4, 5, 4), (12, 20, 12), (2, 5, 2)])
def test_a_small_collection_is_cut_into_as_many_parts_as_its_classes_allow(
    n_of_each, folds, cut_into, caplog
):
    labels_N = np.repeat([0, 1], n_of_each)
    features_ND = np.random.default_rng(0).normal(size=(2 * n_of_each, 8)) + 4 * np.eye(8)[labels_N]
    asked, possible = (LabelAuditParameters(folds=n) for n in (folds, cut_into))
    ids = np.arange(2 * n_of_each)
    found_NK = out_of_fold_probabilities(features_ND, labels_N, ids, asked)
    assert f"{cut_into} folds, not {folds} (label_audit.folds)" in caplog.text
    assert np.array_equal(found_NK, out_of_fold_probabilities(features_ND, labels_N, ids, possible))
    assert found_NK.sum(axis=1) == pytest.approx(1)


def test_classes_of_one_image_each_cannot_be_audited():
    with pytest.raises(VisionpipeError, match="no class has two images"):
        out_of_fold_probabilities(np.eye(3), [0, 1, 2], ["a", "b", "c"], PLAIN)


def test_the_same_images_give_the_same_numbers():
    labels_N, features_ND = noisy_labels()
    first, again = (out_of_fold_probabilities(features_ND, labels_N, np.arange(600), PLAIN) for _ in range(2))
    assert np.array_equal(first, again)
