"""Views of a photo under the symmetries that the user says it has."""

from __future__ import annotations

import torch

from visionpipe.models.parameters import View

_FLIPPED_AXES = {"identity": (), "horizontal_flip": (3,), "vertical_flip": (2,), "rotate_180": (2, 3)}


def view(images_NCHW: torch.Tensor, name: View) -> torch.Tensor:
    """Return the images (N, C, H, W) in one of their symmetric views."""
    axes = _FLIPPED_AXES[name]
    return images_NCHW.flip(axes) if axes else images_NCHW
