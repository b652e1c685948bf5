"""Phases keep the best epoch, stop in time, tell what happened, and what they are fed is what they say."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss, roc_auc_score
from torch import nn

from photo_sets import good_candidate, parameters, photo_set
from visionpipe.errors import VisionpipeError
from visionpipe.models.backbones import build_backbone
from visionpipe.models.candidate import train_candidate
from visionpipe.models.classifier import ImageClassifier, ModelSpec
from visionpipe.models.training import phase
from visionpipe.models.training.chance import generator
from visionpipe.models.training.curves import Curves, Score, score
from visionpipe.models.training.fold import folded
from visionpipe.models.training.frozen_trunk import FrozenTrunk, LabelledPixels, Pixels

TINY = {"backbone": "timm/test_resnet", "weights": "none", "probe_epochs": 2}
TUNED = TINY | {"mode": "finetune", "tuned_stages": 2, "epochs": 3}


@pytest.fixture(scope="module")
def photos():
    return photo_set(train=8, validation=6, seed=4)


def weights_of(candidate):
    return {
        name: tensor for name, tensor in candidate.classifier.state_dict().items() if "embedding" not in name
    }


def differ(one, other):
    return {
        name for name, tensor in weights_of(one).items() if not torch.equal(tensor, weights_of(other)[name])
    }


def validating(monkeypatch, losses):
    """Have validation find these losses: before the phase, then after each epoch."""
    found = iter(losses)
    monkeypatch.setattr(phase.PhaseTraining, "_validate", lambda *_: Score(next(found), 0.5, None))


class TestPhases:
    def test_first_the_last_stages_then_the_whole_network(self, photos, monkeypatch):
        validating(monkeypatch, [1.0, 0.9, 0.8, 0.7, 0.7, 0.6, 0.5])
        candidate = good_candidate(photos, **TUNED, whole_network_epochs=2)
        assert candidate.curves["phase"] == ["last_stages"] * 3 + ["whole_network"] * 2
        assert candidate.curves["epoch"] == [1, 2, 3, 4, 5]
        assert candidate.classifier.spec.trained_stages.startswith("stages 0-")
        assert all(part["moved"] for part in candidate.training["moved"])

    def test_without_epochs_of_the_last_stages_the_whole_network_starts_from_the_head(self, photos):
        candidate = good_candidate(photos, **(TUNED | {"epochs": 0}), whole_network_epochs=2)
        assert candidate.curves["phase"] == ["whole_network"] * 2

    def test_batch_norm_learns_new_statistics_when_the_whole_network_moves_and_only_then(
        self, photos, monkeypatch
    ):
        def moved(**changes):
            validating(monkeypatch, [1.0, 0.9, 0.8, 0.7])
            state = good_candidate(photos, **(TUNED | changes)).classifier.state_dict()
            return any(tensor.abs().sum() > 0 for name, tensor in state.items() if "running_mean" in name)

        assert moved(mode="scratch", whole_network_epochs=2)
        assert moved(epochs=0, whole_network_epochs=3)
        assert not moved()

    def test_what_moved_is_told_with_its_size(self, photos):
        moved = good_candidate(photos, **TUNED).training["moved"]
        assert [part["moved"] for part in moved] == [False] * (len(moved) - 3) + [True] * 3
        assert moved[-1] == {"part": "head", "n_parameters": 96 * 2 + 2, "moved": True}

    def test_a_phase_never_makes_it_worse(self, photos, monkeypatch):
        before = good_candidate(photos, **(TUNED | {"mode": "probe"}))
        validating(monkeypatch, [0.1, 0.5, 0.4, 0.3])
        after = weights_of(good_candidate(photos, **TUNED))
        for name, tensor in weights_of(before).items():
            torch.testing.assert_close(after[name], tensor, rtol=1e-3, atol=1e-4)

    def test_the_weights_of_the_best_epoch_are_kept(self, photos, monkeypatch):
        losses, met = iter([1.0, 0.9, 0.5, 0.8]), []

        def scripted(_, tail):
            met.append({name: tensor.clone() for name, tensor in tail.state_dict().items()})
            return Score(next(losses), 0.5, None)

        monkeypatch.setattr(phase.PhaseTraining, "_validate", scripted)
        head = good_candidate(photos, **TUNED).classifier.head.weight
        same = [torch.equal(head, state["head.weight"]) for state in met]
        assert same == [False, False, True, False]


class TestPatience:
    @pytest.mark.parametrize(("patience", "epochs"), [(None, 6), (1, 2), (2, 5), (3, 6)])
    def test_it_ends_a_phase_that_gets_no_better(self, photos, monkeypatch, caplog, patience, epochs):
        caplog.set_level("INFO")
        validating(monkeypatch, [1.0, 0.9, 0.95, 0.8, 0.81, 0.82, 0.83])
        candidate = good_candidate(photos, **(TUNED | {"epochs": 6}), patience=patience)
        assert len(candidate.curves["epoch"]) == epochs
        assert ("training.patience" in caplog.text) == (epochs < 6)


class TestMovingAverage:
    def test_the_kept_weights_are_the_average_over_the_steps(self, photos, monkeypatch):
        """Against the recursion written out: e <- d e + (1 - d) w after each step, from the first step's w on."""
        seen, take = [], phase.Step.take

        def watched(self, *given):
            loss = take(self, *given)
            seen.append({name: tensor.clone() for name, tensor in self._tail.state_dict().items()})
            return loss

        kept = []
        monkeypatch.setattr(phase.Step, "take", watched)
        monkeypatch.setattr(
            phase.PhaseTraining,
            "_offer",
            lambda self, tail, _: (
                kept.append(copy.deepcopy(tail.state_dict())) or setattr(self, "_best", kept[-1])
            ),
        )
        good_candidate(photos, **TUNED, ema_decay=0.7)
        expected = seen[0]
        for weights in seen[1:]:
            expected = {
                name: 0.7 * expected[name] + 0.3 * tensor if tensor.is_floating_point() else tensor
                for name, tensor in weights.items()
            }
        for name, tensor in kept[-1].items():
            if tensor.is_floating_point():
                torch.testing.assert_close(tensor, expected[name], rtol=1e-4, atol=1e-5)
                assert tensor.ndim < 2 or not torch.equal(tensor, seen[-1][name])


