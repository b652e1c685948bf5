"""What moves in a phase of training: the last stages and the head, and how fast each of them.

Legend: B batch, K classes, D features.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn

from visionpipe.models.classifier import ImageClassifier
from visionpipe.models.parameters import TrainingParameters

_HEAD_SPEED_UP = 3.0  # the new head learns faster than the pretrained stages it sits on
_WARM_UP = 0.1  # share of all steps


class Tail(nn.Module):
    """The stages from the freezing point on and the head; its weights are the classifier's own.

    Parameters
    ----------
    first : int
        The first stage.
    """

    def __init__(self, classifier: ImageClassifier, first: int) -> None:
        super().__init__()
        self.stages = nn.ModuleList(classifier.stages[first:])
        self.head = classifier.head

    def forward(
        self, activations: torch.Tensor, kept_BD: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits (B, K) and pooled features (B, D); `kept_BD` multiplies the features that the head sees."""
        features_BD = pooled(self.stages, activations)
        seen_BD = features_BD if kept_BD is None else features_BD * kept_BD
        return self.head(seen_BD), features_BD


def pooled(stages: Iterable[nn.Module], activations: torch.Tensor) -> torch.Tensor:
    """Run the stages up to the last one and return pooled features (B, D)."""
    for stage in stages:
        activations = stage(activations)
    return activations.flatten(1)


def make_optimiser(tail: Tail, parameters: TrainingParameters) -> torch.optim.AdamW:
    """Build AdamW with a learning rate for each stage: that of the next one times `layer_decay`.

    Vectors (biases, normalisation) are not decayed. Each group keeps its peak rate as `peak`.
    """
    rate = float(parameters.learning_rate)
    groups = _groups(tail.head, rate * _HEAD_SPEED_UP, parameters.weight_decay)
    for stage in reversed(tail.stages):
        if any(True for _ in stage.parameters()):
            groups = _groups(stage, rate, parameters.weight_decay) + groups
            rate *= parameters.layer_decay
    # torch fuses the step of all tensors into one pass over memory, on the CPU too
    return torch.optim.AdamW(groups, fused=True)


def _groups(module: nn.Module, rate: float, weight_decay: float) -> list[dict]:
    weights = list(module.parameters())
    split = {
        weight_decay: [each for each in weights if each.ndim > 1],
        0.0: [each for each in weights if each.ndim <= 1],
    }
    if weight_decay == 0:
        split = {0.0: weights}
    return [
        {"params": each, "lr": rate, "peak": rate, "weight_decay": decay}
        for decay, each in split.items()
        if each
    ]


def set_rate(optimiser: torch.optim.Optimizer, step: int, steps: int) -> None:
    """Set every group's learning rate for a step: linear warm-up, then half a cosine."""
    factor = warm_up_cosine(step, steps)
    for group in optimiser.param_groups:
        group["lr"] = group["peak"] * factor


def warm_up_cosine(step: int, steps: int) -> float:
    """Return the share of the peak learning rate at a step, 0 to 1.

    Examples
    --------
    >>> [round(warm_up_cosine(step, 20), 2) for step in (0, 1, 2, 11, 20)]
    [0.5, 1.0, 1.0, 0.5, 0.0]
    """
    warm_up = max(1, round(_WARM_UP * steps))
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))
