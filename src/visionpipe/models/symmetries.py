"""Views of a photo under the symmetries that the user says it has.

Legend: N images, C = 3 channels, H = W side.
"""

from __future__ import annotations

import torch

from visionpipe.models.parameters import View

# transposed or not, then the axes that are flipped
_SYMMETRIES: dict[str, tuple[bool, tuple[int, ...]]] = {
    "identity": (False, ()),
    "horizontal_flip": (False, (3,)),
    "vertical_flip": (False, (2,)),
    "rotate_180": (False, (2, 3)),
    "transpose": (True, ()),
    "rotate_90": (True, (2,)),
    "rotate_270": (True, (3,)),
    "transverse": (True, (2, 3)),
}


def view(images_NCHW: torch.Tensor, name: View) -> torch.Tensor:
    """Return the images (N, C, H, W) in one of their symmetric views; turns are anticlockwise."""
    transposed, axes = _SYMMETRIES[name]
    images = images_NCHW.transpose(2, 3) if transposed else images_NCHW
    return images.flip(axes) if axes else images


def restored(views_NCHW: torch.Tensor, name: View) -> torch.Tensor:
    """Return the images (N, C, H, W) that this is the view of: the inverse of `view`."""
    transposed, axes = _SYMMETRIES[name]
    flipped = views_NCHW.flip(axes) if axes else views_NCHW
    return flipped.transpose(2, 3) if transposed else flipped


def symmetry_matrix(name: View) -> torch.Tensor:
    """Return the map (2, 2) from (x, y) of a view to (x, y) of the image."""
    transposed, axes = _SYMMETRIES[name]
    flip_22 = torch.diag(torch.tensor([-1.0 if axis in axes else 1.0 for axis in (3, 2)]))
    return flip_22.flip(0) if transposed else flip_22
