"""One optimisation step: mixing, dropout, micro-batches, penalties against forgetting, clipping.

Legend: B batch, K classes, D features.
"""

from __future__ import annotations

import copy
import math
import sys
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from visionpipe.errors import VisionpipeError
from visionpipe.models.parameters import TrainingParameters
from visionpipe.models.training.depthwise import FastDepthwise
from visionpipe.models.training.distributed import Team
from visionpipe.models.training.frozen_trunk import autocast
from visionpipe.models.training.losses import Loss
from visionpipe.models.training.memory import MicroBatch, TeamOutOfMemoryError, is_out_of_memory
from visionpipe.models.training.mixing import mix
from visionpipe.models.training.tail import Tail, pooled
from visionpipe.models.training.transfer import sent

FEWEST_NORMALISED = 2
"""Images that batch normalisation needs, in each process and at once, to learn from."""
_LARGEST_GRADIENT = 1.0  # norm beyond which gradients are scaled down


@dataclass(frozen=True)
class Draw:
    """Where chance comes from: a generator that is the same in every process, and one of each process's own."""

    common: torch.Generator
    own: torch.Generator


class Step:
    """Takes optimisation steps on a tail.

    Parameters
    ----------
    start : torch.nn.ModuleList or None
        The tail's stages before training; needed by `distance_to_start` and `feature_distillation`.
    cuts : bool
        Whether the inputs are photos, which cutmix may cut.
    """

    def __init__(
        self,
        tail: Tail,
        optimiser: torch.optim.Optimizer,
        criterion: Loss,
        parameters: TrainingParameters,
        team: Team,
        start: nn.ModuleList | None,
        *,
        cuts: bool,
    ) -> None:
        self._tail, self._optimiser, self._criterion = tail, optimiser, criterion
        self._parameters, self._team, self._start, self._cuts = parameters, team, start, cuts
        called = torch.compile(tail) if parameters.compile else tail
        self._called = team.wrap(called)
        self._autocast = autocast(parameters, tail.head.weight.device)
        # a compiled network is taken apart by other means, and depthwise convolutions are no matter on a GPU
        slow = tail.head.weight.device.type == "cpu" and not parameters.compile
        self._depthwise = FastDepthwise() if slow else nullcontext()
        self.micro_batch = MicroBatch(min(parameters.batch_size, team.micro_batch or parameters.batch_size))

    def take(self, inputs: torch.Tensor, targets_BK: torch.Tensor, n_all: int, draw: Draw) -> torch.Tensor:
        """Move the weights once.

        Parameters
        ----------
        inputs : torch.Tensor
            This process's share of a batch, (B, C, H, W) or (B, D).
        targets_BK : torch.Tensor
            Rows that sum to 1.
        n_all : int
            Images of the batch over all processes.
        draw : Draw
            Decides mixing and dropout.

        Returns
        -------
        torch.Tensor
            The loss, a scalar, its mean over processes that of the whole batch; without penalties.

        Raises
        ------
        VisionpipeError
            When `torch.compile` is asked for and cannot compile the network, or memory does not suffice for an image
            (for two, where batch normalisation learns).
        """
        inputs, targets_BK = mix(inputs, targets_BK, self._parameters.loss, draw.own, cuts=self._cuts)
        kept_BD = sent(self._team.share(self._kept(n_all, draw.common)), inputs.device)
        while True:
            try:
                loss = self._gradients(inputs, targets_BK, kept_BD, n_all)
                break
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    _require_compiled(error)
                    raise
                if self._team.size > 1:  # the others are already waiting for this one's gradients
                    raise TeamOutOfMemoryError(math.ceil(len(inputs) / self._n_parts(n_all))) from error
            self._optimiser.zero_grad(set_to_none=True)
            self.micro_batch.halve(self._fewest())
        self._hold_on_to_start()
        nn.utils.clip_grad_norm_(self._tail.parameters(), _LARGEST_GRADIENT)
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)
        return loss

    def _kept(self, count: int, chance: torch.Generator) -> torch.Tensor:
        rate = self._parameters.dropout
        kept_BD = torch.rand((count, self._tail.head.in_features), generator=chance) >= rate
        return kept_BD / (1 - rate)

    def _n_parts(self, n_all: int) -> int:
        """Say into how many micro-batches a step is cut: as many in each process, however many images it has."""
        smallest, largest = n_all // self._team.size, math.ceil(n_all / self._team.size)
        return max(1, min(math.ceil(largest / self.micro_batch.size), smallest // self._fewest()))

    def _fewest(self) -> int:
        """Say how many images a micro-batch holds at least."""
        learns = any(isinstance(each, _BatchNorm) and each.training for each in self._tail.modules())
        return FEWEST_NORMALISED if learns else 1

    def _gradients(
        self, inputs: torch.Tensor, targets_BK: torch.Tensor, kept_BD: torch.Tensor, n_all: int
    ) -> torch.Tensor:
        """Add up the gradients of all micro-batches and return their loss."""
        total = torch.zeros((), device=inputs.device)
        for rows in torch.arange(len(inputs)).tensor_split(self._n_parts(n_all)):
            part = slice(int(rows[0]), int(rows[-1]) + 1)
            with self._autocast, self._depthwise:
                logits_BK, features_BD = self._called(inputs[part], kept_BD[part])
            weight = self._team.loss_weight(len(rows), n_all)
            loss = weight * self._criterion(logits_BK.float(), targets_BK[part])
            total += loss.detach()
            if self._parameters.feature_distillation:
                loss = loss + weight * self._distillation(inputs[part], features_BD)
            loss.backward()
        return total

    def _distillation(self, inputs: torch.Tensor, features_BD: torch.Tensor) -> torch.Tensor:
        assert self._start is not None, "kept whenever there is something to hold on to"
        with torch.no_grad(), self._autocast:
            wanted_BD = pooled(self._start, inputs)
        return (
            self._parameters.feature_distillation * (features_BD.float() - wanted_BD.float()).square().mean()
        )

    def _hold_on_to_start(self) -> None:
        """Add the gradient of half the squared distance to the pretrained weights (L2-SP, equation 4)."""
        if not self._parameters.distance_to_start:
            return
        assert self._start is not None, "kept whenever there is something to hold on to"
        with torch.no_grad():
            for weight, at_start in zip(
                self._tail.stages.parameters(), self._start.parameters(), strict=True
            ):
                if weight.grad is not None:
                    weight.grad.add_(weight - at_start, alpha=self._parameters.distance_to_start)


def _require_compiled(error: RuntimeError | MemoryError) -> None:
    """Say in one line that compiling failed, if it is that."""
    compiler = sys.modules.get("torch._dynamo.exc")  # loaded by the first compilation
    if compiler is not None and isinstance(error, compiler.TorchDynamoException):
        reason: BaseException = error
        if isinstance(error, compiler.TorchRuntimeError):  # around what the network itself raised
            while inner := reason.__cause__ or reason.__context__:
                reason = inner
        told = next(filter(None, str(reason).splitlines()), type(reason).__name__)
        raise VisionpipeError(
            f"torch.compile cannot compile this network here ({told}); set training.compile to false"
        ) from error


def copy_of_start(stages: nn.ModuleList, parameters: TrainingParameters) -> nn.ModuleList | None:
    """Return a frozen copy of the stages before training, if the parameters hold on to them."""
    if not parameters.distance_to_start and not parameters.feature_distillation:
        return None
    return copy.deepcopy(stages).eval().requires_grad_(False)
