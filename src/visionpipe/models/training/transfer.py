"""Tensors on their way to a device: a GPU that waits in each step for what it is sent computes nothing meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import cache

import torch


def sent(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return a tensor of the CPU on a device; on its way to a GPU nobody waits for it.

    torch keeps the pinned memory that it is copied from until it has arrived.
    """
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


@cache
def constant(
    make: Callable[..., torch.Tensor], values: Hashable, dtype: torch.dtype, device: torch.device
) -> torch.Tensor:
    """Return `make(values, dtype=dtype)`, computed on the CPU and sent to a device once; nobody may change it."""
    with torch.inference_mode(False):  # whoever asks first, others may train
        return make(values, dtype=dtype).to(device)
