"""Random photographic changes of a batch.

Legend: B batch, C = 3 channels, H = W side. Images are float, 0 (black) to 1 (white), before normalisation.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch.nn import functional

from visionpipe.models.parameters import View
from visionpipe.models.recipe_parameters import AugmentationParameters
from visionpipe.models.symmetries import symmetry_matrix
from visionpipe.models.training.degrade import add_noise, blur, jpeg
from visionpipe.models.training.transfer import constant

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as in torchvision
_CROSS = ((0, -1, 1), (1, 0, -1), (-1, 1, 0))  # with (1, 1, 1)
_BEST_QUALITY = 100


class Augmentation:
    """Varies every image of a batch on its own: view, crop, turn, colour, blur, noise and compression.

    Equal generator states give equal results. Everything is drawn on the generator's device: one on the images'
    device spares a GPU from waiting.

    Parameters
    ----------
    parameters : AugmentationParameters
        With `strength` resolved to a number.
    generator : torch.Generator
        Moves on with each batch; its state is all the state there is.
    views : tuple of View
        One is drawn for each image.
    """

    def __init__(
        self,
        parameters: AugmentationParameters,
        generator: torch.Generator,
        views: tuple[View, ...] = ("identity",),
    ) -> None:
        self._parameters, self._generator, self._views = parameters, generator, views
        self._strength = float(parameters.strength)

    def __call__(self, images_BCHW: torch.Tensor, side_px: int | None = None) -> torch.Tensor:
        """Return other pictures of the same things.

        Parameters
        ----------
        images_BCHW : torch.Tensor
            (B, 3, side, side) float32, 0 to 1; left as it is.
        side_px : int or None
            Side of what is returned; None: as it was.

        Returns
        -------
        torch.Tensor
            (B, 3, side_px, side_px) of the same type and device, 0 to 1.
        """
        parameters, strength = self._parameters, self._strength
        images = warp(images_BCHW, self._maps(len(images_BCHW)).to(images_BCHW), side_px)
        changes_4B = [
            self._uniform(len(images), -x, x).to(images)
            for x in (parameters.brightness, parameters.contrast, parameters.saturation, parameters.hue)
        ]
        brightness_B, contrast_B, saturation_B, hue_B = (strength * change_B for change_B in changes_4B)
        images = change_colour(images, 1 + brightness_B, 1 + contrast_B, 1 + saturation_B, hue_B).clamp_(0, 1)
        sigma_px, std = strength * parameters.blur_sigma_px, strength * parameters.noise_std
        if sigma_px:
            images = self._on_a_share(images, lambda some, u_M: blur(some, u_M * sigma_px, sigma_px))
        if std:
            images = self._on_a_share(images, lambda some, u_M: add_noise(some, u_M * std, self._generator))
        if lost := strength * (_BEST_QUALITY - parameters.jpeg_quality):
            images = self._on_a_share(images, lambda some, u_M: jpeg(some, _BEST_QUALITY - u_M * lost))
        return images

    def _uniform(self, count: int, low: float, high: float) -> torch.Tensor:
        drawn = torch.rand(count, generator=self._generator, device=self._generator.device)
        return low + (high - low) * drawn

    def _maps(self, count: int) -> torch.Tensor:
        """Draw the affine maps (B, 2, 3), output to input coordinates, of view, crop and turn."""
        parameters, strength = self._parameters, self._strength
        view_B = self._uniform(count, 0, len(self._views)).long().clamp_(max=len(self._views) - 1)
        area_B = self._uniform(count, 1 - strength * (1 - parameters.min_crop_area), 1)
        stretch = strength * math.log(parameters.max_stretch)
        ratio_B = self._uniform(count, -stretch, stretch).exp()
        degrees = strength * parameters.rotation_deg
        angle_B = self._uniform(count, -degrees, degrees).deg2rad()
        scale_B2 = torch.stack([(area_B * ratio_B).sqrt(), (area_B / ratio_B).sqrt()], 1).clamp_(max=1)
        shift_B2 = (1 - scale_B2) * self._uniform(2 * count, -1, 1).view(count, 2)
        cos_B, sin_B = angle_B.cos(), angle_B.sin()
        turn_B22 = torch.stack([cos_B, sin_B, -sin_B, cos_B], 1).view(count, 2, 2)
        symmetry_V22 = constant(_symmetries, self._views, torch.float32, view_B.device)
        crop_B23 = torch.cat([turn_B22 * scale_B2[:, None, :], shift_B2[:, :, None]], 2)
        return symmetry_V22[view_B] @ crop_B23

    def _on_a_share(
        self, images: torch.Tensor, change: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    ) -> torch.Tensor:
        """Change each image with the chance `degraded_share`, by u ~ U(0, 1) of the full amount.

        A fixed number is computed and some of the results are thrown away: shapes that depend on chance would
        make a GPU wait for the host.
        """
        count, share = len(images), self._parameters.degraded_share
        computed = math.ceil(count * share)
        if computed == 0:
            return images
        device = self._generator.device
        rows_M = torch.randperm(count, generator=self._generator, device=device)[:computed].to(images.device)
        kept_M = (self._uniform(computed, 0, 1) < count * share / computed).to(images.device)
        some = images[rows_M]
        changed = change(some, self._uniform(computed, 0, 1).to(images)).clamp_(0, 1)
        images[rows_M] = torch.where(kept_M[:, None, None, None], changed, some)
        return images


def _symmetries(views: tuple[View, ...], dtype: torch.dtype) -> torch.Tensor:
    return torch.stack([symmetry_matrix(name) for name in views]).to(dtype)


def warp(images_BCHW: torch.Tensor, maps_B23: torch.Tensor, side_px: int | None = None) -> torch.Tensor:
    """Resample each image under its own affine map, bilinearly; beyond the edge it is mirrored.

    Parameters
    ----------
    images_BCHW : torch.Tensor
        float.
    maps_B23 : torch.Tensor
        From output to input coordinates, (x, y) from -1 to 1 between the outer edges, as in
        `torch.nn.functional.affine_grid`, whose grid is built here by one broadcast sum (10 times as fast).
    side_px : int or None
        Side of what is returned; None: as it was.
    """
    height, width = images_BCHW.shape[2:] if side_px is None else (side_px, side_px)
    options = {"dtype": maps_B23.dtype, "device": maps_B23.device}
    x_W = (2 * torch.arange(width, **options) + 1) / width - 1
    y_H = (2 * torch.arange(height, **options) + 1) / height - 1
    of_x_B1W2 = x_W[None, None, :, None] * maps_B23[:, None, None, :, 0]
    of_y_BH12 = y_H[None, :, None, None] * maps_B23[:, None, None, :, 1] + maps_B23[:, None, None, :, 2]
    grid_BHW2 = of_x_B1W2 + of_y_BH12
    planes = images_BCHW.contiguous()  # twice as fast as channels last on a CPU
    return functional.grid_sample(planes, grid_BHW2, "bilinear", "reflection", align_corners=False)


def change_colour(
    images_BCHW: torch.Tensor,
    brightness_B: torch.Tensor,
    contrast_B: torch.Tensor,
    saturation_B: torch.Tensor,
    hue_B: torch.Tensor,
) -> torch.Tensor:
    """Change brightness, contrast, saturation and hue by one affine map of each image's colours.

    Contrast pivots on the image's mean luma and saturation on each pixel's, as in torchvision; hue turns
    colours about the grey axis, which needs no detour through HSV.

    Parameters
    ----------
    images_BCHW : torch.Tensor
        (B, 3, H, W) float.
    brightness_B, contrast_B, saturation_B : torch.Tensor
        Factors, 1 changes nothing.
    hue_B : torch.Tensor
        Turns of the colour circle, 0 changes nothing; 1/3 turns red into green.

    Returns
    -------
    torch.Tensor
        Not clipped.
    """
    options = {"dtype": images_BCHW.dtype, "device": images_BCHW.device}
    luma_3 = constant(torch.tensor, _LUMA, images_BCHW.dtype, images_BCHW.device)
    one_33, identity_33 = torch.ones(3, 3, **options), torch.eye(3, **options)
    grey_33 = luma_3.expand(3, 3)
    cross_33 = constant(torch.tensor, _CROSS, images_BCHW.dtype, images_BCHW.device) / math.sqrt(3)
    angle_B11 = 2 * math.pi * hue_B.view(-1, 1, 1)  # Rodrigues' rotation about (1, 1, 1) / sqrt(3)
    turn_B33 = angle_B11.cos() * identity_33 + (1 - angle_B11.cos()) / 3 * one_33 + angle_B11.sin() * cross_33
    saturation_B11 = saturation_B.view(-1, 1, 1)
    saturate_B33 = saturation_B11 * identity_33 + (1 - saturation_B11) * grey_33
    mean_B = images_BCHW.mean((2, 3)) @ luma_3
    matrix_B33 = (brightness_B * contrast_B).view(-1, 1, 1) * (turn_B33 @ saturate_B33)
    offset_B = brightness_B * (1 - contrast_B) * mean_B  # grey stays grey under both matrices
    changed_B3P = torch.baddbmm(offset_B.view(-1, 1, 1), matrix_B33, images_BCHW.flatten(2))
    return changed_B3P.view(images_BCHW.shape)
