"""Settings under which a test could never speak are refused."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

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
