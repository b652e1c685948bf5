"""How exactly and how fast a GPU convolves; a CPU does it in one way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def exact_convolutions() -> Iterator[None]:
    """Have cuDNN convolve float32 as a CPU does: by default it first rounds what it multiplies to 10 bits (TF32)."""
    convolutions = torch.backends.cudnn.conv
    before = convolutions.fp32_precision
    convolutions.fp32_precision = "ieee"
    try:
        yield
    finally:
        convolutions.fp32_precision = before


@contextmanager
def timed_convolutions(device: torch.device) -> Iterator[None]:
    """Have cuDNN time its algorithms for each new shape of a batch and take the fastest: for shapes that come again.

    Which one that is depends on the moment, so nothing changes where only repeatable algorithms are allowed.
    """
    before = torch.backends.cudnn.benchmark
    if device.type == "cuda" and not torch.backends.cudnn.deterministic:
        torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before
