"""Losses are those of the papers, checked against other people's code, and an epoch can be balanced."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss
from sklearn.utils.class_weight import compute_class_weight
from timm.loss.class_weights import compute_class_weights
from torch.nn import functional
from torchvision.ops import sigmoid_focal_loss

from visionpipe.models.recipe_parameters import LossParameters
from visionpipe.models.training.losses import (
    balanced_order,
    build_loss,
    effective_number_weights,
    focal_loss,
    image_losses,
    inverse_frequency_weights,
    judging_weights,
)

COUNTS = torch.tensor([900.0, 90.0, 10.0])


def batch(count=64, classes=3, seed=0):
    """Return logits, soft targets and hard ones."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(count, classes, generator=generator) * 2
    soft = torch.rand(count, classes, generator=generator)
    return logits, soft / soft.sum(1, keepdim=True), torch.eye(classes)[torch.arange(count) % classes]


def loss(counts=COUNTS, **changes):
    return build_loss(LossParameters(**{"imbalance": "none", "label_smoothing": 0.0, **changes}), counts)


def test_plain_cross_entropy_is_scikit_learn_s_log_loss():
    logits, _, hard = batch()
    expected = log_loss(hard.numpy(), logits.double().softmax(1).numpy())
    assert loss()(logits, hard).item() == pytest.approx(expected, rel=1e-5)


def test_soft_targets_are_counted_by_their_shares():
    logits, soft, _ = batch()
    of_class = [functional.cross_entropy(logits, torch.full((64,), k), reduction="none") for k in range(3)]
    assert loss()(logits, soft).item() == pytest.approx(
        (soft * torch.stack(of_class, 1)).sum(1).mean().item(), rel=1e-5
    )


@pytest.mark.parametrize("imbalance", ["none", "balanced_sampling", "focal"])
def test_label_smoothing_is_training_on_smoothed_targets(imbalance):
    logits, soft, _ = batch()
    smoothed = loss(imbalance=imbalance, label_smoothing=0.1)(logits, soft)
    torch.testing.assert_close(smoothed, loss(imbalance=imbalance)(logits, 0.9 * soft + 0.1 / 3))


@pytest.mark.parametrize("classes", [3, 10])
def test_label_smoothing_is_torch_s(classes):
    logits, soft, _ = batch(classes=classes)
    expected = functional.cross_entropy(logits, soft, label_smoothing=0.1)
    torch.testing.assert_close(loss(torch.ones(classes), label_smoothing=0.1)(logits, soft), expected)


def test_label_smoothing_is_even_after_class_weights():
    """Spread evenly before them, a rare class's part of it counts as much as many images of the others."""
    logits, soft, _ = batch()
    weighed = loss(imbalance="class_weights", label_smoothing=0.1)(logits, soft)
    even = functional.cross_entropy(logits, torch.full_like(soft, 1 / 3))
    torch.testing.assert_close(weighed, 0.9 * loss(imbalance="class_weights")(logits, soft) + 0.1 * even)


REBALANCED = [
    {"imbalance": "class_weights"},
    {"imbalance": "class_weights", "class_weighting": "effective_number"},
    {"imbalance": "class_weights", "class_weighting": "effective_number", "effective_number_beta": 0.0},
    {"imbalance": "logit_adjustment"},
    {"imbalance": "logit_adjustment", "logit_adjustment_tau": 0.5},
    {"imbalance": "logit_adjustment", "logit_adjustment_tau": 2.0},
    {"imbalance": "focal"},
    {"imbalance": "none"},
]


@pytest.mark.parametrize("method", REBALANCED, ids=lambda method: "-".join(map(str, method.values())))
@pytest.mark.parametrize("ratio", [10, 100, 1000])
@pytest.mark.parametrize("classes", [2, 10])
@pytest.mark.parametrize("smoothing", [0.05, 0.6])
def test_what_a_smoothed_label_teaches_is_that_label(method, ratio, classes, smoothing):
    """A network that sees nothing but images of one class ends up with that class, common or rare."""
    counts = torch.full((classes,), 10.0 * ratio).index_fill(0, torch.tensor(classes - 1), 10.0)
    criterion = loss(counts, label_smoothing=smoothing, **method)
    for target in torch.eye(classes):
        assert best_logits(criterion, target).argmax() == target.argmax()


