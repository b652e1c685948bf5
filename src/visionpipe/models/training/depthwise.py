"""Gradients of depthwise convolutions in bfloat16 on a CPU, from the few shapes that oneDNN has fast kernels for.

oneDNN takes up to two hundred times as long for the gradients of kernels beyond 3 x 3 and of strides beyond 1 as for
the forward pass, and spends three quarters of a step of an EfficientNet there. Both are sums of what it is fast at:

- the weight gradient of a large kernel, of weight gradients of parts of at most 3 x 3 taps on shifted inputs;
- a convolution of stride S, of S x S convolutions of stride 1, each on every S-th row and column.

Legend: B batch, C channels, H x W input, h x w output, P padding, S stride.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

_FAST_TAPS = 3  # of a kernel's side


class FastDepthwise(TorchFunctionMode):
    """While entered, depthwise convolutions under CPU autocast in bfloat16 get their gradients from here.

    The forward pass is torch's own; so are convolutions that its gradients are fast for, and all others.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call a torch function, or what stands in for it."""
        if func is torch.conv2d and not kwargs and len(args) == 7 and _is_slow(*args):
            inputs, weight, bias, stride, padding, *_ = args
            dtype = torch.get_autocast_dtype("cpu")
            return _Depthwise.apply(
                inputs.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype), stride, padding
            )
        return func(*args, **(kwargs or {}))


def _is_slow(
    inputs: torch.Tensor,
    weight: torch.Tensor,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
) -> bool:
    in_bfloat16 = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
    return (
        in_bfloat16
        and inputs.device.type == "cpu"
        and inputs.ndim == 4
        and inputs.dtype != torch.float64  # which autocast leaves alone
        and groups == inputs.shape[1] == len(weight) > 1
        and isinstance(stride, tuple)
        and isinstance(padding, tuple)
        and dilation in (1, (1, 1))
        and (max(stride) > 1 or max(weight.shape[2:]) > _FAST_TAPS)
    )


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any,
        inputs_BCHW: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        stride: tuple[int, int],
        padding: tuple[int, int],
    ) -> torch.Tensor:
        ctx.save_for_backward(inputs_BCHW, weight)
        ctx.stride, ctx.padding = stride, padding
        return torch.conv2d(inputs_BCHW, weight, bias, stride, padding, (1, 1), len(weight))

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (above,) = gradients
        inputs, weight = ctx.saved_tensors
        above = above.contiguous(memory_format=torch.channels_last)
        wants_inputs, wants_weight, wants_bias, *_ = ctx.needs_input_grad
        return (
            input_gradient(above, inputs, weight, ctx.stride, ctx.padding) if wants_inputs else None,
            weight_gradient(above, inputs, weight, ctx.stride, ctx.padding) if wants_weight else None,
            above.sum((0, 2, 3)) if wants_bias else None,
            None,
            None,
        )


def weight_gradient(
    above: torch.Tensor,
    inputs: torch.Tensor,
    weight: torch.Tensor,
    stride: tuple[int, int],
    padding: tuple[int, int],
) -> torch.Tensor:
    """Return the gradient of a depthwise convolution's weight.

    Parameters
    ----------
    above : torch.Tensor
        Gradient of its output, (B, C, h, w).
    inputs : torch.Tensor
        Its input, (B, C, H, W).
    weight : torch.Tensor
        (C, 1, taps down, taps across).

    Returns
    -------
    torch.Tensor
        In the weight's shape and the inputs' dtype.
    """
    if max(weight.shape[2:]) <= _FAST_TAPS:
        return _gradient(above, inputs, weight, stride, padding, of_inputs=False)
    found = torch.empty_like(weight)
    rows, columns = (
        list(_tap_blocks(taps, step)) for taps, step in zip(weight.shape[2:], stride, strict=True)
    )
    for down, across in product(rows, columns):
        part = found[:, :, down, across]
        window = _window(inputs, (down, across), above.shape[2:], stride, padding)
        like = torch.empty_like(part, memory_format=torch.contiguous_format)
        part.copy_(_gradient(above, window, like, (1, 1), (0, 0), of_inputs=False))
    return found


def input_gradient(
    above: torch.Tensor,
    inputs: torch.Tensor,
    weight: torch.Tensor,
    stride: tuple[int, int],
    padding: tuple[int, int],
) -> torch.Tensor:
    """Return the gradient of a depthwise convolution's input; see `weight_gradient`."""
    if max(stride) == 1:
        return _gradient(above, inputs, weight, stride, padding, of_inputs=True)
    found = torch.zeros_like(inputs, memory_format=torch.channels_last)
    for offsets in product(*map(range, stride)):
        taps = weight[:, :, offsets[0] :: stride[0], offsets[1] :: stride[1]].flip(2, 3)
        if not taps.numel():
            continue
        reach = (taps.shape[2] - 1, taps.shape[3] - 1)
        part = torch.conv2d(above, taps, None, 1, reach, 1, len(weight))
        to, from_ = [slice(None)] * 4, [slice(None)] * 4
        for axis, offset, step, pad in zip((2, 3), offsets, stride, padding, strict=True):
            first = max(0, -(-(pad - offset) // step))  # of the part's lines that is no padding
            start = first * step + offset - pad
            count = max(0, min(part.shape[axis] - first, -(-(found.shape[axis] - start) // step)))
            to[axis] = slice(start, start + count * step, step)
            from_[axis] = slice(first, first + count)
        found[tuple(to)] = part[tuple(from_)]
    return found


def _tap_blocks(taps: int, step: int) -> Iterator[slice]:
    """Cover the taps of one axis by slices of at most three, all `step` apart."""
    for offset in range(min(step, taps)):
        count = len(range(offset, taps, step))
        for block in range(0, count, _FAST_TAPS):
            first = max(0, min(block, count - _FAST_TAPS))  # the last overlaps: the sum is the same
            last = min(first + _FAST_TAPS, count) - 1
            yield slice(offset + first * step, offset + last * step + 1, step)


def _window(
    inputs: torch.Tensor,
    taps: tuple[slice, slice],
    size: torch.Size,
    stride: tuple[int, int],
    padding: tuple[int, int],
) -> torch.Tensor:
    """Return the input lines that a block of taps meets, one after the other; zeros in the padding."""
    beyond: list[int] = []  # zeros before and after, the last axis first
    for axis, block, count, step, pad in zip((2, 3), taps, size, stride, padding, strict=True):
        n_lines, first = (count - 1) * step + block.stop - block.start, block.start - pad
        start = min(max(first, 0), inputs.shape[axis])
        n_there = max(min(first + n_lines, inputs.shape[axis]) - start, 0)
        n_before = min(max(-first, 0), n_lines)
        inputs = inputs.narrow(axis, start, n_there)
        beyond = [n_before, n_lines - n_there - n_before, *beyond]
    if any(beyond):
        inputs = nn.functional.pad(inputs, beyond)
    return inputs[:, :, :: stride[0], :: stride[1]].contiguous(memory_format=torch.channels_last)


def _gradient(
    above: torch.Tensor,
    inputs: torch.Tensor,
    weight: torch.Tensor,
    stride: tuple[int, int],
    padding: tuple[int, int],
    *,
    of_inputs: bool,
) -> torch.Tensor:
    """Return torch's own gradient, of the inputs or of the weight."""
    mask = [of_inputs, not of_inputs, False]
    found = torch.ops.aten.convolution_backward(
        above, inputs, weight, None, stride, padding, (1, 1), False, (0, 0), len(weight), mask
    )
    return found[0] if of_inputs else found[1]