class TestCurves:
    def epochs(self, losses, phases=None):
        curves = Curves()
        for position, (train_loss, validation_loss) in enumerate(losses):
            curves.add(
                phase=phases[position] if phases else "a",
                train_loss=train_loss,
                validation_loss=validation_loss,
            )
        return curves

    @pytest.mark.parametrize(
        ("losses", "flags"),
        [
            ([(3, 1), (2, 2), (1, 3)], [False, False, True]),
            ([(3, 1), (2, 2), (1, 1)], [False] * 3),  # came down again
            ([(1, 1), (2, 2), (3, 3)], [False] * 3),  # diverges, which is something else
            ([(3, 1), (2, 2)], [False] * 2),
        ],
    )
    def test_overfitting_is_a_rising_validation_loss_while_the_training_loss_falls(
        self, losses, flags, caplog
    ):
        assert self.epochs(losses).overfit == flags
        assert ("Overfitting since epoch 3" in caplog.text) == flags[-1]

    def test_a_new_phase_is_not_compared_with_the_last(self):
        losses = [(3, 1), (2, 2), (1, 3)]
        assert self.epochs(losses, ["a", "b", "b"]).overfit == [False] * 3

    def test_a_diverging_loss_stops(self):
        curves = self.epochs([(0.7, 1), (6.5, 1)])
        curves.require_progress(2, "")
        curves = self.epochs([(0.7, 1), (7.5, 1)])
        with pytest.raises(
            VisionpipeError, match=r"it diverges \(loss 7.5 in epoch 2\); lower training\.learning_rate"
        ):
            curves.require_progress(2, "")

    def test_scores_are_those_of_scikit_learn(self):
        chance = torch.Generator().manual_seed(3)
        logits_NK = torch.randn((60, 3), generator=chance)
        labels_N = torch.randint(3, (60,), generator=chance)
        found = score(logits_NK, nn.functional.one_hot(labels_N, 3).float())
        probabilities = logits_NK.double().softmax(1).numpy()
        assert found.loss == pytest.approx(log_loss(labels_N, probabilities), rel=1e-5)
        assert found.auc == pytest.approx(roc_auc_score(labels_N, probabilities, multi_class="ovr"))
        assert found.accuracy == pytest.approx((probabilities.argmax(1) == labels_N.numpy()).mean())

    def test_one_class_has_no_auc(self):
        assert score(torch.randn(4, 2), torch.tensor([[1.0, 0.0]] * 4)).auc is None

    def test_saved_curves_hold_no_timings(self, photos):
        candidate = good_candidate(photos, **TUNED)
        assert {"seconds", "images_per_s"} <= candidate.training["curves"].keys() - candidate.curves.keys()
        assert all(value > 0 for value in candidate.training["curves"]["images_per_s"])


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

    def test_what_does_not_follow_its_neighbour_is_left_alone(self):
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
        kept = folded(stages, images_NCHW)
        assert isinstance(kept[0].norm, nn.BatchNorm2d)
        assert torch.equal(kept[0](images_NCHW), stages[0](images_NCHW))


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
            for precision in ("float32", "frozen_bfloat16", "bfloat16")
        }
        assert kinds == {
            "float32": torch.float32,
            "frozen_bfloat16": torch.bfloat16,
            "bfloat16": torch.bfloat16,
        }


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")
def test_pixels_stay_on_the_gpu_when_they_fit(photos):
    pixels_NHWC = photos.prepared(64).pixels_NHWC
    data = LabelledPixels(pixels_NHWC, np.array([3, 1, 2]), torch.eye(2)[[0, 1, 0]])
    for gib, resident in ((1.0, True), (1e-9, False)):
        pixels = Pixels(data, torch.device("cuda"), gib)
        assert pixels.resident == resident
        np.testing.assert_array_equal(pixels.take(np.array([2, 0])).cpu(), pixels_NHWC[[2, 3]])


