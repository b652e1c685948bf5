"""Gradients of depthwise convolutions, against torch's own in float64."""

import copy
from contextlib import nullcontext

import pytest
import timm
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from visionpipe.models.training import depthwise
from visionpipe.models.training.depthwise import FastDepthwise, input_gradient, weight_gradient

SIDES = st.tuples(st.integers(1, 11), st.integers(1, 11))


@settings(max_examples=150)
@given(
    size=SIDES,
    taps=st.tuples(st.integers(1, 11), st.integers(1, 11)),
    stride=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    padding=st.tuples(st.integers(0, 6), st.integers(0, 6)),
    n_channels=st.integers(2, 5),
    seed=st.integers(0, 99),
)
def test_gradients_are_those_of_torch(size, taps, stride, padding, n_channels, seed):
    assume(all(side + 2 * pad >= tap for side, pad, tap in zip(size, padding, taps, strict=True)))
    torch.manual_seed(seed)
    inputs = torch.randn(2, n_channels, *size, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(n_channels, 1, *taps, dtype=torch.float64, requires_grad=True)
    outputs = torch.conv2d(inputs, weight, None, stride, padding, 1, n_channels)
    above = torch.randn_like(outputs)
    outputs.backward(above)
    arguments = above, inputs.detach(), weight.detach(), stride, padding
    torch.testing.assert_close(input_gradient(*arguments), inputs.grad)
    torch.testing.assert_close(weight_gradient(*arguments), weight.grad)


def gradients(module, photos, mode):
    """Of a loss under CPU autocast, by the name of the weight, and of the photos."""
    module, photos = copy.deepcopy(module), photos.clone().requires_grad_(True)
    with torch.autocast("cpu", dtype=torch.bfloat16), mode:
        outputs = module(photos)
    outputs.float().square().mean().backward()
    return {name: weight.grad for name, weight in module.named_parameters()} | {"photos": photos.grad}


def counted(monkeypatch):
    """Return a list that grows by one with every backward pass that is not torch's own."""
    calls, own = [], weight_gradient
    monkeypatch.setattr(depthwise, "weight_gradient", lambda *a: calls.append(a[2].shape) or own(*a))
    return calls


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("taps", "stride", "padding"), [(5, 1, 2), (3, 2, 1), (7, 1, 3), (5, 2, 0)])
def test_a_module_gets_the_same_gradients_in_the_mode(monkeypatch, taps, stride, padding, bias):
    torch.manual_seed(0)
    calls = counted(monkeypatch)
    module = nn.Conv2d(8, 8, taps, stride, padding, groups=8, bias=bias).to(memory_format=torch.channels_last)
    photos = torch.randn(4, 8, 13, 12).contiguous(memory_format=torch.channels_last)
    wanted = gradients(module, photos, nullcontext())
    assert not calls
    found = gradients(module, photos, FastDepthwise())
    assert calls == [(8, 1, taps, taps)]
    assert found.keys() == wanted.keys()
    for name, gradient in wanted.items():
        assert found[name].dtype == torch.float32
        error = (found[name] - gradient).abs().max() / gradient.abs().max()
        assert error < 0.02, name  # bfloat16 has 8 significant bits


@pytest.mark.parametrize(
    "module",
    [
        nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.Conv2d(8, 16, 5, padding=2, groups=8),
        nn.Conv2d(8, 8, 5, padding=2, groups=4),
        nn.Conv2d(8, 8, 5, padding=4, dilation=2, groups=8),
        nn.Conv2d(8, 8, 5, padding="same", groups=8),
        nn.Conv2d(8, 8, 5, stride=2, padding=2),
    ],
    ids=["3x3", "more_out", "grouped", "dilated", "same", "dense"],
)
def test_other_convolutions_stay_torchs_own(monkeypatch, module):
    calls = counted(monkeypatch)
    photos = torch.randn(2, 8, 12, 12)
    wanted, found = (gradients(module, photos, mode) for mode in (nullcontext(), FastDepthwise()))
    assert not calls
    for name, gradient in wanted.items():
        assert torch.equal(found[name], gradient), name


def test_float32_stays_torchs_own(monkeypatch):
    calls = counted(monkeypatch)
    module = nn.Conv2d(8, 8, 5, padding=2, groups=8)
    with FastDepthwise():
        module(torch.randn(2, 8, 9, 9)).sum().backward()
    assert not calls


@pytest.mark.parametrize("case", ["planes", "one_image", "inputs_only", "weight_only", "expanded"])
def test_any_layout_and_any_part_of_the_gradients(case):
    """Photos in planes, one at a time, gradients of one side only, and a gradient that one number is expanded to."""
    torch.manual_seed(0)
    weight = torch.randn(8, 1, 5, 5, requires_grad=case != "inputs_only")
    photos = torch.randn(1 if case == "one_image" else 3, 8, 12, 12)
    if case != "planes":
        photos = photos.contiguous(memory_format=torch.channels_last)
    photos.requires_grad_(case != "weight_only")
    found = []
    for mode in (nullcontext(), FastDepthwise()):
        with torch.autocast("cpu", dtype=torch.bfloat16), mode:
            outputs = torch.conv2d(photos, weight, None, (2, 2), (2, 2), (1, 1), 8)
        torch.manual_seed(1)
        above = torch.ones(()).expand_as(outputs) if case == "expanded" else torch.randn(outputs.shape)
        wanted = [each for each in (photos, weight) if each.requires_grad]
        found.append(torch.autograd.grad(outputs, wanted, above.to(outputs.dtype)))
    for torchs, ours in zip(*found, strict=True):
        assert (ours - torchs).abs().max() < 0.02 * torchs.abs().max()


@pytest.mark.parametrize("name", ["efficientnet_lite0", "mobilenetv3_small_050", "convnext_atto"])
def test_a_network_learns_the_same(name):
    """Each weight's gradient is as near to float64's as torch's own in bfloat16 is."""
    torch.manual_seed(0)
    network = timm.create_model(name, num_classes=3).eval()
    photos = torch.randn(2, 3, 64, 64)
    exact = copy.deepcopy(network).double()
    exact(photos.double()).square().mean().backward()
    torchs, ours = (gradients(network, photos, mode) for mode in (nullcontext(), FastDepthwise()))
    for key, weight in exact.named_parameters():
        size = weight.grad.norm()
        off = [float((each[key].double() - weight.grad).norm() / size) for each in (torchs, ours)]
        assert off[1] < 2 * off[0] + 0.05, key
