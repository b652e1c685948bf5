"""What a model decides may differ from its likeliest class."""

import numpy as np
import pytest

from gate_cases import answers, decide, labels_of, pair


def test_models_are_judged_by_what_they_decide():
    labels_N = labels_of(800)
    better, worse = pair(labels_N, 0.08, seed=1)
    decided = {"challenger_decided_N": worse.argmax(axis=1), "champion_decided_N": better.argmax(axis=1)}
    assert decide(labels_N, better, worse).outcome == "promote"
    assert decide(labels_N, better, worse, **decided).outcome == "reject"


def test_acceptance_limits_are_judged_by_what_is_decided():
    labels_N = labels_of(400)
    always_right = answers(labels_N, np.ones(400, bool))
    limits = {"acceptance": ["recall[defective] >= 0.9"]}
    assert decide(labels_N, always_right, parameters=limits).outcome == "promote"
    none_found = {"challenger_decided_N": np.zeros(400, int)}
    assert decide(labels_N, always_right, parameters=limits, **none_found).outcome == "reject"


@pytest.mark.parametrize("codes_N", [np.full(200, 2), np.zeros(3, int)])
def test_decisions_that_make_no_sense_reject(codes_N):
    labels_N = labels_of(200)
    better, worse = pair(labels_N, 0.08, seed=1)
    decision = decide(labels_N, better, worse, challenger_decided_N=codes_N)
    assert decision.outcome == "reject"
    assert "the challenger" in decision.reason
    assert "deci" in decision.reason
