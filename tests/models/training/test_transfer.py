"""A step sends a GPU nothing that makes one of them wait for the other, and what never changes once only."""

from __future__ import annotations

import copy
from collections import Counter

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from photo_sets import parameters
from visionpipe.models.backbones import build_backbone
from visionpipe.models.classifier import ImageClassifier, ModelSpec
from visionpipe.models.recipe_parameters import AugmentationParameters
from visionpipe.models.training.augment import Augmentation
from visionpipe.models.training.average import MovingAverage
from visionpipe.models.training.distributed import SOLO
from visionpipe.models.training.feeds import PixelFeed
from visionpipe.models.training.frozen_trunk import LabelledPixels, Pixels
from visionpipe.models.training.losses import build_loss, target_counts
from visionpipe.models.training.mixing import mixup
from visionpipe.models.training.step import Draw, Step, copy_of_start
from visionpipe.models.training.tail import Tail, make_optimiser
from visionpipe.models.training.transfer import constant, sent

GPU = torch.device("cuda", 0)
WAITING = ("_local_scalar_dense", "nonzero", "linalg_inv")


class Waits(TorchDispatchMode):
    """Counts what makes a GPU and its host wait for one another."""

    def __init__(self):
        super().__init__()
        self.found = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs, name = kwargs or {}, str(func)
        if any(each in name for each in WAITING):
            self.found[name] += 1
        to = args[0].device if "copy_." in name else kwargs.get("device")
        sources = [each for each in args if isinstance(each, torch.Tensor) and each.device.type == "cpu"]
        if "copy" in name and sources and to is not None and torch.device(to).type == "cuda":
            self.found[name] += not kwargs.get("non_blocking")
        return func(*args, **kwargs)


class OfTheGpu:
    """Stands for a generator, of which torch makes none without a GPU."""

    device = GPU


@pytest.fixture
def pretended_gpu(monkeypatch):
    """Tensors that have a shape and a device and no values."""

    def without_generator(draw):
        return lambda *size, generator=None, **options: draw(*size, **options)

    for name in ("rand", "randn", "randperm"):
        monkeypatch.setattr(torch, name, without_generator(getattr(torch, name)))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2**30, 2**30))
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
    constant.cache_clear()
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield
    constant.cache_clear()


@pytest.mark.parametrize("resident", [True, False])
def test_an_augmented_batch_is_sent_without_waiting(pretended_gpu, monkeypatch, resident):
    monkeypatch.setattr("visionpipe.models.training.mixing._share", lambda *_: 0.3)
    pixels_NHWC, targets_NK = np.zeros((40, 48, 48, 3), np.uint8), torch.rand(40, 3, device=GPU)
    data = LabelledPixels(pixels_NHWC, np.arange(40), targets_NK)
    pixels = Pixels(data, GPU, float(resident))
    assert pixels.resident == resident
    views = ("identity", "horizontal_flip")
    augment = Augmentation(AugmentationParameters(strength=0.5), OfTheGpu(), views)
    for _ in range(2):
        with Waits() as waits:
            index_B = np.arange(16)
            images = augment(pixels.take(index_B).permute(0, 3, 1, 2).float() / 255, 32)
            targets_BK = targets_NK[sent(torch.from_numpy(index_B), GPU)]
            mixed, _ = mixup(images, targets_BK, 0.2, OfTheGpu())
        assert (mixed.device, mixed.shape) == (GPU, (16, 3, 32, 32))
    assert not +waits.found


def test_a_constant_that_is_first_asked_for_by_a_prediction_can_be_trained_with():
    constant.cache_clear()
    with torch.inference_mode():
        constant(torch.tensor, (1.0, 2.0), torch.float32, torch.device("cpu"))
    weight = torch.ones(2, requires_grad=True)
    (weight * constant(torch.tensor, (1.0, 2.0), torch.float32, torch.device("cpu"))).sum().backward()
    assert weight.grad.tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    "device",
    [
        torch.device("cpu"),
        pytest.param(
            GPU, marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")
        ),
    ],
    ids=str,
)
def test_whole_steps_wait_for_nothing(photos, device):
    recipe = parameters(
        precision="float32",
        learning_rate=1e-3,
        augmentation={"strength": 0.5},
        loss={"mixup_alpha": 0.2, "cutmix_alpha": 1.0, "label_smoothing": 0.05, "imbalance": "class_weights"},
        distance_to_start=0.1,
        feature_distillation=0.1,
    )
    spec = ModelSpec(backbone="timm/test_resnet", weights="none", classes=["a", "b"], image_size_px=64)
    classifier = ImageClassifier(spec, build_backbone("timm/test_resnet", "none", 64)).to(device)
    targets_NK = torch.eye(2)[torch.arange(10) % 2]
    data = LabelledPixels(photos.prepared(64).pixels_NHWC, np.arange(10), targets_NK)
    feed, tail = PixelFeed(classifier, data, data, recipe, SOLO), Tail(classifier, 0)
    start, criterion = (
        copy_of_start(classifier.stages, recipe),
        build_loss(recipe.loss, target_counts(feed.targets_NK)),
    )
    step = Step(tail.train(), make_optimiser(tail, recipe), criterion, recipe, SOLO, start, cuts=True)
    average, before = MovingAverage(tail, 0.9), copy.deepcopy(tail.head.weight)
    draw = Draw(torch.Generator().manual_seed(0), torch.Generator().manual_seed(1))
    batches = [np.arange(8)] * 5
    try:
        for number, (index_B, inputs) in enumerate(feed.stream(batches, ("whole_network", 1))):
            targets_BK = feed.targets_NK[sent(torch.from_numpy(index_B), device)]
            step.take(inputs, targets_BK, 8, draw)
            average.update_parameters(tail)
            if device.type == "cuda" and number == 1:
                torch.cuda.set_sync_debug_mode("error")
    finally:
        if device.type == "cuda":
            torch.cuda.set_sync_debug_mode("default")
    assert not torch.equal(before, tail.head.weight)
