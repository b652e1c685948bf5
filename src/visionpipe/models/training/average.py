"""The moving average of a network in training."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


def moving_average(module: nn.Module, decay: float) -> AveragedModel:
    """Return the exponential moving average of a module's weights and buffers, in evaluation mode.

    Buffers of integers are positions and counts, of which there is no mean: the average has those of the module.

    Parameters
    ----------
    decay : float
        Share of itself that the average keeps in an update (0-1).
    """
    lerp = get_ema_multi_avg_fn(decay)

    def update(
        averages: list[torch.Tensor], current: list[torch.Tensor], n_averaged: torch.Tensor | int
    ) -> None:
        """Take tensors of one dtype; torch's own rounds the mean of two equal integers down."""
        if averages[0].is_floating_point() or averages[0].is_complex():
            lerp(averages, current, n_averaged)
        else:
            torch._foreach_copy_(averages, current)

    return AveragedModel(module, multi_avg_fn=update, use_buffers=True).eval()
