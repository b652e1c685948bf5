"""Phases keep the best epoch, stop in time and tell what happened."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
import torch
from torch.nn import functional

from photo_sets import TINY, TUNED, good_candidate, parameters, photo_set, weights_of
from visionpipe.metrics.evaluation import codes_of
from visionpipe.models.backbones import build_backbone
from visionpipe.models.candidate import predict_manifest, train_candidate
from visionpipe.models.training import phase
from visionpipe.models.training.curves import Score
from visionpipe.models.training.selection import calibrated_losses
from visionpipe.models.training.tail import Tail


def validating(monkeypatch, losses):
    """Have validation find these losses: before the phase, then after each epoch."""
    found = iter(losses)
    monkeypatch.setattr(phase.PhaseTraining, "_validate", lambda *_: scored(next(found)))


def scored(loss):
    """Return a score in which every image has this loss, so that no error is allowed for."""
    return Score(torch.full((6,), loss), 0.5, None)


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

    @pytest.mark.parametrize("changes", [{"epochs": 0}, {"mode": "scratch"}], ids=["finetune", "scratch"])
    def test_a_head_drawn_at_random_is_never_what_is_kept(self, photos, monkeypatch, caplog, changes):
        validating(monkeypatch, [5.0, 6.0])
        curves = good_candidate(photos, **(TUNED | changes), whole_network_epochs=2).curves
        assert curves["improved"] == [True, False]
        assert "no epoch lowered" not in caplog.text

    def test_the_weights_of_the_best_epoch_are_kept(self, photos, monkeypatch):
        losses, met = iter([1.0, 0.9, 0.5, 0.8]), []

        def scripted(_, tail):
            met.append({name: tensor.clone() for name, tensor in tail.state_dict().items()})
            return scored(next(losses))

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
        assert ("Stopped early" in caplog.text) == (epochs < 6)


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
            "_keep",
            lambda self, tail: (
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

    def test_buffers_of_integers_stay_what_they_are(self, monkeypatch):
        """Swin looks its relative positions up in a table of 0 to 168; 0.9 * 3 + 0.1 * 3 is less than 3."""
        photos, backbone = photo_set(train=4, validation=4, seed=4), "torchvision/swin_t"
        recipe = TINY | {"backbone": backbone, "mode": "scratch", "batch_size": 2, "image_size_px": 32}
        validating(monkeypatch, [1.0, 0.9])
        network = good_candidate(photos, **recipe, whole_network_epochs=2, ema_decay=0.9).classifier
        fresh = build_backbone(backbone, "none", 32).stages
        kept = dict(network.stages.named_buffers())
        positions = {name: index for name, index in fresh.named_buffers() if not index.is_floating_point()}
        assert positions
        for name, index in positions.items():
            assert torch.equal(kept[name], index), name


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


@pytest.mark.parametrize(("imbalance", "weighs"), [("none", False), ("class_weights", True)])
def test_validation_weighs_classes_as_training_does(imbalance, weighs, photos, monkeypatch):
    given, score = [], phase.score
    monkeypatch.setattr(phase, "score", lambda *of: given.append(of[2]) or score(*of))
    good_candidate(photos, **TUNED, loss={"imbalance": imbalance})
    assert [weights is not None for weights in given] == [weighs] * 4


@pytest.mark.parametrize(("changes", "cuts"), [({}, False), ({"epochs": 0, "whole_network_epochs": 1}, True)])
def test_cutmix_is_for_photos_only(changes, cuts, photos, monkeypatch):
    given, made = [], phase.Step
    monkeypatch.setattr(phase, "Step", lambda *of, cuts: given.append(cuts) or made(*of, cuts=cuts))
    good_candidate(photos, **(TUNED | changes))
    assert given == [cuts]


@pytest.mark.parametrize(
    "changes", [{}, {"epochs": 0, "whole_network_epochs": 2}], ids=["last stages", "all"]
)
def test_the_validation_loss_is_that_of_the_network_that_is_delivered(photos, changes):
    """Though it is found with batch normalisation folded into the convolutions."""
    made = good_candidate(photos, **(TUNED | changes), precision="float32")
    rows = photos.manifest[photos.manifest["split"] == "validation"]
    logits_NK = predict_manifest(made.classifier, rows, photos.prepared(64)).logits_NK
    codes_N = torch.tensor(np.array(codes_of(rows["label"], made.classifier.spec.classes)))
    found = (
        calibrated_losses(torch.from_numpy(logits_NK), functional.one_hot(codes_N.long()).float())
        .mean()
        .item()
    )
    kept = made.training["kept_epoch"]
    assert kept is not None
    assert made.curves["validation_loss"][kept - 1] == pytest.approx(found, rel=1e-3)


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
def test_no_pass_of_the_whole_network_is_a_single_image(n_images, monkeypatch):
    """Batch normalisation cannot be fed one image: 15 images in twos would leave one alone."""
    photos = photo_set(train=n_images // 2 + 1, validation=4, seed=2)
    rows = photos.manifest[photos.manifest["split"] == "train"].index[:1]
    odd = dataclasses.replace(photos, manifest=photos.manifest.drop(rows))
    passed, forward = [], Tail.forward

    def watched(self, activations, kept=None):
        passed.append(len(activations))
        return forward(self, activations, kept)

    monkeypatch.setattr(Tail, "forward", watched)
    recipe = TINY | {"mode": "scratch", "whole_network_epochs": 1, "batch_size": 2}
    assert good_candidate(odd, **recipe).curves["epoch"] == [1]
    assert sorted(passed) == [2] * (n_images // 2 - 1) + [3]