def test_pixels_of_a_split_are_taken_by_position(photos):
    pixels_NHWC = photos.prepared(64).pixels_NHWC
    data = LabelledPixels(pixels_NHWC, np.array([3, 1, 2]), torch.eye(2)[[0, 1, 0]])
    pixels = Pixels(data, torch.device("cpu"), 1.0)
    assert not pixels.resident
    np.testing.assert_array_equal(pixels.take(np.array([2, 0])), pixels_NHWC[[2, 3]])


def test_a_place_in_training_has_numbers_of_its_own():
    places = [(1, "order", "a", 1), (1, "order", "a", 2), (1, "order", "b", 1), (2, "order", "a", 1)]
    drawn = [torch.rand(3, generator=generator(*place)).tolist() for place in [*places, places[0]]]
    assert len({tuple(each) for each in drawn}) == len(places)
    assert drawn[0] == drawn[-1]


def test_a_class_that_is_rare_is_seen_as_often(photos):
    """`balanced_sampling` reaches the loop: the rare class is drawn in half of all places."""
    manifest = photos.manifest
    rare = manifest[(manifest["label"] == "red") & (manifest["split"] == "train")].index[2:]
    taken, take = [], phase.Step.take

    def watched(self, inputs, targets, *rest):
        taken.append(targets.sum(0))
        return take(self, inputs, targets, *rest)

    seen = {}
    for imbalance in ("none", "balanced_sampling"):
        taken.clear()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(phase.Step, "take", watched)
            recipe = parameters(**TUNED, loss={"imbalance": imbalance})
            train_candidate(manifest.drop(rare), photos.prepared(64), recipe)
        seen[imbalance] = torch.stack(taken).sum(0).tolist()
    assert seen == {"none": [24, 6], "balanced_sampling": [15, 15]}


def test_what_is_told_to_be_kept_is_what_is_delivered(photos, monkeypatch):
    """Where no epoch improves on the head, nothing but the head is said to have moved."""
    with monkeypatch.context() as patch:
        validating(patch, [0.1, 0.5, 0.4, 0.3])
        harmed = good_candidate(photos, **TUNED)
    assert harmed.training["kept_epoch"] is None
    assert harmed.classifier.spec.trained_stages == "head"
    assert [part["part"] for part in harmed.training["moved"] if part["moved"]] == ["head"]
    with monkeypatch.context() as patch:
        validating(patch, [0.9, 0.5, 0.4, 0.6, 0.7, 0.8, 0.9])
        better = good_candidate(photos, **TUNED, whole_network_epochs=2)
    assert better.training["kept_epoch"] == 2  # the whole network did not improve on it
    assert better.classifier.spec.trained_stages != "head"
    assert not all(part["moved"] for part in better.training["moved"])


@pytest.mark.parametrize("n_images", [3, 15])
def test_no_batch_of_the_whole_network_is_a_single_image(n_images):
    """Batch normalisation cannot be fed one image: 15 images in twos would leave one alone."""
    photos = photo_set(train=n_images, validation=4, seed=2)
    recipe = TINY | {"mode": "scratch", "whole_network_epochs": 1, "batch_size": 2}
    rows = photos.manifest[photos.manifest["split"] == "train"].index[:1]
    odd = dataclasses.replace(photos, manifest=photos.manifest.drop(rows))
    assert good_candidate(odd, **recipe).curves["epoch"] == [1]
