"""A trunk whose batch norms are folded gives what it gave."""

from __future__ import annotations

import logging

import pytest
import torch
from torch import nn
from torch.nn import functional

from visionpipe.models.backbones import build_backbone
from visionpipe.models.training import fold
from visionpipe.models.training.fold import folded


class TestFolding:
    @pytest.mark.parametrize(
        "name", ["efficientnet-lite0", "torchvision/resnet18", "timm/test_resnet", "timm/test_vit"]
    )
    def test_a_folded_trunk_gives_the_same_and_has_no_batch_norm(self, name):
        torch.manual_seed(0)
        size = 160 if name.endswith("vit") else 64
        stages = build_backbone(name, "none", size).stages.eval()
        for layer in stages.modules():
            if isinstance(layer, nn.BatchNorm2d):  # as if it had been trained
                layer.running_mean.normal_(0, 0.1)
                layer.running_var.uniform_(0.5, 2)
        images_NCHW = torch.randn(2, 3, size, size)
        short = folded(stages, images_NCHW)
        before = after = images_NCHW
        with torch.no_grad():
            for stage, short_stage in zip(stages, short, strict=True):
                before, after = stage(before), short_stage(after)
        torch.testing.assert_close(after, before, rtol=1e-3, atol=1e-3 * before.abs().max().item())
        assert not [layer for layer in short.modules() if isinstance(layer, nn.BatchNorm2d)]

    def test_a_gpu_that_rounds_to_tf32_folds_too(self, monkeypatch):
        """It does so unless it is told not to, and by more than folding may change."""
        exact = functional.conv2d

        def rounded(values):
            return ((values.contiguous().view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)

        def conv2d(images, weight, *others):
            if torch.backends.cudnn.conv.fp32_precision == "tf32":
                images, weight = rounded(images), rounded(weight)
            return exact(images, weight, *others)

        monkeypatch.setattr(functional, "conv2d", conv2d)
        torch.manual_seed(0)
        stages = build_backbone("efficientnet-lite0", "package", 64).stages.eval()
        short = folded(stages, torch.randn(2, 3, 64, 64))
        assert not [layer for layer in short.modules() if isinstance(layer, nn.BatchNorm2d)]
        assert torch.backends.cudnn.conv.fp32_precision == "tf32"

    def test_what_does_not_follow_its_neighbour_is_left_alone(self, caplog):
        class Crossed(nn.Module):
            def __init__(self):
                super().__init__()
                self.first, self.second = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
                self.norm = nn.BatchNorm2d(3)

            def forward(self, images):
                return self.second(self.norm(self.first(images)))

        stages = nn.ModuleList([Crossed().eval()])
        stages[0].norm.running_mean.fill_(1.0)
        images_NCHW = torch.randn(2, 3, 4, 4)
        fold._say_once.cache_clear()
        with caplog.at_level(logging.INFO):
            kept = folded(stages, images_NCHW)
        assert "not folded" in caplog.text
        assert isinstance(kept[0].norm, nn.BatchNorm2d)
        assert torch.equal(kept[0](images_NCHW), stages[0](images_NCHW))
