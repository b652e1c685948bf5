"""A mixed batch holds what its targets say, in the shares that were drawn."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from visionpipe.models.recipe_parameters import LossParameters
from visionpipe.models.training.mixing import cutmix, mix, mixup


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def marked(count, height=16, width=16):
    """Return images whose only white channel is their row's, and targets that name the row."""
    targets = torch.eye(count)
    return targets[:, :, None, None].repeat(1, 1, height, width), targets


def loss_parameters(mixup_alpha=0.0, cutmix_alpha=0.0, mix_share=1.0):
    return LossParameters(mixup_alpha=mixup_alpha, cutmix_alpha=cutmix_alpha, mix_share=mix_share)


@pytest.mark.parametrize("method", [mixup, cutmix])
@given(
    count=st.integers(1, 9), sides=st.tuples(st.integers(1, 20), st.integers(1, 20)), seed=st.integers(0, 2**40),
    alpha=st.sampled_from([0.1, 0.4, 1.0, 8.0]),
)  # fmt: skip
@settings(max_examples=60)
def test_the_targets_are_the_shares_of_the_pixels(method, count, sides, seed, alpha):
    images, targets = marked(count, *sides)
    mixed, mixed_targets = method(images, targets, alpha, seeded(seed))
    torch.testing.assert_close(mixed.mean((2, 3)), mixed_targets)
    torch.testing.assert_close(mixed_targets.sum(1), torch.ones(count))
    assert ((mixed_targets > 0).sum(1) <= 2).all()
    assert torch.equal(images, marked(count, *sides)[0])  # the input is kept


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_mixup_s_shares_are_beta_distributed(alpha):
    features, targets = torch.tensor([[0.0], [1.0]]), torch.eye(2)
    generator, shares = seeded(), []
    while len(shares) < 800:
        mixed, _ = mixup(features, targets, alpha, generator)
        if mixed[0] != features[0]:  # else it was mixed with itself
            shares.append(mixed[1].item())
    assert stats.kstest(shares, stats.beta(alpha, alpha).cdf).pvalue > 1e-3


def test_cutmix_pastes_one_upright_box_of_the_photo_s_proportions():
    images, targets = marked(2, 40, 20)
    generator, uncut = seeded(), 0
    for _ in range(300):
        mixed, mixed_targets = cutmix(images, targets, 1.0, generator)
        pasted = mixed[0, 1] > 0
        if not pasted.any():
            continue
        rows, columns = pasted.any(1), pasted.any(0)
        assert torch.equal(pasted, rows[:, None] & columns)  # a box
        assert (mixed.sum(1) == 1).all()  # nothing is blended
        top, left = rows.nonzero(), columns.nonzero()
        assert len(top) == top[-1] - top[0] + 1 and len(left) == left[-1] - left[0] + 1
        if top[0] > 0 and top[-1] < 39 and left[0] > 0 and left[-1] < 19:
            uncut += 1
            assert rows.sum() == pytest.approx(2 * columns.sum(), abs=2)
        assert mixed_targets[0, 1] == pytest.approx(pasted.float().mean().item(), abs=1e-6)
    assert uncut > 20


def test_boxes_lie_anywhere():
    images, targets = marked(2, 24, 24)
    generator = seeded()
    coverage = sum(cutmix(images, targets, 1.0, generator)[0][0, 1] for _ in range(500))
    assert coverage.min() > 20
    torch.testing.assert_close(coverage, coverage.flip(0), rtol=0.5, atol=0)
    torch.testing.assert_close(coverage, coverage.T, rtol=0.5, atol=0)


def test_a_batch_is_mixed_by_one_of_the_methods_that_are_on():
    images, targets = marked(6)
    kinds = {"mixup": 0, "cutmix": 0}
    generator = seeded()
    for _ in range(200):
        mixed, _ = mix(images, targets, loss_parameters(0.4, 1.0), generator, cuts=True)
        blended = bool(((mixed > 0) & (mixed < 1)).any())
        kinds["mixup" if blended else "cutmix"] += 1
    assert 70 < kinds["mixup"] < 130


@pytest.mark.parametrize(("alphas", "blended"), [((0.4, 0.0), True), ((0.0, 1.0), False)])
def test_an_alpha_of_0_switches_a_method_off(alphas, blended):
    images, targets = marked(6)
    generator = seeded()
    batches = [mix(images, targets, loss_parameters(*alphas), generator, cuts=True)[0] for _ in range(20)]
    assert any(not torch.equal(mixed, images) for mixed in batches)
    assert any(bool(((mixed > 0) & (mixed < 1)).any()) for mixed in batches) is blended
    mixed, same_targets = mix(images, targets, loss_parameters(0, 0), generator, cuts=True)
    assert mixed is images and same_targets is targets


def test_the_wanted_share_of_batches_is_mixed():
    images, targets = marked(6)
    generator = seeded()
    batches = [
        mix(images, targets, loss_parameters(1.0, mix_share=0.25), generator, cuts=True)[0]
        for _ in range(400)
    ]
    assert 70 < sum(mixed is not images for mixed in batches) < 130


@pytest.mark.parametrize("shape", [(5, 5), (5, 7, 7, 5)], ids=["features", "activations, channels last"])
def test_what_is_no_photo_is_only_mixed_by_mixup(shape):
    inputs, targets = torch.rand(shape), torch.eye(5)
    mixed, mixed_targets = mix(inputs, targets, loss_parameters(1.0, 1.0), seeded(), cuts=False)
    torch.testing.assert_close(mixed.flatten(1), mixed_targets @ inputs.flatten(1))
    assert not torch.equal(mixed, inputs)
    assert mix(inputs, targets, loss_parameters(0.0, 1.0), seeded(), cuts=False)[0] is inputs


@pytest.mark.parametrize("method", [mixup, cutmix])
def test_equal_generators_mix_alike_and_unequal_ones_do_not(method):
    images, targets = marked(8)
    first, again, other = (method(images, targets, 1.0, seeded(seed))[0] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
