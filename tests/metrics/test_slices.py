"""Weak slices are found, unlucky ones are not accused, small ones are said to be small."""

import json

import numpy as np
import pytest
from sklearn.metrics import recall_score
from statsmodels.stats.proportion import proportion_confint

from visionpipe.metrics.slices import (
    LOWER,
    NO_SHORTFALL,
    TOO_FEW,
    Slice,
    cut,
    judge_slices,
    pairs_of_attributes,
    slices_of_classes,
    worst_slice,
)

CLASSES = ["cat", "dog"]


def judged(slices, correct_N, groups_N=None, precision=0.1):
    groups_N = np.arange(len(correct_N)) if groups_N is None else groups_N
    found = judge_slices(slices, correct_N, groups_N, level=0.95, precision=precision)
    return {(each.name, each.metric): each for each in found}


def parts(*sizes):
    """Return N booleans for each part: images of so many in a row."""
    part_N = np.repeat(np.arange(len(sizes)), sizes)
    return [part_N == k for k in range(len(sizes))]


def test_the_share_and_its_interval_are_those_of_the_slice_alone():
    random = np.random.default_rng(0)
    correct_N, site_N = random.random(300) < 0.8, random.choice(["A", "B"], 300)
    found = judged(cut("site", site_N).slices(), correct_N)
    for value in "AB":
        right, n = correct_N[site_N == value].sum(), (site_N == value).sum()
        each = found[f"site is {value}", "accuracy"]
        assert (each.n, each.share.estimate) == (n, pytest.approx(right / n))
        np.testing.assert_allclose(
            (each.share.low, each.share.high), proportion_confint(right, n, method="beta"), atol=1e-9
        )


def test_verdicts_tell_weak_small_and_sound_slices_apart():
    weak_N, small_N, sound_N = parts(100, 20, 380)
    correct_N = np.ones(500, dtype=bool)
    correct_N[:40] = False  # 60 of 100
    correct_N[100:102] = False  # 18 of 20
    correct_N[120:140] = False  # 360 of 380
    slices = [Slice("weak", weak_N), Slice("small", small_N), Slice("sound", sound_N)]
    verdicts = [each.verdict for each in judged(slices, correct_N).values()]
    assert verdicts == [LOWER, TOO_FEW, NO_SHORTFALL]


def test_a_small_slice_that_fails_nearly_always_is_weak_all_the_same():
    few_N, _ = parts(12, 288)
    correct_N = np.arange(300) >= 10
    assert judged([Slice("few", few_N)], correct_N)["few", "accuracy"].verdict == LOWER


def test_precision_says_how_far_an_interval_may_reach():
    half_N, _ = parts(100, 100)
    correct_N = np.arange(200) % 10 > 0  # 90 of 100: 0.824 to 0.951
    verdicts = [
        judged([Slice("a", half_N)], correct_N, precision=p)["a", "accuracy"].verdict for p in (0.07, 0.08)
    ]
    assert verdicts == [TOO_FEW, NO_SHORTFALL]


def test_among_many_equal_slices_there_is_hardly_ever_a_false_alarm():
    """200 test sets with 20 slices each and no weak one: 2.5 % may hold an accusation; 12 have a chance of 0.5 %."""
    random = np.random.default_rng(1)
    accused = 0
    for _ in range(200):
        correct_N, camera_N = random.random(600) < 0.85, random.integers(0, 20, 600)
        verdicts = {each.verdict for each in judged(cut("camera", camera_N).slices(), correct_N).values()}
        accused += LOWER in verdicts
    assert accused < 12


