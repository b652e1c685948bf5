"""The verdict: silent when nothing moved, right about what moved, and not impressed by a million rows."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from visionpipe.errors import VisionpipeError
from visionpipe.monitoring.drift import detect_drift
from visionpipe.monitoring.parameters import DriftParameters

FAST = DriftParameters(alpha=0.05, permutations=240, max_mmd_rows=100)


@pytest.fixture(scope="session")
def verdict(classes):
    """`verdict(reference, current, **parameters)` of a model with the usual three classes."""

    def judge(reference, current, *, given=FAST, **options):
        return detect_drift(reference, current, classes, given, **options)

    return judge


def drifted_features(verdict):
    return {test.feature for test in verdict.tests if test.drifted}


def test_two_halves_of_one_sample_drift_no_more_often_than_alpha(predictions, verdict):
    """Without minimum effects the p-values alone decide: more than 21 of 200 at 5 % would be a 1 in 1,000 chance."""
    anything = FAST.model_copy(update={"min_ks_d": 0, "min_cramers_v": 0, "min_mmd": 0, "max_mmd_rows": 50})
    alarms = 0
    for seed in range(200):
        rows = predictions(240, seed=seed)
        alarms += verdict(rows[:120], rows[120:], given=anything).drifted
    assert stats.binom.sf(21, 200, 0.05) < 0.001
    assert 1 <= alarms <= 21


def shifted_confidence(rows):
    return rows.assign(confidence=rows["confidence"] ** 2)


def shifted_mix(rows):
    return rows.assign(predicted_label=rows["predicted_label"].replace("owl", "cat"))


def shifted_embedding(rows):
    return rows.assign(embedding=rows["embedding"].map(lambda vector: vector + np.float32(0.4)))


@pytest.mark.parametrize(
    ("shift", "feature", "words"),
    [
        (shifted_confidence, "confidence", "confidence is lower"),
        (shifted_mix, "predicted_label", "predicted_label 'cat' is more frequent"),
        (shifted_embedding, "embedding", "the embeddings moved"),
    ],
)
def test_each_kind_of_shift_is_found_alone_and_named(predictions, verdict, shift, feature, words):
    reference, current = predictions(500), shift(predictions(500, seed=1))
    found = verdict(reference, current, given=DriftParameters())
    assert found.drifted is True
    assert drifted_features(found) == {feature}
    assert found.reason.startswith(f"Drift: {words}")


def test_the_reason_names_the_strongest_shifts_first(predictions, verdict):
    reference = predictions(500)
    current = shifted_embedding(shifted_mix(shifted_confidence(predictions(500, seed=1))))
    current["brightness"] += 100
    found = verdict(reference, current)
    before, now = reference["brightness"].median(), current["brightness"].median()
    assert found.reason.startswith(
        f"Drift: brightness is higher (median {before:.4g} → {now:.4g}, KS distance 1.00); "
    )
    assert found.reason.endswith("; and 1 more.")


def test_p_values_agree_with_scipy_and_statsmodels(predictions, verdict, classes):
    reference, current = predictions(400), predictions(300, seed=1).iloc[50:]
    tests = {test.feature: test for test in verdict(reference, current).tests}
    for feature in FAST.features:
        expected = stats.ks_2samp(reference[feature], current[feature])
        assert tests[feature].statistic == pytest.approx(expected.statistic, abs=1e-12)
        assert tests[feature].p_value == pytest.approx(expected.pvalue, rel=1e-6)
    counts = [table["predicted_label"].value_counts()[classes] for table in (reference, current)]
    expected = stats.chi2_contingency(np.array(counts), correction=False)
    assert tests["predicted_label"].statistic == pytest.approx(expected.statistic)
    assert tests["predicted_label"].p_value == pytest.approx(expected.pvalue)
    adjusted = multipletests([test.p_value for test in tests.values()], method="holm")[1]
    assert [test.p_adjusted for test in tests.values()] == pytest.approx(adjusted)


def test_many_classes_are_judged_one_by_one_or_not_at_all(predictions, verdict):
    """A hundred classes on each side and none on both: with a row of each, nobody can tell; with two, it is drift."""
    named = [f"c{i:03d}" for i in range(200)]
    for n, drifted in [(200, True), (100, None)]:
        rows = [predictions(n, seed=seed) for seed in (0, 1)]
        tables = [
            table.assign(predicted_label=[named[first + i % 100] for i in range(n)])
            for table, first in zip(rows, (0, 100), strict=True)
        ]
        found = detect_drift(*tables, named, FAST)
        if drifted:
            assert drifted_features(found) == {"predicted_label"}
        else:
            assert found.untested == {"predicted_label": "200 of 200 values occur once"}


def test_a_class_that_arrives_is_found_by_few_reference_rows_against_many_predictions(
    predictions, verdict, classes
):
    reference = predictions(500).replace({"predicted_label": {"owl": "cat"}})
    current = predictions(50_000, seed=1)
    counts = [
        table["predicted_label"].value_counts().reindex(classes, fill_value=0)
        for table in (reference, current)
    ]
    assert stats.contingency.association(np.array(counts), method="cramer") < 0.1, (
        "V as usual would not see it"
    )
    found = verdict(reference, current)
    assert drifted_features(found) == {"predicted_label"}
    assert "predicted_label 'owl' is more frequent (0.0% → 33" in found.reason


def test_a_shift_too_small_to_matter_is_no_drift_however_many_the_rows(predictions, verdict):
    reference, current = predictions(50_000), predictions(50_000, seed=1)
    current["brightness"] += 0.5  # a twentieth of its standard deviation
    found = verdict(reference, current)
    brightness = next(test for test in found.tests if test.feature == "brightness")
    assert brightness.p_adjusted < 1e-6
    assert found.drifted is False
    assert found.reason.startswith("No drift that matters: brightness is higher")


def test_the_mmd_effect_does_not_grow_with_rows_or_scale(predictions, verdict):
    """All 32 axes moved by 0.19 standard deviations is the documented smallest effect, 0.1."""

    def effect(n, scale, move):
        random = np.random.default_rng(n)
        tables = []
        for shift in (0, move):
            rows = predictions(n, seed=n).assign(
                embedding=list((random.normal(size=(n, 32)) + shift) * scale)
            )
            tables.append(rows)
        found = verdict(*tables, given=DriftParameters(features=[], max_mmd_rows=2000))
        return next(test.effect for test in found.tests if test.feature == "embedding")

    assert effect(1000, 1.0, 0.19) == pytest.approx(0.1, abs=0.015)
    assert effect(2000, 1.0, 0.19) == pytest.approx(0.1, abs=0.015)
    assert effect(1000, 1e4, 0.19) == pytest.approx(effect(1000, 1.0, 0.19), rel=1e-6)


@pytest.mark.parametrize(("n_reference", "n_current"), [(49, 100), (100, 49), (100, 0), (0, 0)])
def test_too_few_rows_is_a_verdict_of_its_own(predictions, verdict, n_reference, n_current):
    found = verdict(predictions(n_reference), predictions(n_current))
    assert found.drifted is None
    assert found.tests == ()
    assert found.reason.startswith(f"Too few rows to judge drift: {n_reference} in the reference")
    json.dumps(found.as_dict(), allow_nan=False)


def test_a_single_one_takes_the_singular(predictions, verdict):
    one, many = predictions(1), predictions(100)
    assert "1 prediction in the window" in verdict(many, one).reason
    assert "1 of 2 predictions" in verdict(many, pd.concat([one, one])).reason
    gone = many.assign(embedding=many["embedding"].where(many.index == 0, None), predicted_label=None)
    found = verdict(gone, many, given=DriftParameters(features=[]))
    assert found.untested["embedding"] == "1 value in the reference and 100 now, 50 needed"


def test_a_column_that_went_missing_is_reported_and_the_others_are_still_judged(predictions, verdict):
    current = predictions(200, seed=1).assign(sharpness=np.nan, embedding=None)
    found = verdict(predictions(200), current)
    assert set(found.untested) == {"sharpness", "embedding"}
    assert "sharpness was not tested: 200 values in the reference and 0 now, 50 needed" in found.reason
    assert found.drifted is False


def test_a_column_that_is_missing_more_often_is_drift_of_its_own(predictions, verdict):
    def with_gaps(rows):
        return rows.assign(brightness=rows["brightness"].where(np.arange(400) % 4 == 0))

    found = verdict(predictions(400), with_gaps(predictions(400, seed=1)))
    assert drifted_features(found) == {"brightness missing"}
    assert found.reason.startswith("Drift: brightness is missing more often (0.0% → 75.0%, Cramer's V 0.")
    assert verdict(with_gaps(predictions(400)), with_gaps(predictions(400, seed=1))).drifted is False


def test_only_the_named_models_predictions_count(predictions, verdict):
    old = shifted_confidence(predictions(300, seed=1)).assign(model_version="6")
    current = pd.concat([old, predictions(300, seed=2)], ignore_index=True)
    both = verdict(predictions(300), current)
    one = verdict(predictions(300), current, model_version="7")
    assert (both.drifted, both.model_version, both.n_current) == (True, "6, 7", 600)
    assert (one.drifted, one.model_version, one.n_current) == (False, "7", 300)
    none = verdict(predictions(300), current, model_version="8")
    assert none.drifted is None
    assert "0 predictions of model version 8" in none.reason


def test_on_the_first_day_too_little_is_known_whatever_is_tested(predictions, verdict):
    reference = predictions(100)
    empty = reference.drop(columns="camera").iloc[:0]
    found = verdict(reference, empty, given=DriftParameters(features=["camera"]))
    assert found.drifted is None and "0 predictions in the window" in found.reason


def test_the_window_is_counted_back_from_the_newest_prediction(predictions, verdict):
    current = predictions(300, days=10)
    newest = current["requested_at"].max()
    found = verdict(predictions(300), current, given=FAST.model_copy(update={"window_days": 4}))
    inside = current[current["requested_at"] > newest - pd.Timedelta(days=4)]
    assert found.n_current == len(inside) < 300
    assert found.window == {"from": inside["requested_at"].min().isoformat(), "to": newest.isoformat()}


def test_attributes_can_be_tested_as_numbers_or_categories(predictions, verdict):
    current = predictions(200, seed=1).assign(camera="south")
    parameters = DriftParameters(features=["camera", "latency_ms"])
    found = verdict(predictions(200), current, given=parameters)
    assert [(test.feature, test.test) for test in found.tests[:2]] == [
        ("camera", "chi-squared"),
        ("latency_ms", "Kolmogorov-Smirnov"),
    ]
    assert drifted_features(found) == {"camera"}


def test_histograms_are_densities_on_common_bins(predictions, verdict):
    reference, current = predictions(500), predictions(5000, seed=1)
    current["brightness"] += 500  # the reference must not fall off the bins
    found = verdict(reference, current)
    histogram = found.histograms["brightness"]
    values = reference["brightness"].to_numpy()
    inside = (values >= histogram["bins"][0]) & (values <= histogram["bins"][-1])
    expected, _ = np.histogram(values, histogram["bins"], density=True)
    assert len(histogram["bins"]) == 21
    assert inside.mean() > 0.98
    assert histogram["reference"] == pytest.approx(expected * inside.mean())
    width = histogram["bins"][1] - histogram["bins"][0]
    assert 0.98 < sum(histogram["current"]) * width <= 1.0 + 1e-9


def test_a_constant_column_is_compared_and_drawn_like_any_other(predictions, verdict):
    reference, current = predictions(100).assign(contrast=7.0), predictions(100, seed=1).assign(contrast=7.0)
    found = verdict(reference, current)
    assert found.drifted is False
    assert np.diff(found.histograms["contrast"]["bins"]).min() > 0


def test_the_verdict_is_json_with_the_agreed_keys(predictions, verdict):
    found = verdict(predictions(100), predictions(100, seed=1), refused_rows={"confidence is missing": 2})
    told = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert {"drifted", "reason", "n_reference", "n_current", "window", "model_version", "tests"} < set(told)
    assert {"refused_rows", "refused_files", "histograms", "untested"} < set(told)
    keys = {"feature", "test", "statistic", "p_value", "p_adjusted", "effect", "drifted"}
    assert all(keys <= set(test) for test in told["tests"])
    assert told["refused_rows"] == {"confidence is missing": 2}


def test_the_same_tables_give_the_same_verdict(predictions, verdict):
    reference, current = predictions(300), predictions(300, seed=1)
    assert verdict(reference, current) == verdict(reference, current)


def test_what_cannot_be_compared_is_named(predictions, verdict):
    rows = predictions(100)
    with pytest.raises(
        VisionpipeError, match=r"the reference has no column brightnes; it has .*drift.features"
    ):
        verdict(rows, rows, given=DriftParameters(features=["brightnes"]))
    other = rows.assign(embedding=[np.zeros(16)] * 100)
    with pytest.raises(VisionpipeError, match=r"embeddings of lengths \[16, 32\]"):
        verdict(rows, other)


def test_the_fewest_permutations_allowed_can_show_embedding_drift(predictions, verdict):
    parameters = DriftParameters(permutations=1100)
    gaps = ["confidence", "brightness", "contrast", "sharpness", "embedding"]  # each is one more test
    tables = [predictions(200), shifted_embedding(predictions(200, seed=1))]
    for table in tables:
        table[gaps] = table[gaps].mask(np.arange(200)[:, None] % 8 == np.arange(5))
    found = verdict(*tables, given=parameters)
    assert len(found.tests) == 11
    assert drifted_features(found) == {"embedding"}
