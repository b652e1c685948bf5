"""Training is repeatable to the bit, moves only what it says it moves, learns, and stops when it can't."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from torch import nn

from photo_sets import good_candidate, parameters, photo_set
from visionpipe.errors import VisionpipeError
from visionpipe.models.backbones import build_backbone
from visionpipe.models.candidate import predict_split, train_candidate
from visionpipe.models.classifier import ImageClassifier, ModelSpec
from visionpipe.models.parameters import TrainingParameters
from visionpipe.models.training.finetune import train
from visionpipe.models.training.frozen_trunk import LabelledPixels, soft_targets

TESTS = Path(__file__).parents[2]
FINETUNE = {"mode": "finetune", "epochs": 2, "views": ("identity", "horizontal_flip"), "probe_epochs": 5}


@pytest.fixture(scope="module")
def photos():
    return photo_set(train=10, validation=5, seed=4)


def weights_hash(classifier):
    digest = hashlib.sha256()
    for name, tensor in sorted(classifier.state_dict().items()):
        digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def new_classifier(classes=("blue", "red"), backbone="efficientnet-lite0", weights="package"):
    spec = ModelSpec(backbone=backbone, weights=weights, classes=list(classes), image_size_px=64)
    return ImageClassifier(spec, build_backbone(backbone, weights, 64)).eval()


def labelled(photos, split):
    rows = photos.manifest[photos.manifest["split"] == split]
    prepared = photos.prepared(64)
    codes_N = (rows["label"] == "red").to_numpy().astype(int)
    targets_NK = soft_targets(codes_N, np.ones(len(rows)), 2)
    return LabelledPixels(prepared.pixels_NHWC, prepared.rows(rows["image_id"].tolist()), targets_NK)


def trained(photos, **changes):
    classifier = new_classifier()
    before = {name: tensor.clone() for name, tensor in classifier.state_dict().items()}
    curves = train(
        classifier, labelled(photos, "train"), labelled(photos, "validation"), parameters(**changes)
    )
    return classifier, before, curves


def moved(classifier, before):
    return {name for name, tensor in classifier.state_dict().items() if not torch.equal(tensor, before[name])}


class TestRepeatable:
    SCRIPT = """
