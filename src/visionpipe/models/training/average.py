"""The moving average of a network in training."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel


class MovingAverage(AveragedModel):
    """The exponential moving average of a module's weights and buffers, in evaluation mode.

    Buffers of integers are positions and counts, of which there is no mean: the average has those of the module.
    torch's own update rounds their mean down, and makes a GPU wait in each step for the number of updates so far.

    Parameters
    ----------
    decay : float
        Share of itself that the average keeps in an update (0-1); the first one copies the module.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        super().__init__(module, use_buffers=True)
        self._decay = decay
        self.eval()

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Take the module's weights and buffers of now into the average."""
        averaged: tuple[list[torch.Tensor], list[torch.Tensor]] = ([], [])
        copied: tuple[list[torch.Tensor], list[torch.Tensor]] = ([], [])
        first = bool(self.n_averaged == 0)  # it lies on the CPU
        for average, current in zip(_tensors(self.module), _tensors(model), strict=True):
            has_mean = average.is_floating_point() or average.is_complex()
            own, others = averaged if has_mean and not first else copied
            own.append(average)
            others.append(current)
        if averaged[0]:
            torch._foreach_lerp_(*averaged, 1 - self._decay)
        if copied[0]:
            torch._foreach_copy_(*copied)
        self.n_averaged += 1


def _tensors(module: nn.Module) -> list[torch.Tensor]:
    return [*module.parameters(), *module.buffers()]
