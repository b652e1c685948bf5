"""Size is that of the file, multiply-adds are counted, and times are of what was asked for."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from visionpipe.models.backbones import Backbone
from visionpipe.models.classifier import ImageClassifier, ModelSpec, save_classifier
from visionpipe.models.examination.speed import model_size, time_predictions


@pytest.fixture
def classifier():
    torch.manual_seed(0)
    spec = ModelSpec(backbone="none", weights="none", classes=["a", "b", "c"], image_size_px=16)
    stages = nn.ModuleList([nn.Conv2d(3, 8, 3, padding=1), nn.AdaptiveAvgPool2d(1)])
    return ImageClassifier(spec, Backbone(stages, 8, mean=(0.0,) * 3, std=(1.0,) * 3)).eval()


def test_size_and_multiply_adds_are_those_of_the_layers(classifier, tmp_path):
    found = model_size(classifier)
    assert found["parameters"] == (3 * 9 * 8 + 8) + (8 * 3 + 3)
    assert found["multiply_adds"] == pytest.approx(16 * 16 * 8 * 3 * 9 + 8 * 3 + 8 * 32, abs=8 * 32)
    save_classifier(classifier, tmp_path)
    on_disk = (tmp_path / "weights.safetensors").stat().st_size
    assert on_disk / 1e6 == pytest.approx(found["megabytes"], abs=0.002)


@pytest.mark.parametrize("fused", [True, False])
def test_the_attention_of_a_transformer_is_counted_whether_or_not_torch_fuses_it(fused, monkeypatch):
    """So is what torchvision's documentation states: 17.56 G for ViT-B/16."""
    from torchvision.models import ViT_B_16_Weights

    from visionpipe.models.backbones import build_backbone

    documented = 1e9 * ViT_B_16_Weights.IMAGENET1K_V1.meta["_ops"]
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(fused)
    try:
        spec = ModelSpec(
            backbone="torchvision/vit_b_16", weights="none", classes=["a", "b"], image_size_px=224
        )
        found = model_size(ImageClassifier(spec, build_backbone(spec.backbone, "none", 224)))
        assert torch.backends.mha.get_fastpath_enabled() is fused
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
    assert found["multiply_adds"] == pytest.approx(documented, rel=0.001)


def test_times_are_taken_one_image_at_a_time(classifier, monkeypatch):
    sizes = []
    predict = classifier.predict
    monkeypatch.setattr(classifier, "predict", lambda pixels: (sizes.append(len(pixels)), predict(pixels))[1])
    found = time_predictions(classifier, np.zeros((2, 16, 16, 3), np.uint8), 7)
    assert sizes == [1] * 12 + [32]
    assert 0 < found["latency_ms_p50"] <= found["latency_ms_p95"]
    assert found["images_per_s"] > 0
    assert (found["n"], found["batch_size"], found["device"]) == (7, 8, "cpu")
    assert found["threads"] == torch.get_num_threads()


def test_a_slow_prediction_shows_in_the_95th_percentile_but_not_the_warm_up(classifier, monkeypatch):
    from visionpipe.models.examination import speed

    ticks = iter(np.cumsum([0.0, 5.0] * 5 + [0.0, 0.010] * 18 + [0.0, 0.200] * 2 + [0.0, 0.1]))
    monkeypatch.setattr(speed, "time", SimpleNamespace(perf_counter=lambda: float(next(ticks))))
    found = time_predictions(classifier, np.zeros((1, 16, 16, 3), np.uint8), 20)
    assert found["latency_ms_p50"] == pytest.approx(10)
    assert found["latency_ms_p95"] == pytest.approx(200)
    assert found["images_per_s"] == pytest.approx(320)


@pytest.mark.parametrize(("n", "known"), [(71, False), (72, True), (80, True)])
def test_the_95th_percentile_has_an_upper_end_when_there_are_times_enough(n, known, classifier, monkeypatch):
    """All n times lie below the percentile with a chance of 0.95^n: under 2.5 % from n = 72 on."""
    from visionpipe.models.examination import speed

    spans = [1.0] * 5 + [i / 1000 for i in range(1, n + 1)] + [1.0]
    ticks = iter(np.repeat(np.cumsum([0.0, *spans]), 2)[1:-1])
    monkeypatch.setattr(speed, "time", SimpleNamespace(perf_counter=lambda: float(next(ticks))))
    found = time_predictions(classifier, np.zeros((1, 16, 16, 3), np.uint8), n)["latency_ms_p95_interval"]
    assert 0.95**71 > 0.025 > 0.95**72
    assert found["high"] == (pytest.approx(n) if known else None)
    assert found["low"] < found["estimate"] < n
