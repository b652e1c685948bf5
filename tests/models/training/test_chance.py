"""Random numbers belong to a place in training."""

from __future__ import annotations

import torch

from visionpipe.models.training.chance import generator


def test_a_place_in_training_has_numbers_of_its_own():
    places = [(1, "order", "a", 1), (1, "order", "a", 2), (1, "order", "b", 1), (2, "order", "a", 1)]
    drawn = [torch.rand(3, generator=generator(*place)).tolist() for place in [*places, places[0]]]
    assert len({tuple(each) for each in drawn}) == len(places)
    assert drawn[0] == drawn[-1]
