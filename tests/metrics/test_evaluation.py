"""An evaluation is every number of a test set, the same as scikit-learn's, in a form that JSON can hold."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest
from sklearn import metrics

from visionpipe.errors import VisionpipeError
from visionpipe.metrics.evaluation import codes_of, evaluate
from visionpipe.metrics.parameters import EvaluationParameters
from visionpipe.metrics.selective import aurc

CLASSES = ["cat", "dog", "owl"]
FAST = EvaluationParameters(resamples=200, min_slice_images=10)


def table(n=150, seed=0, images_per_group=1, classes=CLASSES):
    random = np.random.default_rng(seed)
    labels_N = random.integers(0, len(classes), n)
    probabilities_NK = random.dirichlet(np.ones(len(classes)), n) + 0.7 * np.eye(len(classes))[labels_N]
    probabilities_NK /= probabilities_NK.sum(axis=1, keepdims=True)
    return pd.DataFrame(
        {
            "label": np.array(classes)[labels_N],
            "predicted_label": np.array(classes)[probabilities_NK.argmax(axis=1)],
            "probabilities": list(probabilities_NK),
            "group_id": [f"g{row // images_per_group}" for row in range(n)],
            "camera": random.choice(["north", "south"], n),
            "site": np.where(np.arange(n) < 4, "tiny", "large"),
        }
    )


def under_a_rule(predictions):
    """Give cats only where they are sure, as a cap on false positives does."""
    sure_N = np.stack(predictions["probabilities"])[:, 0] > 0.8
    others_N = 1 + np.stack(predictions["probabilities"])[:, 1:].argmax(axis=1)
    return predictions.assign(predicted_label=np.array(CLASSES)[np.where(sure_N, 0, others_N)])


@pytest.mark.parametrize("predictions", [table(), under_a_rule(table())], ids=["likeliest", "decision rule"])
def test_the_metrics_are_scikit_learns(predictions):
    found = evaluate(predictions, CLASSES, [], FAST)
    truth, said = predictions["label"], predictions["predicted_label"]
    probabilities_NK = np.stack(predictions["probabilities"])
    expected = {
        "accuracy": metrics.accuracy_score(truth, said),
        "balanced_accuracy": metrics.balanced_accuracy_score(truth, said),
        "macro_f1": metrics.f1_score(truth, said, average="macro"),
        "auroc": metrics.roc_auc_score(truth, probabilities_NK, multi_class="ovr"),
        "log_loss": metrics.log_loss(truth, probabilities_NK),
        "brier": np.square(probabilities_NK - np.eye(3)[codes_of(truth, CLASSES)]).sum(axis=1).mean(),
    }
    for name, value in expected.items():
        interval = found["metrics"][name]
        assert interval["estimate"] == pytest.approx(value), name
        assert interval["low"] < value < interval["high"], name
        assert interval["level"] == 0.95
    assert found["n"] == 150
    assert found["confusion"] == metrics.confusion_matrix(truth, said, labels=CLASSES).tolist()
    recalls = metrics.recall_score(truth, said, average=None, labels=CLASSES)
    precisions = metrics.precision_score(truth, said, average=None, labels=CLASSES)
    for name, recall, precision in zip(CLASSES, recalls, precisions, strict=True):
        assert found["per_class"][name]["recall"]["estimate"] == pytest.approx(recall)
        assert found["per_class"][name]["precision"]["estimate"] == pytest.approx(precision)
        assert found["per_class"][name]["n"] == (truth == name).sum()
    assert sum(bin_["count"] for bin_ in found["reliability"]) == 150


def test_it_is_the_same_every_time_and_fits_into_json():
    first, second = (
        json.dumps(evaluate(table(), CLASSES, ["camera"], FAST), allow_nan=False) for _ in range(2)
    )
    assert first == second


def test_photos_of_one_group_are_one_piece_of_evidence():
    def width(images_per_group):
        predictions = table(200)
        predictions = predictions.iloc[np.arange(200) // images_per_group]  # copies of one another
        predictions = predictions.assign(group_id=[f"g{row // images_per_group}" for row in range(200)])
        accuracy = evaluate(predictions, CLASSES, [], FAST)["metrics"]["accuracy"]
        return accuracy["high"] - accuracy["low"]

    assert width(10) > 1.5 * width(1)


def test_a_hundred_photos_of_one_thing_do_not_narrow_a_bar_of_the_reliability_diagram():
    predictions = table(1).iloc[[0] * 100]
    alone, together = (
        next(each for each in measured["reliability"] if each["count"])
        for measured in (
            evaluate(predictions.assign(group_id=groups), CLASSES, [], FAST)
            for groups in ([f"g{row}" for row in range(100)], "g")
        )
    )
    assert alone["accuracy"] == together["accuracy"]
    assert alone["high"] - alone["low"] < 0.05
    assert together["high"] - together["low"] > 0.9  # what one image is worth: 0.025 to 1


@pytest.mark.parametrize("level", [0.5, 0.99])
def test_the_bars_of_the_reliability_diagram_have_the_intervals_of_the_level_asked_for(level):
    predictions = table(60)
    measured = evaluate(predictions, CLASSES, [], FAST.model_copy(update={"level": level}))
    bars = [each for each in measured["reliability"] if each["count"]]
    assert len(bars) > 3
    for bar in bars:
        n_right = round(bar["accuracy"] * bar["count"])
        exact = binomtest(n_right, bar["count"]).proportion_ci(level, method="exact")
        assert (bar["low"], bar["high"]) == pytest.approx((exact.low, exact.high))


def test_slices_are_judged_one_by_one_and_small_ones_left_out():
    predictions = table()
    predictions.loc[:20, "camera"] = None
    slices = evaluate(predictions, CLASSES, ["camera", "site"], FAST)["slices"]
    right = predictions["label"] == predictions["predicted_label"]
    named = predictions["camera"].fillna("unknown")
    assert set(slices["camera"]) == {"north", "south", "unknown"}
    for value, judged in slices["camera"].items():
        assert judged["n"] == (named == value).sum()
        assert judged["accuracy"]["estimate"] == pytest.approx(right[named == value].mean())
        assert judged["accuracy"]["low"] < judged["accuracy"]["estimate"] < judged["accuracy"]["high"]
    assert set(slices["site"]) == {"large"}  # 4 images are fewer than min_slice_images


def with_a_weak_camera(n=600):
    """Photos of cats that the south camera took are mostly called dogs."""
    predictions = table(n)
    weak_N = (predictions["camera"] == "south") & (predictions["label"] == "cat") & (np.arange(n) % 4 > 0)
    flipped = [
        row[[1, 0, 2]] if weak else row
        for row, weak in zip(predictions["probabilities"], weak_N, strict=True)
    ]
    return predictions.assign(
        probabilities=flipped, predicted_label=np.array(CLASSES)[np.stack(flipped).argmax(axis=1)]
    )


def test_a_weak_slice_has_its_verdict_and_is_named_the_worst():
    found = evaluate(with_a_weak_camera(), CLASSES, ["camera", "site"], FAST)
    south = found["slices"]["camera"]["south"]
    assert south["verdict"] == "lower than the rest"
    assert found["slices"]["camera"]["north"]["verdict"] == "no shortfall found"
    worst = found["worst_slice"]
    assert (worst["name"], worst["n"], worst["accuracy"]) == (
        "camera is south",
        south["n"],
        south["accuracy"],
    )
    weakest = found["slice_pairs"][0]
    assert (weakest["name"], weakest["metric"]) == ("camera is south", "recall[cat]")
    assert weakest["verdict"] == "lower than the rest"
    assert weakest["high"] < south["accuracy"]["low"]


def test_pairs_and_classes_within_slices_are_measured_on_their_own_images():
    predictions = table(300).assign(site=np.where(np.arange(300) % 3 > 0, "A", "B"))
    found = evaluate(predictions, CLASSES, ["camera", "site"], FAST)["slice_pairs"]
    assert len(found) == 2 * 2 + 2 * 3 + 2 * 3
    right_N = predictions["label"] == predictions["predicted_label"]
    named = {(each["name"], each["metric"]): each for each in found}
    inside_N = (predictions["camera"] == "north") & (predictions["site"] == "B")
    pair = named["camera is north and site is B", "accuracy"]
    assert (pair["n"], pair["estimate"]) == (inside_N.sum(), pytest.approx(right_N[inside_N].mean()))
    inside_N = (predictions["site"] == "A") & (predictions["label"] == "owl")
    pair = named["site is A", "recall[owl]"]
    assert (pair["n"], pair["estimate"]) == (inside_N.sum(), pytest.approx(right_N[inside_N].mean()))
    assert [each["high"] for each in found] == sorted(each["high"] for each in found)
    few = evaluate(predictions, CLASSES, ["camera", "site"], FAST.model_copy(update={"max_slice_pairs": 3}))
    assert len(few["slice_pairs"]) == 3
    assert "Of 16 pairs of attributes, the 3 largest were judged." in few["notes"]


def test_without_attributes_there_are_no_slices_and_no_worst_one():
    found = evaluate(table(), CLASSES, [], FAST)
    assert (found["slices"], found["slice_pairs"], found["worst_slice"], found["notes"]) == ({}, [], None, [])


def test_what_is_too_rare_for_a_slice_is_said():
    predictions = table().assign(module=[f"m{row // 3}" for row in range(150)])
    found = evaluate(predictions, CLASSES, ["camera", "site", "module"], FAST)
    assert found["notes"] == [
        "Values with fewer than 10 test images are not listed as slices: 1 of site, 50 of module."
    ]


def test_each_class_has_a_verdict_and_a_false_positive_rate():
    predictions = table(400)
    few = predictions[(predictions["label"] != "owl") | (np.arange(400) % 20 == 0)]
    found = evaluate(few, CLASSES, [], FAST)["per_class"]
    assert found["owl"]["verdict"] == "too few images to judge"
    assert {found["cat"]["verdict"], found["dog"]["verdict"]} == {"no shortfall found"}
    for name in CLASSES:
        of_others = few[few["label"] != name]
        expected = (of_others["predicted_label"] == name).mean()
        assert found[name]["false_positive_rate"]["estimate"] == pytest.approx(expected)


@pytest.mark.parametrize("decide", [lambda given: given, under_a_rule], ids=["likeliest", "decision rule"])
def test_deferral_goes_by_the_probability_of_the_label_that_is_given(decide):
    predictions = decide(table())
    given_N = codes_of(predictions["predicted_label"], CLASSES)
    confidence_N = np.stack(predictions["probabilities"])[np.arange(150), given_N]
    right_N = (predictions["label"] == predictions["predicted_label"]).to_numpy()
    found = evaluate(predictions, CLASSES, [], FAST, deferral_confidence=0.6)["selective"]
    assert found["aurc"]["estimate"] == pytest.approx(aurc(right_N, confidence_N))
    assert found["deferral"]["coverage"]["estimate"] == pytest.approx((confidence_N >= 0.6).mean())
    assert found["deferral"]["accuracy"]["estimate"] == pytest.approx(right_N[confidence_N >= 0.6].mean())
    assert found["curve"][-1] == pytest.approx([1.0, 1 - right_N.mean()])
    assert len(found["curve"]) <= 100
    json.dumps(found, allow_nan=False)


def test_a_model_without_a_threshold_has_no_deferral():
    assert evaluate(table(), CLASSES, [], FAST)["selective"]["deferral"] is None


def test_the_costs_of_the_labels_given_stand_beside_those_of_the_likeliest():
    predictions, costs_KK = under_a_rule(table()), (np.arange(9.0).reshape(3, 3) * (1 - np.eye(3))).tolist()
    found = evaluate(predictions, CLASSES, [], FAST, costs_KK=costs_KK)["costs"]
    likeliest = np.asarray(CLASSES)[np.stack(predictions["probabilities"]).argmax(axis=1)]
    for name, given in (("achieved", predictions["predicted_label"]), ("likeliest", likeliest)):
        counts_KK = metrics.confusion_matrix(predictions["label"], given, labels=CLASSES)
        assert found[name]["estimate"] == pytest.approx((counts_KK * costs_KK).sum() / 150)
        assert found[name]["low"] < found[name]["estimate"] < found[name]["high"]
    assert found["achieved"]["estimate"] != found["likeliest"]["estimate"]
    assert found["matrix"] == costs_KK
    json.dumps(found, allow_nan=False)
    assert evaluate(predictions, CLASSES, [], FAST)["costs"] is None


def test_values_that_are_no_text_make_slices_too():
    predictions = table().assign(shift=np.arange(150) % 3, night=np.arange(150) % 2 == 0)
    slices = evaluate(predictions, CLASSES, ["shift", "night"], FAST)["slices"]
    assert set(slices["shift"]) == {"0", "1", "2"}
    assert set(slices["night"]) == {"True", "False"}


@pytest.mark.parametrize("n", [1, 2])
def test_few_images_are_no_reason_to_fail(n):
    found = evaluate(table(n), CLASSES, ["camera"], FAST)
    json.dumps(found, allow_nan=False)
    assert found["metrics"]["accuracy"]["low"] < 0.2
    assert found["slices"] == {}


def test_images_of_one_class_are_measured_as_far_as_that_goes():
    predictions = table()
    only_cats = predictions[predictions["label"] == "cat"]
    found = evaluate(only_cats, CLASSES, [], FAST)
    json.dumps(found, allow_nan=False)
    right = (only_cats["predicted_label"] == "cat").mean()
    assert found["metrics"]["accuracy"]["estimate"] == pytest.approx(right)
    assert found["per_class"]["owl"]["n"] == 0


def test_codes_are_positions_in_the_classes():
    codes_N = codes_of(pd.Series(["owl", "cat", "owl"]), CLASSES)
    np.testing.assert_array_equal(codes_N, [2, 0, 2])
    assert codes_N.dtype == np.int64
    assert codes_of(pd.Series([], dtype=str), CLASSES).shape == (0,)


def test_a_label_of_no_class_is_named():
    with pytest.raises(VisionpipeError, match=r"labels \['bat'\] are none of the classes cat, dog, owl"):
        codes_of(pd.Series(["owl", "bat"]), CLASSES)