def best_logits(criterion, target):
    """Return the logits (K,) that a loss is lowest for, given a target."""
    logits = torch.zeros(len(target), requires_grad=True)
    optimiser = torch.optim.LBFGS([logits], max_iter=200, line_search_fn="strong_wolfe", tolerance_grad=1e-9)

    def step():
        optimiser.zero_grad()
        value = criterion(logits[None], target[None])
        value.backward()
        return value

    optimiser.step(step)
    return logits.detach()


def test_inverse_frequency_is_scikit_learn_s_balanced():
    labels = np.repeat([0, 1, 2], COUNTS.int().tolist())
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    np.testing.assert_allclose(inverse_frequency_weights(COUNTS), expected, rtol=1e-5)


@pytest.mark.parametrize("beta", [0.5, 0.99, 0.9999])
def test_the_effective_number_is_timm_s(beta):
    _, expected = compute_class_weights(COUNTS, int(COUNTS.sum()), "effective_num", beta=beta)
    weights = effective_number_weights(COUNTS, beta)
    torch.testing.assert_close(weights / weights.mean(), expected)


def test_the_effective_number_lies_between_no_weights_and_inverse_frequency():
    torch.testing.assert_close(effective_number_weights(COUNTS, 0.0), torch.ones(3))
    nearly_one = effective_number_weights(COUNTS, 1 - 1e-9)
    torch.testing.assert_close(nearly_one, inverse_frequency_weights(COUNTS), rtol=1e-4, atol=0)


@given(st.lists(st.integers(1, 100_000), min_size=2, max_size=20), st.sampled_from([0.0, 0.9, 0.999]))
def test_weights_average_1_over_the_training_images(counts, beta):
    counts = torch.tensor(counts, dtype=torch.float32)
    for weights in (inverse_frequency_weights(counts), effective_number_weights(counts, beta)):
        assert ((weights * counts).sum() / counts.sum()).item() == pytest.approx(1, rel=1e-4)


@pytest.mark.parametrize(
    ("weighting", "weights"),
    [
        ("inverse_frequency", inverse_frequency_weights(COUNTS)),
        ("effective_number", effective_number_weights(COUNTS, 0.99)),
    ],
)
def test_a_mistake_costs_its_class_s_weight(weighting, weights):
    logits, _, hard = batch()
    per_image = functional.cross_entropy(logits, hard, reduction="none")
    made = loss(imbalance="class_weights", class_weighting=weighting, effective_number_beta=0.99)(
        logits, hard
    )
    torch.testing.assert_close(made, (per_image * weights[hard.argmax(1)]).mean())


@pytest.mark.parametrize("gamma", [0.5, 2.0, 5.0])
def test_focal_loss_of_two_classes_is_torchvision_s(gamma):
    logits, soft, _ = batch(classes=2)
    expected = sigmoid_focal_loss(
        logits[:, 1] - logits[:, 0], (soft[:, 1] > 0.5).float(), alpha=-1, gamma=gamma, reduction="mean"
    )
    hard = functional.one_hot((soft[:, 1] > 0.5).long()).float()
    torch.testing.assert_close(focal_loss(logits, hard, gamma), expected)
    torch.testing.assert_close(loss(COUNTS[:2], imbalance="focal", focal_gamma=gamma)(logits, hard), expected)


def test_focal_loss_without_focus_is_cross_entropy():
    logits, soft, _ = batch()
    torch.testing.assert_close(focal_loss(logits, soft, 0.0), functional.cross_entropy(logits, soft))


@pytest.mark.parametrize("imbalance", ["none", "class_weights", "focal", "logit_adjustment"])
@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_slopes_stay_finite_for_logits_beyond_all_reason(imbalance, gamma):
    logits = torch.tensor([[300.0, -300.0, 0.0], [-300.0, 300.0, 0.0]], requires_grad=True)
    loss(imbalance=imbalance, focal_gamma=gamma)(logits, torch.eye(3)[[0, 0]]).backward()
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0])
def test_logit_adjustment_takes_the_prior_out_of_what_is_learned(tau):
    """Without any features, cross-entropy learns log(prior); adjusted, what is left of it is its power 1 - tau."""
    criterion = loss(imbalance="logit_adjustment", logit_adjustment_tau=tau)
    logits = best_logits(criterion, COUNTS / COUNTS.sum())
    expected = (1 - tau) * torch.log(COUNTS / COUNTS.sum())
    torch.testing.assert_close(logits - logits.mean(), expected - expected.mean(), atol=1e-2, rtol=0)


labels = st.lists(st.integers(0, 4), min_size=1, max_size=60).map(torch.tensor)


