"""Which epoch's weights are kept, by its loss on the validation images.

Legend: N images, K classes.
"""

from __future__ import annotations

import math

import torch

from visionpipe.models.calibrate import least_loss_temperature
from visionpipe.models.training.losses import image_losses


def calibrated_losses(
    logits_NK: torch.Tensor, targets_NK: torch.Tensor, weights_NK: torch.Tensor | None = None
) -> torch.Tensor:
    """Return each image's loss (N,) at the temperature, 1 or more, that makes their mean lowest.

    A network grows too sure long before it grows less accurate (Guo et al., ICML 2017, section 3), and calibration
    takes that back afterwards: an epoch is judged by what is left then. One that is not sure enough has more to learn,
    and below 1 any temperature would do for images that are all right. Logits that are no numbers have no loss.

    Parameters
    ----------
    logits_NK, targets_NK : torch.Tensor
        Logits and soft targets of the validation images.
    weights_NK : torch.Tensor or None
        Of the targets (`judging_weights`).
    """

    def losses(temperature: float) -> torch.Tensor:
        return image_losses(logits_NK / temperature, targets_NK, weights_NK)

    plain_N = losses(1.0)
    if not math.isfinite(plain_N.mean().item()):
        return plain_N
    softest = least_loss_temperature(lambda each: losses(each).mean().item(), lowest=1.0)
    return min(plain_N, losses(softest), key=lambda each_N: each_N.mean().item())


def unjudged_classes(targets_NK: torch.Tensor, held_out_NK: torch.Tensor) -> list[int]:
    """Return the classes that training images are of, and no validation image is.

    A network that forgets such a class looks better on the validation images: they cannot choose its epoch.

    Parameters
    ----------
    targets_NK, held_out_NK : torch.Tensor
        Soft targets of training and validation images; an image counts for its likeliest class.
    """
    return sorted(set(targets_NK.argmax(1).tolist()) - set(held_out_NK.argmax(1).tolist()))


class Selection:
    """Keeps the latest epoch whose loss is within a standard error of the lowest, and lower than before the first.

    The learning rate falls to the end of a phase, and networks mostly get better all along, by less than some hundred
    validation images can show in one epoch: their lowest loss is as much theirs as the network's. This is the rule of
    one standard error (Hastie et al., The Elements of Statistical Learning, 2009, section 7.10) with the latest epoch
    in the place of the simplest model. The error is that of the mean difference between two epochs, image by image.

    Attributes
    ----------
    lowest_N : torch.Tensor or None
        Losses of the images at the lowest mean so far.
    before : float
        The mean loss before the first epoch; infinity where there is nothing to fall back on.
    stale : int
        Epochs since the lowest mean.
    rise : float
        How far the last epoch's mean lies above the lowest, in standard errors.
    judges : bool
        False: the images know too little to choose, and each epoch is kept in the place of the one before.
    """

    def __init__(
        self,
        lowest_N: torch.Tensor | None = None,
        before: float = math.inf,
        stale: int = 0,
        *,
        judges: bool = True,
    ) -> None:
        self.lowest_N, self.before, self.stale, self.judges = lowest_N, before, stale, judges
        self.rise = 0.0

    def start(self, losses_N: torch.Tensor) -> None:
        """Take the losses before the first epoch; one that has no lower ones is not kept."""
        self.lowest_N, self.before = losses_N, losses_N.mean().item()

    def offer(self, losses_N: torch.Tensor) -> bool:
        """Say whether an epoch with these losses is to be kept."""
        return self._is_good(losses_N) or not self.judges

    def _is_good(self, losses_N: torch.Tensor) -> bool:
        if self.lowest_N is None or losses_N.mean() < self.lowest_N.mean():
            self.lowest_N, self.stale, self.rise = losses_N, 0, 0.0
            return True
        self.stale += 1
        rise_N = losses_N - self.lowest_N
        mean, error = rise_N.mean().item(), 0.0
        if len(rise_N) > 1:
            error = rise_N.std().item() / math.sqrt(len(rise_N))
        self.rise = mean / error if error else math.inf if mean else 0.0
        return losses_N.mean().item() < self.before and self.rise <= 1
