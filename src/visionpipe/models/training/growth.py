"""Photos that grow from epoch to epoch: early epochs on small ones cost less and teach as much (Tan and Le 2021)."""

from __future__ import annotations

import logging

import torch

from visionpipe.models.classifier import ImageClassifier
from visionpipe.models.parameters import TrainingParameters

logger = logging.getLogger(__name__)
_GRID_PX = 32  # networks halve an image up to five times


def side_at(parameters: TrainingParameters, epoch: int) -> int:
    """Return the side of the photos in an epoch of the whole network [pixels].

    Parameters
    ----------
    parameters : TrainingParameters
        With `whole_network_epochs` resolved.
    epoch : int
        From 1.

    Examples
    --------
    >>> growing = TrainingParameters(first_size=2 / 3, whole_network_epochs=5)
    >>> [side_at(growing, epoch) for epoch in (1, 2, 3, 4, 5)]
    [128, 128, 160, 192, 192]
    """
    last_px, first = parameters.image_size_px, parameters.first_size
    steps = int(parameters.whole_network_epochs) - 1
    grown = (epoch - 1) / steps if steps else 1.0
    wanted_px = last_px * (first + (1 - first) * grown)
    if last_px - wanted_px < _GRID_PX / 2:
        return last_px
    return min(last_px, max(_GRID_PX, _GRID_PX * round(wanted_px / _GRID_PX)))


def require_sizes(classifier: ImageClassifier, parameters: TrainingParameters) -> TrainingParameters:
    """Leave photos at one size when the network takes no other, as those with learned positions do."""
    sides = {side_at(parameters, epoch + 1) for epoch in range(int(parameters.whole_network_epochs))}
    for side_px in sorted(sides - {parameters.image_size_px}):
        blank_NHWC = torch.zeros(2, side_px, side_px, 3, dtype=torch.uint8, device=classifier.mean.device)
        try:
            with torch.inference_mode():
                classifier(blank_NHWC)
        except (RuntimeError, AssertionError, ValueError, TypeError) as error:
            logger.info(
                "training.first_size: 1, since %s takes no photos of %d px (%s)",
                parameters.backbone,
                side_px,
                str(error).partition("\n")[0],
            )
            return parameters.model_copy(update={"first_size": 1.0})
    return parameters
