"""A shortcut that is planted is found; where there is none, one is claimed no more often than the confidence allows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score

from visionpipe.metrics.shortcuts import (
    _cross_validated,
    _exchanged,
    _p_value,
    border_features,
    columns_as_features,
    find_shortcuts,
)

CLASSES = np.array(["cat", "dog", "fox"])
OPTIONS = {"level": 0.95, "seed": 0}


def labels_of(n=150, n_classes=2, seed=0):
    return CLASSES[np.random.default_rng(seed).integers(0, n_classes, n)]


def singles(n=150):
    return [f"group {i}" for i in range(n)]


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_camera_that_took_mostly_one_class_is_found(n_classes):
    labels, random = labels_of(n_classes=n_classes), np.random.default_rng(1)
    camera = np.where(random.random(150) < 0.8, labels, CLASSES[random.integers(0, n_classes, 150)])
    features = columns_as_features(pd.DataFrame({"camera": camera}))
    (found,) = find_shortcuts({"camera": features}, labels, singles(), **OPTIONS)
    assert found["verdict"] == "predicts the label"
    assert found["guessing"] == pytest.approx(1 / n_classes)
    assert found["majority"] == np.unique(labels, return_counts=True)[1].max() / 150
    commonest = pd.Series(labels).groupby(camera).agg(lambda group: group.mode()[0])
    expected = balanced_accuracy_score(labels, [commonest[value] for value in camera])
    assert found["balanced_accuracy"]["estimate"] == pytest.approx(expected, abs=0.03)


def test_noise_is_no_sign():
    features = np.random.default_rng(0).normal(size=(150, 20))
    (found,) = find_shortcuts({"noise": features}, labels_of(), singles(), **OPTIONS)
    assert found["verdict"] == "no sign"
    assert found["balanced_accuracy"]["low"] < 0.5


def test_near_duplicates_are_never_learned_and_asked():
    """Ten looks at each of 15 things, whose features say which thing it is and nothing about its class."""
    things = np.repeat(np.arange(15), 10)
    labels = CLASSES[np.random.default_rng(3).permutation(np.arange(15) % 2)[things]]
    features = np.eye(15)[things]
    (alone,) = find_shortcuts({"thing": features}, labels, singles(), **OPTIONS)
    (grouped,) = find_shortcuts({"thing": features}, labels, things.astype(str), **OPTIONS)
    assert alone["balanced_accuracy"]["estimate"] > 0.95
    assert grouped["balanced_accuracy"]["estimate"] < 0.8
    assert grouped["verdict"] == "no sign"


def test_the_p_value_is_that_of_chance_corrected_for_the_number_of_sources():
    labels, random = labels_of(60), np.random.default_rng(1)
    weak = columns_as_features(pd.DataFrame({"camera": np.where(random.random(60) < 0.35, labels, "cat")}))
    sources = {"weak": weak} | {str(i): np.random.default_rng(i).normal(size=(60, 2)) for i in range(5)}
    (alone,) = find_shortcuts({"weak": weak}, labels, singles(60), **OPTIONS)
    among = find_shortcuts(sources, labels, singles(60), **OPTIONS)
    assert [entry["name"] for entry in among] == list(sources)
    assert among[0]["p_value"] == pytest.approx(min(1, 6 * alone["p_value"]), rel=0.5)
    for entry in among:
        assert (entry["verdict"] == "predicts the label") == (entry["p_value"] <= 0.05)


def test_it_predicts_what_scikit_learns_ridge_does():
    from sklearn.linear_model import Ridge

    random = np.random.default_rng(0)
    features, codes, folds = random.normal(size=(80, 6)), random.integers(0, 3, 80), np.arange(80) % 5
    features += np.eye(6)[codes]
    found = _cross_validated(features, codes[:, None], folds, 3)[:, 0]
    scaled = (features - features.mean(axis=0)) / features.std(axis=0)
    for fold in range(5):
        seen = folds != fold
        share = np.eye(3)[codes[seen]].mean(axis=0)
        model = Ridge(alpha=0.1 * seen.sum()).fit(scaled[seen], np.eye(3)[codes[seen]])
        ratio = model.predict(scaled[~seen]) / share
        np.testing.assert_array_equal(found[~seen], ratio.argmax(axis=1))


@pytest.mark.parametrize("labels", [["cat"] * 30, ["cat"] * 26 + ["dog"] * 4])
def test_too_little_to_learn_from_is_not_judged(labels):
    (found,) = find_shortcuts({"camera": np.ones((30, 1))}, labels, singles(30), **OPTIONS)
    assert (found["verdict"], found["balanced_accuracy"]) == ("not judged", None)
    assert found["reason"] == "every class needs 5 groups of images or more"


SENDERS = [f"sender {i:02}" for i in range(12)]
PHOTOS_SENT = [40, 43, 47, 51, 55, 58, 60, 66, 71, 75, 80, 88]  # no two senders sent as many
TOO_FEW_ALIKE = "too few groups of like size to tell a shortcut from chance"


@pytest.mark.parametrize("labels_of_a_sender", ["one", "both"])
def test_a_perfect_shortcut_is_found_among_groups_of_which_no_two_are_of_one_size(labels_of_a_sender):
    senders = np.repeat(SENDERS, PHOTOS_SENT)
    of_sender = np.repeat(np.arange(12) % 2, PHOTOS_SENT)
    labels = CLASSES[of_sender] if labels_of_a_sender == "one" else labels_of(len(senders))
    camera = columns_as_features(pd.DataFrame({"camera": labels}))
    (found,) = find_shortcuts({"camera": camera}, labels, senders, **OPTIONS)
    assert (found["verdict"], found["balanced_accuracy"]["estimate"]) == ("predicts the label", 1)


@pytest.mark.parametrize("n_sources", [1, 20])
def test_there_is_no_sign_only_where_a_perfect_shortcut_would_have_been_found(n_sources):
    """Ten senders exchange their labels in at most 252 ways: not rare enough for the first of 20 sources."""
    senders, labels = np.repeat(SENDERS[:10], 10), CLASSES[np.repeat(np.arange(10) % 2, 10)]
    noise = np.random.default_rng(0).normal(size=(n_sources, 100, 3))
    found = find_shortcuts({str(i): noise[i] for i in range(n_sources)}, labels, senders, **OPTIONS)
    expected = ("no sign", None) if n_sources == 1 else ("not judged", TOO_FEW_ALIKE)
    assert {(entry["verdict"], entry.get("reason")) for entry in found} == {expected}
    assert all(0.2 < entry["balanced_accuracy"]["estimate"] < 0.8 for entry in found)


def test_groups_that_have_no_like_are_not_judged():
    sizes = 2 ** np.arange(10)
    labels, senders = CLASSES[np.repeat(np.arange(10) % 2, sizes)], np.repeat(SENDERS[:10], sizes)
    camera = columns_as_features(pd.DataFrame({"camera": labels}))
    (found,) = find_shortcuts({"camera": camera}, labels, senders, **OPTIONS)
    assert (found["verdict"], found["p_value"]) == ("not judged", 1)
    assert found["reason"] == TOO_FEW_ALIKE


def test_groups_give_their_labels_to_groups_of_like_size_alone():
    sizes = np.array([1, 1, 1, 2, 3, 3, 4, 7])
    index = np.random.default_rng(0).permutation(np.repeat(np.arange(8), sizes))
    exchanged = _exchanged(index, index, 300, np.random.default_rng(0))  # each image bears its group's number
    np.testing.assert_array_equal(exchanged[:, 0], index)
    for group, givers in enumerate([{0, 1, 2}] * 3 + [{3, 4, 5}] * 3 + [{6, 7}] * 2):
        received = exchanged[index == group]
        assert (received == received[0]).all()
        assert set(received[0]) == givers


def test_a_class_that_an_exchange_loses_speaks_for_chance():
    """True labels: recalls of 1 and 1/2. Exchanged: 2/3 of one class, none of the other is left to be missed."""
    codes, predicted = np.array([[0, 1, 1], [0, 0, 0]]).T, np.array([[0, 1, 0], [0, 0, 1]]).T
    assert _p_value(codes, predicted, 2) == 1


@pytest.mark.parametrize("n_runs", [40, pytest.param(1000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("groups", ["singles", "of unlike size"])
def test_sources_without_a_shortcut_are_rarely_accused(n_runs, groups):
    """Of whole examinations with three innocent sources each, at most 5 % may accuse one."""
    accused = 0
    for run in range(n_runs):
        random = np.random.default_rng(run)
        n = 120 if groups == "singles" else 40
        sizes = 1 if groups == "singles" else 1 + random.lognormal(1, 0.9, n).astype(int)
        group = np.repeat(np.arange(n), sizes)
        labels = CLASSES[(random.random(n) < 0.35).astype(int)]
        camera = columns_as_features(pd.DataFrame({"camera": random.choice(list("abc"), n)}))
        sources = {
            "camera": camera,
            "few": random.normal(size=(n, 3)),
            "many": random.normal(size=(n, 40)),
        }
        of_images = {name: features[group] for name, features in sources.items()}
        found = find_shortcuts(of_images, labels[group], group.astype(str), level=0.95, seed=run)
        accused += any(entry["verdict"] == "predicts the label" for entry in found)
    assert accused / n_runs <= (0.07 if n_runs > 100 else 0.125)  # 0.07: 5 % and three standard errors


def test_numbers_become_their_tenths_and_rare_words_one_value():
    table = pd.DataFrame(
        {"width": np.arange(100), "camera": ["a"] * 60 + ["b"] * 34 + ["c", "d", "e"] + [None] * 3}
    )
    features = columns_as_features(table)
    np.testing.assert_array_equal(features[:, :10].sum(axis=0), [10] * 10)
    assert sorted(features[:, 10:].sum(axis=0)) == [6, 34, 60]
    np.testing.assert_array_equal(features.sum(axis=1), [2] * 100)


@pytest.mark.parametrize("n", [40, 100])
def test_bins_of_few_numbers_hold_five(n):
    features = columns_as_features(pd.DataFrame({"width": np.arange(n) * 1.5}))
    np.testing.assert_array_equal(features.sum(axis=0), [5] * 8 if n == 40 else [10] * 10)


@pytest.mark.parametrize("as_written", [float, str])
def test_a_number_that_many_share_is_a_value_of_its_own(as_written):
    widths = [600] * 920 + [640] * 20 + [*range(700, 755)] + [None] * 5
    features = columns_as_features(pd.DataFrame({"width": [w and as_written(w) for w in widths]}))
    assert sorted(features.sum(axis=0)) == [5] * 6 + [6] * 5 + [20, 920]
    np.testing.assert_array_equal(features.sum(axis=1), 1)
    assert features[:920].sum(axis=0).max() == 920


def test_text_of_which_one_value_is_no_number_is_words():
    table = pd.DataFrame({"place": ["1", "2"] * 30 + [f"{i}.5" for i in range(20)] + ["hall"] * 5 + ["inf"]})
    assert sorted(columns_as_features(table).sum(axis=0)) == [5, 21, 30, 30]
    assert sorted(columns_as_features(table[-1:]).sum(axis=0)) == [1]


def test_machines_that_are_numbered_stay_apart():
    machine = np.random.default_rng(0).integers(1, 21, 400)
    labels = CLASSES[machine % 2]
    features = columns_as_features(pd.DataFrame({"machine": machine.astype(str)}))
    (found,) = find_shortcuts({"machine": features}, labels, singles(400), **OPTIONS)
    assert found["balanced_accuracy"]["estimate"] == 1


@pytest.mark.parametrize("as_written", [int, str])
def test_a_number_that_depends_on_the_label_in_a_bend_is_found(as_written):
    """Small and large files are cats, those between are dogs: no straight line tells them apart."""
    n_bytes = np.random.default_rng(0).permutation(200)
    labels = np.where((n_bytes < 50) | (n_bytes >= 150), "cat", "dog")
    features = columns_as_features(pd.DataFrame({"n_bytes": n_bytes.astype(as_written)}))
    (found,) = find_shortcuts({"file size": features}, labels, singles(200), **OPTIONS)
    assert found["balanced_accuracy"]["estimate"] > 0.8


def test_a_frame_that_tells_the_class_is_found_and_an_object_in_the_centre_is_not():
    random = np.random.default_rng(0)
    labels = labels_of(120)
    is_cat = labels == "cat"
    framed = random.integers(90, 160, (120, 32, 32, 3), dtype=np.uint8)
    centred = framed.copy()
    framed[is_cat, :3] += 20
    centred[is_cat, 12:20, 12:20] += 60
    for photos, verdict in ((framed, "predicts the label"), (centred, "no sign")):
        (found,) = find_shortcuts({"border": border_features(photos, 0.15)}, labels, singles(120), **OPTIONS)
        assert found["verdict"] == verdict


def test_the_border_of_a_tiny_photo_is_still_one_cell_wide():
    assert border_features(np.zeros((2, 3, 3, 3), np.uint8), 0.01).shape == (2, 8 * 4)