@given(labels, st.integers(0, 2**40))
def test_a_balanced_epoch_has_all_classes_alike_and_every_image_alike_in_its_class(labels_N, seed):
    order = balanced_order(labels_N, torch.Generator().manual_seed(seed))
    assert len(order) == len(labels_N)
    drawn = labels_N[order].bincount(minlength=5)[labels_N.unique()]
    assert drawn.max() - drawn.min() <= 1
    for k in labels_N.unique():
        times = order.bincount(minlength=len(labels_N))[labels_N == k]
        assert times.max() - times.min() <= 1


def test_a_balanced_epoch_is_drawn_anew_and_can_be_drawn_again():
    labels_N = torch.tensor([0] * 90 + [1] * 10)
    generator = torch.Generator().manual_seed(5)
    first, state = balanced_order(labels_N, generator), generator.get_state()
    second = balanced_order(labels_N, generator)
    assert not torch.equal(first.sort().values, second.sort().values)  # other images of the large class
    resumed = torch.Generator()
    resumed.set_state(state)
    assert torch.equal(balanced_order(labels_N, resumed), second)


def test_a_balanced_epoch_is_shuffled_throughout():
    labels_N = torch.tensor([0] * 900 + [1] * 100)
    order = balanced_order(labels_N, torch.Generator().manual_seed(0))
    in_batches = labels_N[order].float().view(20, 50).mean(1)
    assert in_batches.min() > 0.2 and in_batches.max() < 0.8


def test_balanced_sampling_leaves_the_loss_alone():
    logits, soft, _ = batch()
    torch.testing.assert_close(loss(imbalance="balanced_sampling")(logits, soft), loss()(logits, soft))


BALANCING = [
    {"imbalance": "class_weights"},
    {"imbalance": "class_weights", "class_weighting": "effective_number"},
    {"imbalance": "balanced_sampling"},
    {"imbalance": "logit_adjustment"},
]


@pytest.mark.parametrize("method", BALANCING, ids=lambda method: "-".join(method.values()))
def test_balanced_classes_are_judged_as_they_are_taught(method):
    """Of 200 and 10 images: whoever names three in four of either class beats whoever always leans to the larger."""
    codes = torch.arange(210) >= 200
    targets = functional.one_hot(codes.long(), 2).float()
    leaning = targets.mean(0).log().expand(210, 2)
    named = torch.where(torch.arange(210) % 4 == 3, ~codes, codes)
    learned = functional.one_hot(named.long(), 2).float() * 1.1
    weights = judging_weights(LossParameters(**method), targets, targets)

    def mean_loss(logits, weights):
        return image_losses(logits, targets, weights).mean()

    assert mean_loss(learned, None) > mean_loss(leaning, None)
    assert mean_loss(learned, weights) < mean_loss(leaning, weights)


def test_the_mean_of_weighted_losses_is_scikit_learn_s():
    logits, _, hard = batch()
    training = torch.eye(3).repeat_interleave(torch.tensor([900, 90, 10]), 0)
    weights = judging_weights(LossParameters(imbalance="balanced_sampling"), training, hard)
    codes = hard.argmax(1).numpy()
    of_images = inverse_frequency_weights(COUNTS).numpy()[codes]
    expected = log_loss(codes, logits.double().softmax(1).numpy(), sample_weight=of_images)
    assert image_losses(logits, hard, weights).mean().item() == pytest.approx(expected, rel=1e-5)


def test_balanced_sampling_judges_images_whatever_their_doubt():
    """99 to 1 images, each label 0.9 sure: each class of images weighs as much as the other."""
    targets = torch.tensor([[0.9, 0.1]] * 990 + [[0.1, 0.9]] * 10)
    weights = judging_weights(LossParameters(imbalance="balanced_sampling"), targets, targets)
    of_images = (weights * targets).sum(1)
    assert of_images[:990].sum().item() == pytest.approx(of_images[990:].sum().item())


def test_weights_by_class_are_those_of_the_training_loss():
    logits, soft, _ = batch()
    recipe = LossParameters(imbalance="class_weights", label_smoothing=0.0)
    weights = judging_weights(recipe, soft, soft)
    taught = build_loss(recipe, soft.sum(0))(logits, soft)
    judged = image_losses(logits, soft, weights).mean() * (soft * weights).sum() / len(soft)
    assert judged.item() == pytest.approx(taught.item())


@pytest.mark.parametrize("imbalance", ["none", "focal"])
def test_else_all_images_are_judged_alike(imbalance):
    _, soft, _ = batch()
    assert judging_weights(LossParameters(imbalance=imbalance), soft, soft) is None