def test_photos_of_one_group_are_one_piece_of_evidence():
    weak_N, _ = parts(40, 360)
    correct_N = np.arange(400) >= 20
    correct_N[60::8] = False  # the rest is right on 88 %
    one_group_N = np.where(weak_N, 0, np.arange(400))
    of_ten_N = np.where(weak_N, np.arange(400) // 10, np.arange(400))
    verdicts = [
        judged([Slice("a", weak_N)], correct_N, groups_N)["a", "accuracy"].verdict
        for groups_N in (None, of_ten_N, one_group_N)
    ]
    assert verdicts == [LOWER, TOO_FEW, TOO_FEW]


def test_a_few_unlucky_images_are_not_the_worst_slice():
    few_N, weak_N, sound_N = parts(4, 200, 496)
    correct_N = np.ones(700, dtype=bool)
    correct_N[:2] = False  # 2 of 4: 0.07 to 0.93
    correct_N[4:64] = False  # 140 of 200: 0.63 to 0.76
    named = worst_slice(
        list(judged([Slice("few", few_N), Slice("weak", weak_N), Slice("s", sound_N)], correct_N).values())
    )
    assert (named.name, named.n, named.verdict) == ("weak", 200, LOWER)


def test_four_of_four_wrong_are_worse_than_luck():
    few_N, rest_N = parts(4, 696)
    correct_N = np.arange(700) >= 4
    correct_N[4:214] = False
    slices = [Slice("few", few_N), Slice("rest", rest_N)]
    assert worst_slice(list(judged(slices, correct_N).values())).name == "few"


def test_neither_all_images_nor_a_class_nor_nothing_is_the_worst_slice():
    labels_N, correct_N = np.arange(60) % 2, np.arange(60) > 10
    slices = [*cut("site", ["A"] * 60).slices(), *slices_of_classes(labels_N, CLASSES)]
    assert worst_slice(list(judged(slices, correct_N).values())) is None
    assert worst_slice([]) is None


def test_the_accuracy_of_a_class_is_its_recall():
    random = np.random.default_rng(2)
    labels_N, predicted_N = random.integers(0, 2, size=(2, 200))
    found = judged(slices_of_classes(labels_N, CLASSES), labels_N == predicted_N)
    recalls = recall_score(labels_N, predicted_N, average=None)
    for name, recall in zip(CLASSES, recalls, strict=True):
        assert found[name, f"recall[{name}]"].share.estimate == pytest.approx(recall)


def test_a_class_without_images_has_too_few():
    found = judged(slices_of_classes(np.zeros(40, dtype=int), CLASSES), np.ones(40))
    assert found["dog", "recall[dog]"].verdict == TOO_FEW
    assert found["dog", "recall[dog]"].as_dict()["estimate"] is None
    json.dumps(found["dog", "recall[dog]"].as_dict(), allow_nan=False)


def test_values_are_cut_by_how_often_they_occur_and_missing_ones_belong_nowhere():
    shift = cut("shift", [3, 10, 10, 3, 3, None, 7], least=2)
    assert shift.values == ["10", "3"]
    np.testing.assert_array_equal(shift.codes_N, [1, 0, 0, 1, 1, -1, -1])
    assert shift.n_rare == 1
    assert [int(each.inside_N.sum()) for each in shift.slices()] == [2, 3]
    assert cut("empty", []).slices() == []


def pairs(attributes, labels_N, least=1, most=100):
    found, n = pairs_of_attributes(attributes, labels_N, CLASSES, least=least, most=most)
    return {(each.name, each.metric): each for each in found}, n


def test_a_weakness_that_only_two_attributes_together_show_is_found():
    camera_N, site_N = np.repeat(["n", "s"], 200), np.tile(np.repeat(["A", "B"], 100), 2)
    wrong = {("n", "A"): 30, ("s", "B"): 30, ("n", "B"): 5, ("s", "A"): 5}
    correct_N = np.ones(400, dtype=bool)
    for (camera, site), n_wrong in wrong.items():
        correct_N[np.flatnonzero((camera_N == camera) & (site_N == site))[:n_wrong]] = False
    attributes = [cut("camera", camera_N), cut("site", site_N)]
    alone = judged([each for column in attributes for each in column.slices()], correct_N)
    assert {each.verdict for each in alone.values()} == {NO_SHORTFALL}
    found, _ = pairs(attributes, np.arange(400) % 2)
    weak = {name for name, each in judged(list(found.values()), correct_N).items() if each.verdict == LOWER}
    assert {("camera is n and site is A", "accuracy"), ("camera is s and site is B", "accuracy")} <= weak
    assert ("camera is n and site is B", "accuracy") not in weak


def test_a_class_within_a_value_is_compared_with_its_own_class_elsewhere():
    """Dogs are hard everywhere, so a site of many dogs is not to blame; cats fail at site B alone."""
    site_N, labels_N = np.repeat(["A", "B"], 300), np.tile([0, 1], 300)
    correct_N = np.where(labels_N == 1, np.arange(600) % 5 > 1, True)  # dogs: 60 %
    correct_N[np.flatnonzero((site_N == "B") & (labels_N == 0))[:50]] = False  # cats at B: 100 of 150
    found, n_pairs = pairs([cut("site", site_N)], labels_N)
    assert (set(found), n_pairs) == (
        {(f"site is {site}", f"recall[{name}]") for site in "AB" for name in CLASSES}, 4
    )  # fmt: skip
    verdicts = {key: each.verdict for key, each in judged(list(found.values()), correct_N).items()}
    assert verdicts == {
        ("site is A", "recall[cat]"): NO_SHORTFALL,
        ("site is A", "recall[dog]"): NO_SHORTFALL,
        ("site is B", "recall[cat]"): LOWER,
        ("site is B", "recall[dog]"): NO_SHORTFALL,
    }


def test_pairs_hold_the_images_that_both_hold():
    random = np.random.default_rng(3)
    camera_N, site_N, labels_N = (
        random.choice(list("ns"), 90),
        random.choice(list("ABC"), 90),
        np.arange(90) % 2,
    )
    found, n_pairs = pairs([cut("camera", camera_N), cut("site", site_N)], labels_N)
    assert n_pairs == len(found) == 2 * 3 + 2 * 2 + 3 * 2
    for camera in "ns":
        for site in "ABC":
            inside_N = found[f"camera is {camera} and site is {site}", "accuracy"].inside_N
            np.testing.assert_array_equal(inside_N, (camera_N == camera) & (site_N == site))
    of_class = found["camera is n", "recall[dog]"]
    np.testing.assert_array_equal(of_class.inside_N, (camera_N == "n") & (labels_N == 1))
    np.testing.assert_array_equal(of_class.rest_N, (camera_N == "s") & (labels_N == 1))


def test_pairs_that_tell_nothing_new_are_left_out_and_the_largest_come_first():
    camera_N = np.repeat(["n", "s"], 30)
    twin = [cut("camera", camera_N), cut("lens", camera_N)]
    labels_N = np.repeat([0, 1], [50, 10])
    found, n_pairs = pairs(twin, labels_N)
    assert not [name for name, _ in found if " and " in name]
    assert n_pairs == len(found) == 2  # cats of camera (and lens) s; all dogs are there, all of n are cats
    random = np.random.default_rng(4)
    columns = [cut(name, random.choice(list("abcd"), 500, p=[0.4, 0.3, 0.2, 0.1])) for name in "xyz"]
    found, n_pairs = pairs(columns, np.arange(500) % 2, least=20, most=10)
    sizes = [int(each.inside_N.sum()) for each in found.values()]
    assert len(found) == 10 < n_pairs
    assert sizes == sorted(sizes, reverse=True)
    everything, _ = pairs(columns, np.arange(500) % 2, least=20, most=1000)
    assert min(int(each.inside_N.sum()) for each in everything.values()) >= 20
    assert pairs(columns, np.arange(500) % 2, most=0)[0] == {}
