"""The stages of a tail learn as fast as its parameters say."""

from __future__ import annotations

import pytest

from photo_sets import parameters
from visionpipe.models.backbones import build_backbone
from visionpipe.models.classifier import ImageClassifier, ModelSpec
from visionpipe.models.training.tail import Tail, make_optimiser, set_rate, warm_up_cosine


@pytest.fixture
def tail():
    spec = ModelSpec(backbone="timm/test_resnet", weights="none", classes=["a", "b"], image_size_px=32)
    return Tail(ImageClassifier(spec, build_backbone("timm/test_resnet", "none", 32)), 0)


def test_each_stage_learns_slower_than_the_next_and_the_head_three_times_as_fast(tail):
    recipe = parameters(learning_rate=1e-2, layer_decay=0.5)
    optimiser = make_optimiser(tail, recipe)
    rate_of = {id(w): group["peak"] for group in optimiser.param_groups for w in group["params"]}
    stages = [stage for stage in tail.stages if list(stage.parameters())]
    for depth, stage in enumerate(reversed(stages)):
        assert [rate_of[id(w)] for w in stage.parameters()] == pytest.approx(
            [1e-2 * 0.5**depth] * len(list(stage.parameters()))
        )
    assert [rate_of[id(w)] for w in tail.head.parameters()] == pytest.approx([3e-2, 3e-2])
    assert len(rate_of) == len(list(tail.parameters()))


def test_vectors_are_not_decayed(tail):
    for group in make_optimiser(tail, parameters(learning_rate=1e-2, weight_decay=0.1)).param_groups:
        assert {w.ndim > 1 for w in group["params"]} == {group["weight_decay"] == 0.1}


def test_the_rate_warms_up_and_falls_to_nothing(tail):
    rates = [warm_up_cosine(step, 50) for step in range(51)]
    assert rates[:5] == sorted(rates[:5])
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert max(rates) == 1
    assert rates[-1] == pytest.approx(0)
    optimiser = make_optimiser(tail, parameters(learning_rate=1e-2))
    set_rate(optimiser, 30, 50)
    assert all(group["lr"] == group["peak"] * rates[30] for group in optimiser.param_groups)
