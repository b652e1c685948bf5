"""What the trained layers are fed is what is said: views, precision, pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from photo_sets import TINY, TUNED, good_candidate, parameters, weights_of
from visionpipe.models.backbones import build_backbone
from visionpipe.models.classifier import ImageClassifier, ModelSpec
from visionpipe.models.training.feeds import CachedFeed
from visionpipe.models.training.frozen_trunk import FrozenTrunk, LabelledPixels, Pixels
from visionpipe.models.training.memory import room


def differ(one, other):
    return {
        name for name, tensor in weights_of(one).items() if not torch.equal(tensor, weights_of(other)[name])
    }


class TestViews:
    def trunk(self, photos, **changes):
        recipe = parameters(**TINY, **({"augmentation": {"strength": 0.5}} | changes))
        spec = ModelSpec(backbone="timm/test_resnet", weights="none", classes=["a", "b"], image_size_px=64)
        torch.manual_seed(0)
        classifier = ImageClassifier(spec, build_backbone("timm/test_resnet", "none", 64)).eval()
        pixels = photos.prepared(64).pixels_NHWC
        data = LabelledPixels(pixels, np.arange(6), torch.eye(2)[torch.arange(6) % 2])
        return FrozenTrunk(classifier, data, 3, recipe, ("identity",), augmented=2)

    def test_augmented_views_stand_beside_the_symmetries(self, photos):
        trunk, index = self.trunk(photos), np.arange(6)
        assert trunk.n_views == 3
        views = [trunk.batch(index, np.full(6, v)) for v in range(3)]
        for a in range(3):
            for b in range(a):
                assert not torch.allclose(views[a], views[b], atol=1e-2)

    def test_at_strength_0_they_are_the_photo_itself(self, photos):
        trunk, index = self.trunk(photos, augmentation={"strength": 0.0}), np.arange(6)
        plain, augmented = (trunk.batch(index, np.full(6, v)) for v in (0, 2))
        torch.testing.assert_close(augmented, plain, rtol=1e-3, atol=1e-3)

    def test_they_change_what_is_learned(self, photos):
        recipe = TUNED | {"augmentation": {"strength": 0.5}}
        none, some = (good_candidate(photos, **recipe, augmented_views=n) for n in (0, 2))
        assert differ(none, some)

    def test_augmentation_strength_changes_what_the_whole_network_learns(self, photos):
        recipe = TUNED | {"epochs": 0, "whole_network_epochs": 1}
        weak, strong = (good_candidate(photos, **recipe, augmentation={"strength": s}) for s in (0.0, 0.6))
        assert weak.curves["train_loss"] != strong.curves["train_loss"]

    def test_frozen_layers_run_in_bfloat16_only_where_asked(self, photos):
        index = np.arange(2)
        kinds = {
            precision: self.trunk(photos, precision=precision).batch(index, 0 * index).dtype
            for precision in ("float32", "bfloat16")
        }
        assert kinds == {"float32": torch.float32, "bfloat16": torch.bfloat16}


def test_what_stays_on_a_gpu_leaves_half_of_its_memory_to_the_steps(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (8 * 2**30, 16 * 2**30))
    gpu, cpu = torch.device("cuda"), torch.device("cpu")
    assert [room(gpu, gib) / 2**30 for gib in (1, 32)] == [1, 4]
    assert room(cpu, 32) == 32 * 2**30


def test_pixels_and_activations_of_both_splits_share_that_half(monkeypatch):
    """What torch has reserved and not allocated is free."""
    held, freed = [], 2
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: ((20 - sum(held)) * 2**30, 24 * 2**30))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: (sum(held) + freed) * 2**30)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: sum(held) * 2**30)
    for limit_gib in (8, 32, 32, 32):
        held.append(room(torch.device("cuda"), limit_gib) / 2**30)
    assert held == [8, 3, 0, 0]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")
def test_pixels_stay_on_the_gpu_when_they_fit(photos):
    pixels_NHWC = photos.prepared(64).pixels_NHWC
    data = LabelledPixels(pixels_NHWC, np.array([3, 1, 2]), torch.eye(2)[[0, 1, 0]])
    for gib, resident in ((1.0, True), (1e-9, False)):
        pixels = Pixels(data, torch.device("cuda"), gib)
        assert pixels.resident == resident
        np.testing.assert_array_equal(pixels.take(np.array([2, 0])).cpu(), pixels_NHWC[[2, 3]])


def test_pixels_go_to_a_gpu_in_blocks(monkeypatch):
    """A copy of the whole split beside them would not fit into the memory of every machine."""
    taken = []

    class Photos(np.ndarray):
        def __getitem__(self, rows):
            taken.append(np.size(rows))
            return np.asarray(self)[rows]

    pixels_NHWC = np.random.default_rng(0).integers(0, 256, (2000, 2, 2, 3), np.uint8)
    empty = torch.empty
    monkeypatch.setattr(torch, "empty", lambda *size, device, **options: empty(*size, **options))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2**30, 2**30))
    rows_N = np.random.default_rng(1).permutation(2000)[:1100]
    data = LabelledPixels(pixels_NHWC.view(Photos), rows_N, torch.eye(2)[rows_N % 2])
    pixels = Pixels(data, torch.device("cuda"), 1.0)
    np.testing.assert_array_equal(pixels._resident, pixels_NHWC[rows_N])
    assert sum(taken) == 1100 and max(taken) < 500


def test_pixels_of_a_split_are_taken_by_position(photos):
    pixels_NHWC = photos.prepared(64).pixels_NHWC
    data = LabelledPixels(pixels_NHWC, np.array([3, 1, 2]), torch.eye(2)[[0, 1, 0]])
    pixels = Pixels(data, torch.device("cpu"), 1.0)
    assert not pixels.resident
    np.testing.assert_array_equal(pixels.take(np.array([2, 0])), pixels_NHWC[[2, 3]])


def test_an_image_that_comes_again_in_an_epoch_comes_in_another_view():
    """As the rare class does in a balanced epoch."""

    class Trunk:
        cut, n_views, targets_NK = 3, 4, torch.eye(2)

        def batch(self, index_B, view_index_B):
            return torch.tensor(np.stack([index_B, view_index_B], 1))

    batches = [np.array([0, 1, 0]), np.array([0, 0, 1])]
    met = np.concatenate(
        [inputs.numpy() for _, inputs in CachedFeed(Trunk(), Trunk(), 5).stream(batches, ("a", 1))]
    )
    assert met[:, 0].tolist() == [0, 1, 0, 0, 0, 1]
    assert sorted(met[met[:, 0] == 0, 1]) == [0, 1, 2, 3]
    assert len(set(met[met[:, 0] == 1, 1])) == 2
