"""How a value was written, as text, as a float, with two decimals or with sixteen, is no drift."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from visionpipe.monitoring.alignment import align
from visionpipe.monitoring.drift import detect_drift
from visionpipe.monitoring.parameters import DriftParameters

FAST = DriftParameters(permutations=1200, max_mmd_rows=50)


@pytest.fixture
def compared(predictions, classes):
    """`compared(name, reference, current)`: the verdict of a pair of tables whose column `name` is given."""

    def judge(name, reference, current):
        tables = [
            predictions(len(values), seed=seed).assign(**{name: list(values)})
            for seed, values in enumerate((reference, current))
        ]
        return detect_drift(*tables, classes, FAST.model_copy(update={"features": (name,)}))

    return judge


@pytest.fixture
def temperatures():
    random = np.random.default_rng(0)
    return random.normal(20, 2, 400), random.normal(20, 2, 400)


def test_text_in_the_store_and_numbers_in_the_log_are_one_thing(compared, temperatures):
    before, now = temperatures
    written = [f"{value:.1f}" for value in before]
    assert compared("temperature", written, now).drifted is False
    found = compared("temperature", written, now + 40)
    assert found.tests[0].test == "Kolmogorov-Smirnov"
    assert found.reason.startswith("Drift: temperature is higher (median")
    assert "temperature" in found.histograms


def test_a_few_values_that_are_no_numbers_do_not_make_a_column_text(compared, temperatures):
    before, now = temperatures
    found = compared("temperature", before, [*(now[:-1] + 40), "n/a"])
    assert found.tests[0].test == "Kolmogorov-Smirnov"
    assert found.reason.startswith("Drift: temperature is higher")


def test_a_category_of_whole_numbers_keeps_its_name_whatever_the_type(compared):
    random = np.random.default_rng(0)
    sites = random.choice(["1", "2", "x"], 400)
    logged = [None, *(float(site) if site != "x" else site for site in random.permutation(sites)[1:])]
    found = compared("site", sites, logged)
    assert found.tests[0].test == "chi-squared"
    assert found.drifted is False


def test_booleans_are_categories_on_either_side():
    for side in align(pd.Series(["True", "False"]), pd.Series([True, None], dtype=object)):
        assert set(side.dropna()) <= {"True", "False"}


def test_identifiers_are_not_tested(compared):
    found = compared("serial", [f"a{i}" for i in range(100)], [f"b{i}" for i in range(100)])
    assert found.untested == {"serial": "200 of 200 values occur once"}


@pytest.mark.parametrize("decimals", [4, 3, 2])
def test_a_log_that_rounds_is_no_drift_but_a_shift_in_it_is(compared, decimals):
    random = np.random.default_rng(0)
    before, now = 1 - np.exp(random.normal(-5, 1.5, (2, 600))).clip(0, 0.5)
    assert compared("confidence", before, now.round(decimals)).drifted is False
    assert compared("confidence", before, (now - 0.1).round(decimals)).drifted is True


def test_the_last_digits_of_a_float_are_no_drift(compared):
    assert compared("confidence", [1.0] * 100, np.full(100, np.float32(0.9999999))).drifted is False
    random = np.random.default_rng(0)
    almost = [random.choice([1.0, np.nextafter(1, 0)], 100) for _ in range(2)]
    assert compared("confidence", *almost).drifted is False


def test_a_model_that_became_certain_of_everything_is_drift(compared):
    """Ones throughout are whole numbers, but nobody rounded them: the reference must not be rounded to them."""
    sure = compared("confidence", np.random.default_rng(0).uniform(0.5, 1, 200), np.ones(200))
    assert sure.drifted is True


def test_numbers_that_nobody_measured_count_as_missing(compared, temperatures):
    before, now = temperatures
    found = compared("temperature", before, [*now[:-2], 1e308, -1e308])
    assert found.drifted is False
    json.dumps(found.as_dict(), allow_nan=False)


def test_numbers_keep_six_digits_whatever_their_size():
    random = np.random.default_rng(0)
    values = pd.Series(random.normal(size=500) * 10.0 ** random.integers(-20, 20, 500))
    for side in align(values, values):
        np.testing.assert_allclose(side, values, rtol=1e-6)


def test_classes_that_are_named_by_digits_stay_classes(predictions):
    tables = [
        rows.assign(predicted_label=rows["predicted_label"].map({"cat": "0", "dog": "1", "owl": "2"}))
        for rows in (predictions(200), predictions(200, seed=1))
    ]
    found = detect_drift(*tables, ["0", "1", "2"], FAST)
    assert {test.feature: test.test for test in found.tests}["predicted_label"] == "chi-squared"
