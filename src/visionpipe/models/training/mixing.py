"""Mixed batches: mixup of photos or cached activations, cutmix of photos, with the targets mixed alike.

Legend: B batch, C channels, H x W pixels or cells, K classes.
"""

from __future__ import annotations

import math

import torch

from visionpipe.models.recipe_parameters import LossParameters
from visionpipe.models.training.transfer import sent


def mix(
    inputs: torch.Tensor,
    targets_BK: torch.Tensor,
    parameters: LossParameters,
    generator: torch.Generator,
    *,
    cuts: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mix a batch by mixup or cutmix, as the parameters say; often that is neither.

    Parameters
    ----------
    inputs : torch.Tensor
        (B, C, H, W) photos, or activations or features of any shape.
    targets_BK : torch.Tensor
        float, rows that sum to 1.
    parameters : LossParameters
        With `mixup_alpha` and `cutmix_alpha` resolved to numbers.
    generator : torch.Generator
        Of the CPU: what it draws decides what is computed.
    cuts : bool
        Whether the inputs are photos: where rows and columns of activations are depends on the network.

    Returns
    -------
    tuple of torch.Tensor
        Mixed inputs and targets of the same shapes.
    """
    methods = [(mixup, float(parameters.mixup_alpha))]
    if cuts:
        methods.append((cutmix, float(parameters.cutmix_alpha)))
    methods = [(method, alpha) for method, alpha in methods if alpha > 0]
    whether, which = torch.rand(2, generator=generator, dtype=torch.float64).tolist()
    if not methods or whether >= parameters.mix_share:
        return inputs, targets_BK
    method, alpha = methods[int(which * len(methods))]
    return method(inputs, targets_BK, alpha, generator)


def mixup(
    inputs: torch.Tensor, targets_BK: torch.Tensor, alpha: float, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Blend each input with that of another row: x = s x_i + (1 - s) x_j, s ~ Beta(alpha, alpha) for the batch.

    References
    ----------
    Zhang et al., mixup: Beyond Empirical Risk Minimization, ICLR 2018, equation 1.
    """
    share, other_B = _share(alpha, generator), _partners(inputs, generator)
    return torch.lerp(inputs[other_B], inputs, share), torch.lerp(targets_BK[other_B], targets_BK, share)


def cutmix(
    images_BCHW: torch.Tensor, targets_BK: torch.Tensor, alpha: float, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Paste a box of another row into each image; the targets are mixed in the shares of the areas.

    The box has the image's proportions and 1 - s of its area, s ~ Beta(alpha, alpha) for the batch, and is cut
    off at the edges.

    References
    ----------
    Yun et al., CutMix, ICCV 2019, equations 1 and 2.
    """
    share, other_B = _share(alpha, generator), _partners(images_BCHW, generator)
    height, width = images_BCHW.shape[2:]
    centre_y, centre_x = torch.rand(2, generator=generator, dtype=torch.float64).tolist()
    half = math.sqrt(1 - share) / 2
    top, bottom = _cut(centre_y - half, centre_y + half, height)
    left, right = _cut(centre_x - half, centre_x + half, width)
    mixed = images_BCHW.clone()
    mixed[:, :, top:bottom, left:right] = images_BCHW[other_B, :, top:bottom, left:right]
    kept = 1 - (bottom - top) * (right - left) / (height * width)
    return mixed, torch.lerp(targets_BK[other_B], targets_BK, kept)


def _cut(low: float, high: float, cells: int) -> tuple[int, int]:
    return round(max(low, 0) * cells), round(min(high, 1) * cells)


def _share(alpha: float, generator: torch.Generator) -> float:
    """Draw from Beta(alpha, alpha) by inversion: torch's own samplers take no generator."""
    from scipy.special import betaincinv

    return float(betaincinv(alpha, alpha, torch.rand((), generator=generator, dtype=torch.float64).item()))


def _partners(inputs: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return sent(torch.randperm(len(inputs), generator=generator), inputs.device)
