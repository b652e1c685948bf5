"""What happened, epoch by epoch."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from visionpipe.errors import VisionpipeError
from visionpipe.metrics.classification import auroc
from visionpipe.models.training.selection import calibrated_losses

logger = logging.getLogger(__name__)
_CLEAR_RISE = 2.0  # standard errors above the lowest validation loss that chance seldom brings
_DIVERGED = 10.0  # times the loss of guessing


@dataclass
class Curves:
    """Lists by epoch, over all phases; `validation_auc` is None where only one class occurs.

    `validation_loss` is the mean of `calibrated_losses`; `improved` says which epochs were the ones to keep when they
    ended (`Selection`), `overfit` in which the validation loss was clearly above the phase's lowest while the training
    loss had fallen since. `head` holds such lists of the head's fit on cached features, which comes before and counts
    its own epochs; without one it is empty.
    """

    epoch: list[int] = field(default_factory=list)
    phase: list[str] = field(default_factory=list)
    train_loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_accuracy: list[float] = field(default_factory=list)
    validation_auc: list[float | None] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    images_per_s: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    improved: list[bool] = field(default_factory=list)
    overfit: list[bool] = field(default_factory=list)
    head: dict[str, list[Any]] = field(default_factory=dict)

    @property
    def kept(self) -> int | None:
        """Position of the epoch whose weights were kept; None where none improved on the fitted head."""
        return max((position for position, better in enumerate(self.improved) if better), default=None)

    def why_kept(self) -> str:
        """Say why another epoch was kept than that of the phase's lowest validation loss; empty where none was."""
        assert self.kept is not None, "an epoch was kept"
        of_phase = [place for place, name in enumerate(self.phase) if name == self.phase[self.kept]]
        lowest = min(of_phase, key=lambda place: self.validation_loss[place])
        if lowest == self.kept or self.validation_loss[lowest] == self.validation_loss[self.kept]:
            return ""
        return (
            f", the last within a standard error of the lowest validation loss "
            f"({self.validation_loss[lowest]:.3f}, epoch {self.epoch[lowest]})"
        )

    def add(self, *, rise: float, **values: object) -> None:
        """Append one epoch and flag it when it overfits.

        Parameters
        ----------
        rise : float
            Of its validation loss above the phase's lowest, in standard errors.
        **values : object
            The rest of its entries by name.
        """
        for name, value in values.items():
            getattr(self, name).append(value)
        self.epoch.append(len(self.epoch) + 1)
        self.overfit.append(rise > _CLEAR_RISE and self.train_loss[-1] < self._train_loss_at_lowest())
        if self.overfit[-1] and not any(self.overfit[:-1]):
            logger.warning(
                "Epoch %d overfits: since the validation loss was lowest it has risen, while the training loss fell. "
                "Weights are kept from before it, unless a later epoch does better. More photos, "
                "training.augmentation.strength or training.patience help",
                self.epoch[-1],
            )

    def _train_loss_at_lowest(self) -> float:
        """Return the training loss of the epoch whose validation loss is the lowest of this phase."""
        first = self.phase.index(self.phase[-1])
        return self.train_loss[first + int(np.argmin(self.validation_loss[first:]))]

    def require_progress(self, n_classes: int, last_good: str) -> None:
        """Stop a training whose loss leaves all bounds.

        Raises
        ------
        VisionpipeError
            When the last epoch's loss is ten times that of guessing, and did not fall since the phase's epoch before.
        """
        is_first = self.phase.count(self.phase[-1]) == 1
        worse = not is_first and self.train_loss[-1] >= self.train_loss[-2]
        if worse and self.train_loss[-1] > _DIVERGED * math.log(n_classes):
            raise VisionpipeError(
                f"training stopped: it diverges (loss {self.train_loss[-1]:.3g} in epoch {self.epoch[-1]}); "
                f"lower training.learning_rate{last_good}"
            )


@dataclass(frozen=True)
class Score:
    """How good a network is on the validation images: loss of each (N,), accuracy, AUC."""

    losses_N: torch.Tensor
    accuracy: float
    auc: float | None

    @property
    def loss(self) -> float:
        """Their mean loss."""
        return self.losses_N.mean().item()


def score(logits_NK: torch.Tensor, targets_NK: torch.Tensor, weights_NK: torch.Tensor | None = None) -> Score:
    """Measure soft-target cross-entropy (`calibrated_losses`), accuracy and macro one-against-rest AUC."""
    losses_N = calibrated_losses(logits_NK, targets_NK, weights_NK)
    auc = math.nan
    if bool(logits_NK.isfinite().all()):
        labels_N = targets_NK.argmax(1).cpu().numpy()
        auc = float(auroc(labels_N, logits_NK.double().softmax(1).cpu().numpy()))
    return Score(losses_N, accuracy(logits_NK, targets_NK), auc if math.isfinite(auc) else None)


def accuracy(logits_NK: torch.Tensor, targets_NK: torch.Tensor) -> float:
    """Return the share of images whose likeliest class is that of their soft targets, 0 to 1."""
    return (logits_NK.argmax(1) == targets_NK.argmax(1)).float().mean().item()


def finite(loss: float, name: str, last_good: str = "") -> float:
    """Return a loss that is a number.

    Raises
    ------
    VisionpipeError
        When it is not.
    """
    if not math.isfinite(loss):
        raise VisionpipeError(f"training stopped: {name} is {loss}; lower training.learning_rate{last_good}")
    return loss
