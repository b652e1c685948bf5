"""Grad-CAM shows where a network looked: with a mean and a linear head it is the class activation map itself."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.ops import Permute

from photo_sets import good_candidate, photo_set
from visionpipe.models.backbones import Backbone, build_backbone
from visionpipe.models.candidate import predict_split
from visionpipe.models.classifier import ImageClassifier, ModelSpec
from visionpipe.models.examination.gradcam import gradcam, mistakes_looked_at, overlay
from visionpipe.models.parameters import View

SIDE_PX = 32


def classifier_of(stages, n_features):
    spec = ModelSpec(backbone="none", weights="none", classes=["a", "b"], image_size_px=SIDE_PX)
    backbone = Backbone(nn.ModuleList(stages), n_features, mean=(0.0,) * 3, std=(1.0,) * 3)
    torch.manual_seed(0)
    return ImageClassifier(spec, backbone).eval()


@pytest.fixture(scope="module")
def photos():
    return np.random.default_rng(0).integers(0, 256, (3, SIDE_PX, SIDE_PX, 3), dtype=np.uint8)


def test_it_is_the_class_activation_map_of_zhou_et_al_2016(photos):
    torch.manual_seed(0)
    convolution = nn.Sequential(nn.Conv2d(3, 5, 8, stride=8), nn.ReLU())
    classifier = classifier_of([convolution, nn.AdaptiveAvgPool2d(1)], 5)
    heat_NHW = gradcam(classifier, photos, np.array([0, 1, 1]))
    assert (heat_NHW.shape, heat_NHW.dtype) == ((3, SIDE_PX, SIDE_PX), np.float32)
    for photo, heat_HW, code in zip(photos, heat_NHW, (0, 1, 1), strict=True):
        pixels = torch.from_numpy(photo).permute(2, 0, 1)[None].float() / 255
        map_CHW = convolution(pixels)[0].detach()
        cam_HW = torch.einsum("c,chw->hw", classifier.head.weight[code].detach(), map_CHW).clamp(min=0)
        expected_HW = nn.functional.interpolate((cam_HW / cam_HW.max())[None, None], SIDE_PX, mode="bilinear")
        np.testing.assert_allclose(heat_HW, expected_HW[0, 0], atol=1e-5)


def test_what_speaks_for_a_class_is_hot_for_it_and_cold_for_the_other():
    convolution = nn.Conv2d(3, 1, 4, stride=4, bias=False)
    classifier = classifier_of([convolution, nn.AdaptiveAvgPool2d(1)], 1)
    with torch.no_grad():
        convolution.weight.fill_(1.0)
        classifier.head.weight.copy_(torch.tensor([[1.0], [-1.0]]))
    spot = np.zeros((1, SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
    spot[0, 24:, :8] = 255
    heat_HW = gradcam(classifier, spot, np.array([0]))[0]
    assert heat_HW[26:, :6].min() > 0.5
    assert heat_HW[:20, 12:].max() == 0
    assert gradcam(classifier, spot, np.array([1])).max() == 0


@pytest.mark.parametrize("name", ["timm/test_resnet", "timm/test_vit", "torchvision/swin_t"])
def test_every_family_of_networks_gives_a_map(name):
    side = 160 if "test" in name else 64
    spec = ModelSpec(backbone=name, weights="none", classes=["a", "b"], image_size_px=side)
    torch.manual_seed(0)
    classifier = ImageClassifier(spec, build_backbone(name, "none", side)).eval()
    photos = np.random.default_rng(0).integers(0, 256, (1, side, side, 3), dtype=np.uint8)
    maps = [gradcam(classifier, photos, np.array([code]))[0] for code in (0, 1)]
    assert max(heat_HW.max() for heat_HW in maps) == pytest.approx(1, abs=0.2)
    assert max(heat_HW.std() for heat_HW in maps) > 0.01


@pytest.mark.parametrize("turn", [np.rot90, np.fliplr, lambda photo: photo.swapaxes(0, 1)])
def test_what_averages_all_symmetries_looks_at_the_same_place_of_a_turned_photo(photos, turn):
    torch.manual_seed(0)
    classifier = classifier_of(
        [nn.Sequential(nn.Conv2d(3, 5, 8, stride=8), nn.ReLU()), nn.AdaptiveAvgPool2d(1)], 5
    )
    turned = np.stack([turn(photo) for photo in photos])
    codes_N = np.array([0, 1, 0])
    plain_N = [gradcam(classifier, each, codes_N) for each in (photos, turned)]
    assert np.abs(turn(plain_N[0][0]) - plain_N[1][0]).max() > 0.1, "without averaging it looks elsewhere"
    classifier.spec = classifier.spec.model_copy(update={"averaged_views": get_args(View)})
    heat_NHW, of_turned_NHW = (gradcam(classifier, each, codes_N) for each in (photos, turned))
    for heat_HW, of_turned_HW in zip(heat_NHW, of_turned_NHW, strict=True):
        np.testing.assert_allclose(turn(heat_HW), of_turned_HW, atol=1e-4)


class MeanOverPixels(nn.Module):
    def forward(self, activations_NHWC):
        return activations_NHWC.mean((1, 2))


def test_a_map_with_its_channels_last_is_the_same_map(photos):
    torch.manual_seed(0)
    convolution = nn.Conv2d(3, 5, 8, stride=8)
    first = classifier_of([convolution, nn.AdaptiveAvgPool2d(1)], 5)
    last = classifier_of([nn.Sequential(convolution, Permute([0, 2, 3, 1])), MeanOverPixels()], 5)
    codes_N = np.array([0, 1, 0])
    np.testing.assert_allclose(gradcam(first, photos, codes_N), gradcam(last, photos, codes_N), atol=1e-5)


def test_a_network_without_a_map_says_so(photos):
    classifier = classifier_of([nn.Flatten(1)], 3 * SIDE_PX**2)
    assert gradcam(classifier, photos, np.array([0, 0, 0])) is None


def test_the_model_is_left_as_it_was(photos):
    classifier = classifier_of([nn.Conv2d(3, 2, 8, stride=8), nn.AdaptiveAvgPool2d(1)], 2)
    gradcam(classifier, photos, np.array([0, 1, 0]))
    assert all(weight.grad is None for weight in classifier.parameters())


def test_a_tinted_photo_is_grey_where_it_is_cold_and_orange_where_it_is_hot():
    photo = np.full((2, 2, 3), (200, 30, 30), dtype=np.uint8)
    tinted = overlay(photo, np.array([[0.0, 1.0], [0.0, 1.0]]))
    assert len(set(tinted[0, 0])) == 1
    red, green, blue = tinted[0, 1].astype(int)
    assert red > green > blue


def test_the_worst_mistakes_come_with_their_heat():
    photos = photo_set(train=6, validation=4, test=6)
    candidate = good_candidate(photos)
    images = photos.prepared(64)
    predictions = predict_split(candidate, photos.manifest, images, "test")
    predictions["predicted_label"] = "red"
    predictions["confidence"] = np.linspace(0.5, 0.9, len(predictions))
    mistakes = mistakes_looked_at(candidate.classifier, predictions, images, 4)
    assert [m["true"] for m in mistakes] == ["blue"] * 4
    assert [m["confidence"] for m in mistakes] == sorted((m["confidence"] for m in mistakes), reverse=True)
    for mistake in mistakes:
        assert mistake["heat"].startswith(b"\xff\xd8")
        assert mistake["heat"] != mistake["thumbnail"]
    assert mistakes_looked_at(candidate.classifier, predictions, images, 0) == []
