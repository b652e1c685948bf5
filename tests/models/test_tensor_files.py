"""Tensors come back from a file as they were, and a disk that is full is told as one."""

from __future__ import annotations

import errno

import numpy as np
import pytest
import torch
from safetensors.torch import load

from visionpipe.models.backbones import build_backbone
from visionpipe.models.classifier import (
    ImageClassifier,
    ModelSpec,
    load_classifier,
    save_classifier,
    weights_sha256,
)
from visionpipe.models.tensor_files import tensor_bytes
from visionpipe.models.training.checkpoint import Checkpoints, Snapshot


@pytest.fixture
def classifier():
    spec = ModelSpec(backbone="timm/test_resnet", weights="none", classes=["a", "b", "c"], image_size_px=32)
    return ImageClassifier(spec, build_backbone(spec.backbone, "none", 32)).eval()


def test_tensors_that_share_memory_are_written_as_others_are():
    tied = torch.randn(4, 3)
    tensors = {"row": tied[2], "a": tied, "b": tied, "c": torch.randn(2), "none": torch.empty(0)}
    found = load(tensor_bytes(tensors))
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], each) for name, each in tensors.items())


def test_a_network_with_tied_weights_is_saved(classifier, tmp_path):
    """`timm/coat_tiny` is one."""
    classifier.stages[12].bn2.weight = classifier.stages[11].bn2.weight
    classifier.stages[12].bn2.weight.data.uniform_()
    save_classifier(classifier, tmp_path)
    found = load_classifier(tmp_path)
    pixels_NHWC = np.random.default_rng(3).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    expected_NK = classifier.predict(pixels_NHWC).logits_NK
    np.testing.assert_array_equal(found.predict(pixels_NHWC).logits_NK, expected_NK)
    assert weights_sha256(found) == weights_sha256(classifier)


def test_a_model_that_finds_the_disk_full(classifier, tmp_path):
    """The operating system's error is the one of which the command line makes a line."""
    (tmp_path / "weights.safetensors").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as told:
        save_classifier(classifier, tmp_path)
    assert told.value.errno == errno.ENOSPC


def test_a_checkpoint_that_finds_the_disk_full_leaves_the_one_before(tmp_path, monkeypatch):
    def full(path):
        (path.parent / "full").symlink_to("/dev/full")
        return path.parent / "full"

    checkpoints = Checkpoints(tmp_path, "k" * 64)
    checkpoints.save(1, 1, Snapshot({"epoch": 1}, {"a": torch.zeros(3)}))
    monkeypatch.setattr("visionpipe.atomic.beside", full)
    with pytest.raises(OSError, match="No space left") as told:
        checkpoints.save(1, 2, Snapshot({"epoch": 2}, {"a": torch.zeros(3)}))
    assert told.value.errno == errno.ENOSPC
    assert checkpoints.latest().facts == {"epoch": 1}
    assert not list(tmp_path.rglob("full"))
