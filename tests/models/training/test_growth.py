"""Photos grow over the epochs of the whole network, where the network can take it."""

from __future__ import annotations

import logging

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from photo_sets import parameters, photo_set
from visionpipe.models.backbones import build_backbone
from visionpipe.models.candidate import train_candidate
from visionpipe.models.classifier import ImageClassifier, ModelSpec
from visionpipe.models.parameters import TrainingParameters
from visionpipe.models.training.growth import require_sizes, side_at


@given(side_px=st.integers(32, 1024), first=st.floats(0.01, 1), epochs=st.integers(1, 60))
def test_photos_never_shrink_and_end_at_full_size(side_px, first, epochs):
    recipe = TrainingParameters(image_size_px=side_px, first_size=first, whole_network_epochs=epochs)
    sides = [side_at(recipe, epoch) for epoch in range(1, epochs + 1)]
    assert sides == sorted(sides)
    assert sides[-1] == side_px
    assert all(32 <= each <= side_px for each in sides)
    assert sides[0] == side_px or sides[0] <= side_px * first + 16 or sides[0] == 32


def classifier(backbone, side_px):
    spec = ModelSpec(backbone=backbone, weights="none", classes=["a", "b"], image_size_px=side_px)
    return ImageClassifier(spec, build_backbone(backbone, "none", side_px)).eval()


@pytest.mark.parametrize(("backbone", "grows"), [("timm/test_resnet", True), ("timm/test_vit_relpos", False)])
def test_a_network_of_one_size_is_left_at_it(backbone, grows, caplog):
    recipe = TrainingParameters(image_size_px=160, first_size=0.6, whole_network_epochs=4)
    with caplog.at_level(logging.INFO):
        found = require_sizes(classifier(backbone, 160), recipe)
    assert (found.first_size == 0.6) == grows
    assert ("takes no photos of 96 px" in caplog.text) != grows


def test_the_network_is_fed_the_sizes_of_each_epoch(monkeypatch):
    photos = photo_set(train=12)
    seen = []
    run = torch.nn.functional.grid_sample

    def spied(images, grid, *rest, **options):
        seen.append(grid.shape[1])
        return run(images, grid, *rest, **options)

    monkeypatch.setattr(torch.nn.functional, "grid_sample", spied)
    recipe = parameters(
        backbone="timm/test_resnet",
        weights="none",
        mode="scratch",
        image_size_px=96,
        whole_network_epochs=3,
        first_size=1 / 3,
        batch_size=64,
    )
    train_candidate(photos.manifest, photos.prepared(96), recipe)
    assert seen == [32, 64, 96]
