"""The reason of a verdict names all that is open, and no number of images that nobody could collect."""

import numpy as np
import pytest

from gate_cases import decide, labels_of, model_with, pair

LIMITS = ["accuracy >= 0.89", "recall[defective] >= 0.88", "recall[functional] >= 0.88"]


@pytest.mark.parametrize("n_limits", [1, 2, 3])
def test_every_open_limit_is_named(n_limits):
    limits = LIMITS[:n_limits]
    decision = decide(*model_with(0.9, 400), parameters={"acceptance": limits})
    assert decision.outcome == "insufficient_evidence"
    assert all(limit in decision.reason for limit in limits)
    assert ("also open" in decision.reason) == (n_limits > 1)


def test_of_very_many_open_limits_the_rest_are_counted():
    limits = [f"accuracy >= 0.8{i}" for i in range(82, 90)]
    decision = decide(*model_with(0.9, 400), parameters={"acceptance": limits})
    assert decision.reason.count("accuracy >=") == 6
    assert " and 2 more; " in decision.reason


def test_more_images_than_anybody_has_are_told_as_more_than_a_million():
    decision = decide(*model_with(0.9, 1000), parameters={"acceptance": ["accuracy >= 0.8996"]})
    assert decision.images_needed > 1_000_000
    assert "; more than 1 million test images would decide it." in decision.reason


def test_a_gain_that_is_open_is_named_with_the_limit_that_is_open_too():
    labels_N = labels_of(300)
    models = pair(labels_N, 0.015, seed=4)
    reason = decide(labels_N, *models, parameters={"acceptance": ["accuracy >= 0.82"]}).reason
    assert reason.startswith("Not proven: balanced accuracy changes by ")
    assert "; also open: accuracy >= 0.82; " in reason


def test_five_groups_are_too_few_whatever_the_number_of_images():
    labels_N = labels_of(3000)
    decision = decide(labels_N, *pair(labels_N, 0.2, seed=4), group_ids_N=np.arange(3000) % 5)
    assert decision.outcome == "insufficient_evidence"
    assert decision.images_needed is None
    assert "the test images come from 5 groups, and 6 are needed, however many images" in decision.reason