import sys
from test_finetune import FINETUNE, weights_hash
from photo_sets import good_candidate, photo_set
print(weights_hash(good_candidate(photo_set(train=10, validation=5, seed=4), **FINETUNE, {changes}).classifier))
"""

    def in_another_process(self, changes):
        path = os.pathsep.join([str(TESTS), str(TESTS / "models/training"), *sys.path])
        environment = {**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": "77", "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, "-c", self.SCRIPT.replace("{changes}", changes)],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    def test_the_same_seed_gives_the_same_weights_in_another_process(self, photos):
        torch.rand(5)  # whatever was drawn before
        here = weights_hash(good_candidate(photos, **FINETUNE).classifier)
        assert self.in_another_process("seed=20260105") == here

    def test_a_network_that_starts_from_nothing_is_repeatable_too(self, photos):
        from_nothing = {"backbone": "timm/test_resnet", "weights": "none"}
        first, second = (weights_hash(good_candidate(photos, **from_nothing).classifier) for _ in range(2))
        assert first == second

    def test_another_seed_gives_other_weights(self, photos):
        first, second = (weights_hash(good_candidate(photos, seed=seed).classifier) for seed in (1, 2))
        assert first != second

    def test_the_callers_random_numbers_are_left_alone(self, photos):
        classifier = new_classifier()
        state, deterministic = torch.get_rng_state(), torch.are_deterministic_algorithms_enabled()
        train(classifier, labelled(photos, "train"), labelled(photos, "validation"), parameters())
        assert torch.equal(torch.get_rng_state(), state)
        assert torch.are_deterministic_algorithms_enabled() == deterministic


class TestWhatMoves:
    def test_only_the_tuned_stages_and_the_head_move(self, photos):
        classifier, before, _ = trained(photos, **FINETUNE, tuned_stages=2)
        with_weights = [i for i, stage in enumerate(classifier.stages) if list(stage.parameters())]
        allowed = (*(f"stages.{i}." for i in with_weights[-2:]), "head.", "embedding_")
        changed = moved(classifier, before)
        assert changed
        assert all(name.startswith(allowed) for name in changed)
        for i in with_weights[-2:]:
            assert any(name.startswith(f"stages.{i}.") for name in changed)
        assert with_weights[-1] < len(classifier.stages) - 1  # the last has none
        assert classifier.spec.trained_stages == f"stages {with_weights[-2]}-{with_weights[-1]} and head"

    def test_batch_norm_statistics_stay_those_of_the_pretrained_network(self, photos):
        classifier, before, _ = trained(photos, **(FINETUNE | {"epochs": 6}), tuned_stages=99)
        changed = moved(classifier, before)
        assert "stages.0.weight" in changed  # every stage was free to move
        assert not [name for name in changed if "running_" in name or "num_batches" in name]

    def test_a_probe_moves_the_head_alone(self, photos):
        classifier, before, curves = trained(photos)
        changed = moved(classifier, before)
        assert changed == {"head.weight", "head.bias", "embedding_centre", "embedding_axes"}
        assert curves.epoch == []
        assert classifier.spec.trained_stages == "head"

    def test_the_photos_do_not_change(self, photos):
        data = labelled(photos, "train")
        pixels_NHWC, targets_NK = data.pixels_NHWC.copy(), data.targets_NK.clone()
        train(new_classifier(), data, labelled(photos, "validation"), parameters(**FINETUNE))
        np.testing.assert_array_equal(data.pixels_NHWC, pixels_NHWC)
        assert torch.equal(data.targets_NK, targets_NK)


class TestLearning:
    def test_it_tells_colours_apart(self):
        photos = photo_set(train=15, test=20, labels=("blue", "green", "red"), seed=8)
        candidate = good_candidate(photos)
        table = predict_split(candidate, photos.manifest, photos.prepared(64), "test")
        assert (table["label"] == table["predicted_label"]).mean() > 0.9

    def test_it_reads_digits(self):
        """Handwriting is nothing like ImageNet: 60 of each digit are enough, on 100 it has never seen."""
        digits = load_digits(n_class=4)
        pixels_NHWC = np.stack(
            [np.array(Image.fromarray((16 * d).clip(0, 255).astype(np.uint8)).resize((64, 64)).convert("RGB"))
             for d in digits.images[:400]]
        )  # fmt: skip

        def split(first, last):
            rows = np.arange(first, last)
            return LabelledPixels(pixels_NHWC, rows, soft_targets(digits.target[rows], np.ones(len(rows)), 4))

        classifier = new_classifier(classes="0123")
        train(classifier, split(0, 240), split(240, 300), parameters(mode="finetune", epochs=6))
        predicted_N = classifier.predict(pixels_NHWC[300:]).logits_NK.argmax(axis=1)
        assert (predicted_N == digits.target[300:400]).mean() > 0.9

    def test_curves_tell_of_every_epoch(self, photos):
        curves = vars(trained(photos, **(FINETUNE | {"epochs": 3}))[2])
        assert curves.pop("head")["epoch"]
        assert curves["epoch"] == [1, 2, 3]
        assert set(curves.pop("phase")) == {"last_stages"}
        assert all(len(values) == 3 and np.isfinite(values).all() for values in curves.values())
        assert curves["learning_rate"] == sorted(curves["learning_rate"], reverse=True)

    def test_the_embedding_is_the_principal_axes_of_the_training_features(self, photos):
        classifier, _, _ = trained(photos)
        data = labelled(photos, "train")
        with torch.no_grad():
            _, features_ND = classifier(torch.from_numpy(data.pixels_NHWC[data.rows_N]))
            found_NE = classifier.embed(features_ND).numpy()
        n_axes = len(data) - 1  # what 20 photos span
        expected_NE = PCA(n_components=n_axes, svd_solver="full").fit_transform(features_ND.double().numpy())
        np.testing.assert_allclose(np.abs(found_NE[:, :n_axes]), np.abs(expected_NE), rtol=1e-2, atol=1e-2)


class TestActivationCache:
    @pytest.mark.parametrize("mode", ["probe", "finetune"])
    def test_without_room_for_it_the_result_is_the_same(self, photos, mode, caplog):
        recipe = FINETUNE | {"mode": mode, "tuned_stages": 2}
        cached, _, _ = trained(photos, **recipe)
        assert "training.activation_cache_gib" not in caplog.text
        on_the_fly, _, _ = trained(photos, **recipe, activation_cache_gib=1e-9)
        assert "training.activation_cache_gib" in caplog.text
        pixels_NHWC = labelled(photos, "validation").pixels_NHWC
        np.testing.assert_allclose(
            on_the_fly.predict(pixels_NHWC).probabilities_NK,
            cached.predict(pixels_NHWC).probabilities_NK,
            atol=1e-3,
        )


class TestRefusals:
    def test_a_loss_that_is_no_number_stops_training(self, photos):
        with pytest.raises(
            VisionpipeError, match=r"training stopped: .* (nan|inf); lower training\.learning_rate"
        ):
            trained(photos, **(FINETUNE | {"learning_rate": 1e30}))

    def test_weights_that_are_no_numbers_stop_training(self, photos):
        classifier = new_classifier()
        nn.init.constant_(classifier.stages[0].weight, float("nan"))
        with pytest.raises(VisionpipeError, match="training stopped"):
            train(classifier, labelled(photos, "train"), labelled(photos, "validation"), parameters())

    def test_a_class_without_training_image_is_named(self, photos):
        manifest = photos.manifest.copy()
        manifest.loc[(manifest["label"] == "red") & (manifest["split"] == "train"), "split"] = "test"
        with pytest.raises(VisionpipeError, match="no training image of red"):
            train_candidate(manifest, photos.prepared(64), parameters())

    def test_one_class_is_not_enough(self, photos):
        manifest = photos.manifest[photos.manifest["label"] == "blue"]
        with pytest.raises(VisionpipeError, match=r"at least two classes, the manifest has \['blue'\]"):
            train_candidate(manifest, photos.prepared(64), parameters())

    def test_without_validation_images_nothing_is_trained(self, photos):
        manifest = photos.manifest[photos.manifest["split"] != "validation"]
        with pytest.raises(VisionpipeError, match="no image fell into the validation split"):
            train_candidate(manifest, photos.prepared(64), parameters())

    @pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
    def test_a_gpu_that_is_not_there_is_named(self, photos):
        with pytest.raises(VisionpipeError, match=r"training\.device: cuda .* no usable GPU"):
            trained(photos, device="cuda")


class TestSoftTargets:
    def test_doubt_is_spread_over_the_other_classes(self):
        targets_NK = soft_targets(np.array([0, 2]), np.array([1.0, 0.7]), 4)
        np.testing.assert_allclose(targets_NK, [[1, 0, 0, 0], [0.1, 0.1, 0.7, 0.1]], rtol=1e-6)

    @pytest.mark.parametrize("n_classes", [2, 3, 10])
    def test_targets_are_the_mean_of_what_each_vote_says(self, n_classes):
        random = np.random.default_rng(n_classes)
        for _ in range(50):
            codes_V, confidence_V = random.integers(0, n_classes, 4), random.random(4)
            says_VK = np.repeat((1 - confidence_V)[:, None] / (n_classes - 1), n_classes, axis=1)
            says_VK[np.arange(4), codes_V] = confidence_V
            label, *others = dict.fromkeys(codes_V)
            weight = {code: confidence_V[codes_V == code].sum() / 4 for code in (label, *others)}
            rivals = [(1, code, (codes_V == code).mean(), weight[code]) for code in others]
            labels_N, confidence_N = np.array([0, label]), np.array([1.0, weight[label]])
            targets_NK = soft_targets(labels_N, confidence_N, n_classes, rivals)
            np.testing.assert_allclose(targets_NK[1], says_VK.mean(0), atol=1e-6)
            assert targets_NK[0].tolist() == [1.0] + [0.0] * (n_classes - 1)

    @pytest.mark.parametrize("n_classes", [2, 3, 10])
    def test_rows_are_probabilities_whatever_the_confidence(self, n_classes):
        random = np.random.default_rng(n_classes)
        labels_N, confidence_N = random.integers(0, n_classes, 200), random.random(200)
        confidence_N[:2] = 0, 1
        targets_NK = soft_targets(labels_N, confidence_N, n_classes).double().numpy()
        np.testing.assert_allclose(targets_NK.sum(axis=1), 1, atol=1e-6)
        assert targets_NK.min() >= 0
        np.testing.assert_allclose(targets_NK[np.arange(200), labels_N], confidence_N, atol=1e-6)

    def test_no_table_of_all_classes_is_held_but_the_targets(self):
        labels_N, confidence_N = np.zeros(2000, int), np.full(2000, 0.9)
        tracemalloc.start()
        targets_NK = soft_targets(labels_N, confidence_N, 500, [(3, 7, 0.25, 0.2)])
        peak_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak_bytes < 1.5 * targets_NK.nbytes

    def test_a_doubtful_label_teaches_doubt(self, photos):
        """A model of labels that are right in 7 of 10 cases is about 70 % sure, not 100 %."""
        data, held_out = labelled(photos, "train"), labelled(photos, "validation")
        doubtful = [
            LabelledPixels(d.pixels_NHWC, d.rows_N, 0.3 + 0.4 * d.targets_NK) for d in (data, held_out)
        ]
        classifier = new_classifier()
        train(classifier, *doubtful, parameters(probe_epochs=60))
        confidence_N = classifier.predict(data.pixels_NHWC[data.rows_N]).confidence_N
        assert confidence_N.mean() == pytest.approx(0.7, abs=0.1)


def test_defaults_are_a_valid_recipe():
    assert TrainingParameters().backbone == "efficientnet-lite0"
