"""Attacks find what there is to find: against a linear model the answer is known exactly."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from visionpipe.models.backbones import Backbone
from visionpipe.models.classifier import ImageClassifier, ModelSpec
from visionpipe.models.decisions import Decision
from visionpipe.models.examination.adversarial import fgsm, pgd

SIDE_PX = 8
EPSILONS = (0.5, 1.0, 2.0, 4.0)


def linear_model(decision=None):
    """A logistic regression on the pixels: a change of epsilon lowers the margin by epsilon |w1 - w0|_1 at most."""
    spec = ModelSpec(
        backbone="none",
        weights="none",
        classes=["a", "b"],
        image_size_px=SIDE_PX,
        decision=decision or Decision(),
    )
    backbone = Backbone(nn.ModuleList([nn.Flatten(1)]), 3 * SIDE_PX**2, mean=(0.4,) * 3, std=(0.3,) * 3)
    classifier = ImageClassifier(spec, backbone)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        classifier.head.weight.normal_(0, 0.05, generator=generator)
        classifier.head.bias.copy_(torch.tensor([0.1, -0.1]))
    return classifier.eval()


@pytest.fixture(scope="module")
def photos():
    return np.random.default_rng(1).integers(100, 156, (40, SIDE_PX, SIDE_PX, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def expected(photos):
    """survives_EN by the closed form, with the labels that the model gives; clipping does not reach mid-greys."""
    classifier = linear_model()
    with torch.inference_mode():
        logits, _ = classifier(torch.from_numpy(photos))
    margin_N = (logits[:, 1] - logits[:, 0]).abs().numpy()
    slope = (classifier.head.weight[1] - classifier.head.weight[0]).abs().sum().item() / 0.3
    survives_EN = np.stack([margin_N > epsilon / 255 * slope for epsilon in EPSILONS])
    assert 0 < survives_EN.mean() < 1
    return survives_EN, (logits[:, 1] > logits[:, 0]).numpy().astype(int)


def test_fgsm_is_the_best_attack_on_a_linear_model(photos, expected):
    survives_EN, labels_N = expected
    np.testing.assert_array_equal(fgsm(linear_model(), photos, labels_N, EPSILONS), survives_EN)


def test_a_model_that_averages_views_is_attacked_as_it_predicts(photos):
    classifier = linear_model()
    classifier.spec = classifier.spec.model_copy(update={"averaged_views": ("identity", "horizontal_flip")})
    with torch.inference_mode():
        logits, _ = classifier(torch.from_numpy(photos))
    margin_N = (logits[:, 1] - logits[:, 0]).abs().numpy()
    slopes_CHW = (
        (classifier.head.weight[1] - classifier.head.weight[0]).detach().unflatten(0, (3, SIDE_PX, SIDE_PX))
    )
    slope = ((slopes_CHW + slopes_CHW.flip(2)) / 2).abs().sum().item() / 0.3
    labels_N = (logits[:, 1] > logits[:, 0]).numpy().astype(int)
    survives_EN = np.stack([margin_N > epsilon / 255 * slope for epsilon in EPSILONS])
    assert 0 < survives_EN.mean() < 1
    np.testing.assert_array_equal(fgsm(classifier, photos, labels_N, EPSILONS), survives_EN)


@pytest.mark.parametrize("attack", [fgsm, lambda *given: pgd(*given, steps=10, seed=0)])
def test_a_model_is_no_more_robust_for_being_a_hundred_times_as_sure(attack, photos, expected):
    survives_EN, labels_N = expected
    classifier = linear_model()
    with torch.no_grad():
        classifier.head.weight.mul_(100)
        classifier.head.bias.mul_(100)
    np.testing.assert_array_equal(attack(classifier, photos, labels_N, EPSILONS), survives_EN)


def test_pgd_finds_the_same_from_a_random_start(photos, expected):
    survives_EN, labels_N = expected
    found_EN = pgd(linear_model(), photos, labels_N, EPSILONS, steps=10, seed=0)
    np.testing.assert_array_equal(found_EN, survives_EN)
    assert (np.diff(found_EN.astype(int), axis=0) <= 0).all()


def test_too_few_steps_find_less(photos, expected):
    survives_EN, labels_N = expected
    few_EN = pgd(linear_model(), photos, labels_N, EPSILONS[:1], steps=1, seed=0)
    assert few_EN.sum() >= survives_EN[0].sum()


@pytest.mark.parametrize("attack", [fgsm, lambda *given: pgd(*given, steps=3, seed=0)])
def test_what_is_wrong_without_an_attack_does_not_survive(attack, photos, expected):
    _, labels_N = expected
    assert not attack(linear_model(), photos, 1 - labels_N, [1e-6]).any()


def test_an_attack_that_mends_a_mistake_does_not_count_for_the_model(photos, expected, monkeypatch):
    from visionpipe.models.examination import adversarial

    _, labels_N = expected
    asked_N = np.where(np.arange(len(photos)) % 3 == 0, 1 - labels_N, labels_N)
    monkeypatch.setattr(adversarial, "_descend", lambda model, images, *_: np.ones(len(images), dtype=bool))
    found_EN = pgd(linear_model(), photos, asked_N, EPSILONS, steps=2, seed=0)
    np.testing.assert_array_equal(found_EN, np.stack([asked_N == labels_N] * 4))
    monkeypatch.setattr(adversarial, "_is_right", lambda model, images, _: np.ones(len(images), dtype=bool))
    found_EN = fgsm(linear_model(), photos, asked_N, EPSILONS)
    np.testing.assert_array_equal(found_EN, np.stack([asked_N == labels_N] * 4))


def test_the_label_that_the_decision_rule_gives_is_what_counts(photos, expected):
    """A rule that always gives b is right on every b, whatever is done to it."""
    always_b = Decision(capped_class=1, capped_from=0.0)
    labels_N = np.ones(len(photos), dtype=int)
    assert fgsm(linear_model(always_b), photos, labels_N, [255.0]).all()
    assert pgd(linear_model(always_b), photos, labels_N, [255.0], steps=2, seed=0).all()


def test_no_image_leaves_its_box_nor_the_range_of_pixels(photos, expected, monkeypatch):
    classifier, seen = linear_model(), []
    monkeypatch.setattr(
        "visionpipe.models.examination.adversarial._logits",
        lambda model, images: (seen.append(images.detach().clone()), model.logits(images.flatten(1)))[1],
    )
    edges = np.array(photos[:4])
    edges[0], edges[1] = 0, 255
    pgd(classifier, edges[:1], np.zeros(1, int), [8.0], steps=5, seed=0)
    pgd(classifier, edges[1:2], np.ones(1, int), [8.0], steps=5, seed=0)
    assert len(seen) >= 3
    for images in seen:
        assert images.min() >= 0
        assert images.max() <= 1
        start = torch.tensor(float(images.mean() > 0.5))
        assert (images - start).abs().max() <= 8 / 255 + 1e-6


def test_the_model_is_left_as_it_was(photos, expected):
    classifier = linear_model()
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    pgd(classifier, photos[:4], expected[1][:4], [2.0], steps=2, seed=0)
    fgsm(classifier, photos[:4], expected[1][:4], [2.0])
    assert all(torch.equal(value, before[name]) for name, value in classifier.state_dict().items())
    assert all(weight.grad is None for weight in classifier.parameters())
