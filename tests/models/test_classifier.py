"""A classifier predicts the same wherever it is loaded, and says so when its files are no classifier."""

from __future__ import annotations

import hashlib
import json
import pickle
import struct

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from scipy.special import softmax

from photo_sets import parameters, photo_set
from visionpipe.errors import VisionpipeError
from visionpipe.models.backbones import build_backbone
from visionpipe.models.candidate import train_candidate
from visionpipe.models.classifier import (
    ImageClassifier,
    ModelSpec,
    load_classifier,
    save_classifier,
    weights_sha256,
)
from visionpipe.models.decisions import Decision


@pytest.fixture(scope="module")
def pixels_NHWC():
    return np.random.default_rng(3).integers(0, 256, (19, 64, 64, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def classifier():
    """The packaged backbone with a trained head, temperature and embedding."""
    photos, recipe = photo_set(train=12), parameters(probe_epochs=3)
    return train_candidate(photos.manifest, photos.prepared(64), recipe).classifier


@pytest.fixture
def folder(classifier, tmp_path):
    save_classifier(classifier, tmp_path)
    return tmp_path


def small(classes=("a", "b", "c"), **spec):
    torch.manual_seed(11)
    whole = ModelSpec(
        backbone="timm/test_resnet", weights="none", classes=list(classes), image_size_px=64, **spec
    )
    return ImageClassifier(whole, build_backbone(whole.backbone, "none", 64)).eval()


def test_what_is_loaded_predicts_bit_for_bit_what_was_saved(classifier, folder, pixels_NHWC):
    before, after = classifier.predict(pixels_NHWC), load_classifier(folder).predict(pixels_NHWC)
    for name in ("logits_NK", "probabilities_NK", "embeddings_NE"):
        np.testing.assert_array_equal(getattr(before, name), getattr(after, name))
    assert before.labels == after.labels
    assert load_classifier(folder).spec == classifier.spec
    assert np.ptp(before.logits_NK) > 0


def test_nothing_is_pickled(folder, monkeypatch):
    assert {path.name for path in folder.iterdir()} == {"weights.safetensors", "model.json"}
    json.loads((folder / "model.json").read_text())
    data = (folder / "weights.safetensors").read_bytes()
    header_bytes = struct.unpack("<Q", data[:8])[0]  # the format: length, JSON, tensors
    json.loads(data[8 : 8 + header_bytes])

    def refuse(*args, **kwargs):
        raise AssertionError("something was unpickled")

    for module, name in ((torch, "load"), (pickle, "load"), (pickle, "loads"), (pickle, "Unpickler")):
        monkeypatch.setattr(module, name, refuse)
    load_classifier(folder)


@pytest.mark.parametrize("sizes", [(1,) * 19, (3, 16), (8, 8, 3)])
def test_predictions_do_not_depend_on_the_batch(classifier, pixels_NHWC, sizes):
    whole = classifier.predict(pixels_NHWC)
    batches = np.split(pixels_NHWC, np.cumsum(sizes)[:-1])
    parts = classifier.predict_batches(iter(batches))
    np.testing.assert_allclose(parts.logits_NK, whole.logits_NK, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(parts.embeddings_NE, whole.embeddings_NE, rtol=1e-4, atol=1e-4)


def test_inputs_are_normalised_as_torchvision_does(classifier, pixels_NHWC):
    from torchvision.transforms.functional import convert_image_dtype, normalize

    images_NCHW = torch.from_numpy(pixels_NHWC).permute(0, 3, 1, 2)
    expected = normalize(convert_image_dtype(images_NCHW), [127 / 255] * 3, [128 / 255] * 3)
    torch.testing.assert_close(classifier.normalise(torch.from_numpy(pixels_NHWC)), expected)


def test_predictions_in_all_views_do_not_depend_on_how_a_photo_is_turned(pixels_NHWC):
    turned = np.ascontiguousarray(np.rot90(pixels_NHWC, axes=(1, 2)))
    views = ("identity", "rotate_90", "rotate_180", "rotate_270")
    plain, averaged = small(), small(averaged_views=views)
    assert np.abs(plain.predict(turned).logits_NK - plain.predict(pixels_NHWC).logits_NK).max() > 1e-3
    found = averaged.predict(pixels_NHWC)
    np.testing.assert_allclose(averaged.predict(turned).logits_NK, found.logits_NK, atol=1e-5)
    each = [plain.predict(np.rot90(pixels_NHWC, k, axes=(1, 2))).logits_NK for k in range(4)]
    np.testing.assert_allclose(found.logits_NK, np.mean(each, axis=0), atol=1e-5)


def test_probabilities_are_those_of_the_logits_at_the_temperature(pixels_NHWC):
    found = small(temperature=2.5).predict(pixels_NHWC)
    np.testing.assert_allclose(found.probabilities_NK, softmax(found.logits_NK.astype(float) / 2.5, axis=1))
    np.testing.assert_array_equal(found.confidence_N, found.probabilities_NK.max(axis=1))
    assert found.labels == [("a", "b", "c")[k] for k in found.logits_NK.argmax(axis=1)]


def test_prediction_goes_on_in_halves_when_memory_runs_out(pixels_NHWC, monkeypatch):
    classifier = small()
    whole, forward = classifier.predict(pixels_NHWC), classifier.forward

    def short_of_memory(pixels):
        if len(pixels) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(pixels)

    monkeypatch.setattr(classifier, "forward", short_of_memory)
    found = classifier.predict(pixels_NHWC)
    np.testing.assert_allclose(found.logits_NK, whole.logits_NK, atol=1e-5)
    np.testing.assert_allclose(found.embeddings_NE, whole.embeddings_NE, atol=1e-5)


def test_a_gpu_predicts_as_exactly_as_a_cpu(pixels_NHWC, monkeypatch):
    classifier, precisions = small(), set()
    forward = classifier.forward

    def noting(pixels):
        precisions.add(torch.backends.cudnn.conv.fp32_precision)
        return forward(pixels)

    monkeypatch.setattr(classifier, "forward", noting)
    classifier.predict(pixels_NHWC)
    assert precisions == {"ieee"}


def test_confidence_is_that_of_the_label_given(pixels_NHWC):
    costs_KK = [[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [50.0, 50.0, 0.0]]
    found = small(decision={"costs_KK": costs_KK, "prior_weights_K": [1.0, 1.0, 1.0]}).predict(pixels_NHWC)
    assert set(found.labels) == {"c"}
    np.testing.assert_array_equal(found.confidence_N, found.probabilities_NK[:, 2])
    assert (found.confidence_N < found.probabilities_NK.max(axis=1)).any()
    some = found.take(np.array([2, 0]))
    np.testing.assert_array_equal(some.confidence_N, found.confidence_N[[2, 0]])


def test_memory_mapped_photos_are_predicted_in_place(pixels_NHWC, tmp_path):
    np.save(tmp_path / "images.npy", pixels_NHWC)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    np.testing.assert_array_equal(small().predict(mapped).logits_NK, small().predict(pixels_NHWC).logits_NK)


def test_no_photos_give_no_predictions():
    for found in (small().predict(np.empty((0, 64, 64, 3), np.uint8)), small().predict_batches(iter([]))):
        assert (found.logits_NK.shape, found.probabilities_NK.shape, found.embeddings_NE.shape) == (
            (0, 3),
            (0, 3),
            (0, 32),
        )
        assert found.labels == []


def edit(folder, **changes):
    spec = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps({**spec, **changes}))


DAMAGES = {
    "no weights": lambda f: (f / "weights.safetensors").unlink(),
    "half the weights": lambda f: (f / "weights.safetensors").write_bytes(
        (f / "weights.safetensors").read_bytes()[:9000]
    ),
    "garbage for weights": lambda f: (f / "weights.safetensors").write_bytes(b"\xff" * 500),
    "a tensor too few": lambda f: save_file(
        {name: w for name, w in load_file(f / "weights.safetensors").items() if name != "head.bias"},
        f / "weights.safetensors",
    ),
    "another model's weights": lambda f: save_file(
        {name: weights.contiguous() for name, weights in small().state_dict().items()},
        f / "weights.safetensors",
    ),
    "no model.json": lambda f: (f / "model.json").unlink(),
    "half a model.json": lambda f: (f / "model.json").write_bytes((f / "model.json").read_bytes()[:50]),
    "bytes for model.json": lambda f: (f / "model.json").write_bytes(b"\xff\xfe\x00"),
    "an empty model.json": lambda f: (f / "model.json").write_text("{}"),
    "a list in model.json": lambda f: (f / "model.json").write_text("[]"),
    "a class more": lambda f: edit(f, classes=["blue", "green", "red"]),
    "no classes": lambda f: edit(f, classes=[]),
    "temperature 0": lambda f: edit(f, temperature=0),
    "temperature NaN": lambda f: edit(f, temperature=float("nan")),
    "a key of a later version": lambda f: edit(f, colour_space="CIELAB"),
    "an unknown backbone": lambda f: edit(f, backbone="timm/of_next_year"),
    "another backbone": lambda f: edit(f, backbone="timm/test_resnet"),
    "a side of 0 px": lambda f: edit(f, image_size_px=0),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files_are_refused_in_one_line_that_names_the_folder(damage, folder):
    DAMAGES[damage](folder)
    with pytest.raises(VisionpipeError, match=r"this model cannot be loaded: .") as refused:
        load_classifier(folder)
    message = str(refused.value)
    assert message.startswith(str(folder))
    assert "\n" not in message
    assert len(message) < 600


def test_the_reason_says_what_does_not_fit(folder):
    edit(folder, classes=["blue", "green", "red"])
    with pytest.raises(VisionpipeError, match=r"size mismatch for head\.weight"):
        load_classifier(folder)
    edit(folder, temperature=-1)
    with pytest.raises(VisionpipeError, match=r"model\.json: temperature .*greater than 0"):
        load_classifier(folder)


def with_dropout(passes, rate=0.5):
    """Return a small classifier that predicts by the mean of so many passes with dropout, and some features."""
    spec = ModelSpec(
        backbone="timm/test_resnet", weights="none", classes=["a", "b", "c"], image_size_px=32,
        mc_dropout_passes=passes, mc_dropout_rate=rate,
    )  # fmt: skip
    torch.manual_seed(0)
    made = ImageClassifier(spec, build_backbone(spec.backbone, "none", 32)).eval()
    torch.nn.init.normal_(made.head.weight)
    return made, torch.randn(6, made.head.in_features).abs()


@torch.no_grad()
def test_mc_dropout_is_the_mean_probability_of_torch_s_own_dropout():
    made, features_ND = with_dropout(100)
    drawn = [
        made.head(torch.nn.functional.dropout(features_ND, 0.5)).softmax(1) for _ in range(4000)
    ]  # the same mean, by other masks
    spread = torch.stack(drawn).std(0)
    found = made.logits(features_ND).exp()
    torch.testing.assert_close(found.sum(1), torch.ones(6))
    assert ((found - torch.stack(drawn).mean(0)).abs() < 4 * spread / 100**0.5 + 1e-3).all()
    plain = made.head(features_ND).softmax(1)
    assert found.max(1).values.mean() < plain.max(1).values.mean() - 0.01  # and it is less sure


@torch.no_grad()
def test_mc_dropout_depends_neither_on_the_batch_nor_on_chance():
    made, features_ND = with_dropout(5)
    together = made.logits(features_ND)
    torch.manual_seed(1)
    torch.testing.assert_close(torch.cat([made.logits(row) for row in features_ND.split(1)]), together)


@torch.no_grad()
def test_without_passes_or_without_dropout_a_prediction_is_the_head_s():
    for passes, rate in ((0, 0.5), (3, 0.0)):
        made, features_ND = with_dropout(passes, rate)
        torch.testing.assert_close(made.logits(features_ND).softmax(1), made.head(features_ND).softmax(1))


def test_predictions_take_the_passes_and_the_decision_rule():
    made, _ = with_dropout(4, 0.9)
    pixels = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    averaged = made.predict(pixels)
    np.testing.assert_allclose(np.exp(averaged.logits_NK).sum(axis=1), 1, rtol=1e-5)
    made.spec.mc_dropout_passes = 0
    assert not np.allclose(made.predict(pixels).probabilities_NK, averaged.probabilities_NK)
    made.spec.decision = Decision(capped_class=2, capped_from=0.0)
    assert made.predict(pixels).labels == ["c"] * 5


def test_the_hash_of_the_weights_is_that_of_their_file(classifier, folder):
    written = hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()
    assert weights_sha256(classifier) == written == weights_sha256(load_classifier(folder))
    assert weights_sha256(small()) != written
