"""Settings under which a test could never speak are refused, and under all others it can."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from visionpipe.monitoring.drift import detect_drift
from visionpipe.monitoring.parameters import DriftParameters


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"permutations": 1099},
            "1099 can never show embedding drift: 11 tests at alpha=0.01 need at least 1100",
        ),
        ({"features": ["confidence", "confidence"]}, "tests a column twice"),
        ({"features": ["predicted_label"]}, "always tested"),
        ({"alpha": 0.0}, "greater than 0"),
        ({"window_days": 0}, "greater than or equal to 1"),
        ({"treshold": 1}, "Extra inputs are not permitted"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(given, message):
    with pytest.raises(ValidationError, match=message):
        DriftParameters(**given)


@pytest.mark.parametrize(
    ("given", "n_features"), [({}, 49), ({"alpha": 0.001, "permutations": 12_000}, 4)], ids=["many", "strict"]
)
def test_where_a_class_is_rare_a_collapse_of_the_labels_is_drift_all_the_same(
    predictions, classes, given, n_features
):
    """Random tables then stand in for the chi-squared distribution: 9,999 can be too few for so many tests."""
    features = [f"feature {i}" for i in range(n_features)]
    tables = []
    for seed, labels in enumerate([["cat"] * 120 + ["dog"] * 118 + ["owl"] * 2, ["dog"] * 240]):
        values = np.random.default_rng(seed).normal(size=(240, n_features))
        values[:9] = np.nan  # how often a feature is missing is a test, too
        rows = predictions(240, seed=seed).assign(predicted_label=labels)
        tables.append(rows.join(rows.from_dict(dict(zip(features, values.T, strict=True)))))
    parameters = DriftParameters(**{"permutations": 11_000, **given}, features=features, max_mmd_rows=50)
    found = detect_drift(*tables, classes, parameters)
    assert len(found.tests) == 2 * n_features + 2
    assert [test.feature for test in found.tests if test.drifted] == ["predicted_label"]
