"""Photos as they come out on a bad day: blurred, noisy, dark, bright, compressed, foggy, turned; five strengths each.

Legend: N images, B batch, C = 3 channels, H = W side. Inside, images are float, 0 (black) to 1 (white).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from visionpipe.models.training.augment import warp
from visionpipe.models.training.degrade import add_noise, blur, jpeg

_BATCH = 8
_FOG_OCTAVES = 5
_HAZE = (0.5, 1.5)  # thinnest and thickest fog in a photo, as shares of its amount


@dataclass(frozen=True)
class Corruption:
    """One way in which a photo goes wrong.

    Attributes
    ----------
    amounts : tuple of float
        At strength 1 to 5.
    unit : str
        What an amount says, as it follows the number.
    apply : callable
        (images_BCHW, amount, generator) -> images_BCHW, not clipped. Equal generator states give the same noise at
        every strength, so that strengths differ in strength only.
    """

    amounts: tuple[float, float, float, float, float]
    unit: str
    apply: Callable[[torch.Tensor, float, torch.Generator], torch.Tensor]


def corrupt(pixels_NHWC: np.ndarray, name: str, strength: int, seed: int) -> np.ndarray:
    """Return the photos as they would be on a bad day.

    Amounts of blur, noise and JPEG are those of ImageNet-C (Hendrycks and Dietterich, ICLR 2019, whose blur is
    for photos of 224 pixels and is scaled to the side).

    Parameters
    ----------
    pixels_NHWC : numpy.ndarray
        (N, side, side, 3) uint8.
    name : str
        One of `CORRUPTIONS`.
    strength : int
        1 to 5.
    seed : int
        Of noise, fog and the way a photo is turned; an image has the same ones at every strength.

    Returns
    -------
    numpy.ndarray
        The same shape and type.
    """
    corruption = CORRUPTIONS[name]
    amount = corruption.amounts[strength - 1]
    generator = torch.Generator().manual_seed(seed)
    changed = [np.empty((0, *pixels_NHWC.shape[1:]), np.uint8)]
    for start in range(0, len(pixels_NHWC), _BATCH):
        pixels_BHWC = torch.from_numpy(np.array(pixels_NHWC[start : start + _BATCH]))
        images_BCHW = pixels_BHWC.permute(0, 3, 1, 2).float() / 255
        images_BCHW = corruption.apply(images_BCHW, amount, generator).clamp(0, 1)
        changed.append((images_BCHW * 255).round().byte().permute(0, 2, 3, 1).numpy())
    return np.concatenate(changed)


def _blur(images_BCHW: torch.Tensor, sigma_224: float, _: torch.Generator) -> torch.Tensor:
    sigma_px = sigma_224 * images_BCHW.shape[-1] / 224
    return blur(images_BCHW, torch.full((len(images_BCHW),), sigma_px), sigma_px)


def _noise(images_BCHW: torch.Tensor, std: float, generator: torch.Generator) -> torch.Tensor:
    return add_noise(images_BCHW, torch.full((len(images_BCHW),), std), generator)


def _expose(images_BCHW: torch.Tensor, stops: float, _: torch.Generator) -> torch.Tensor:
    """Let in 2^stops times the light (IEC 61966-2-1 turns values of sRGB into light, and back)."""
    low = images_BCHW <= 0.04045
    light = torch.where(low, images_BCHW / 12.92, ((images_BCHW + 0.055) / 1.055) ** 2.4)
    light = (light * 2**stops).clamp(0, 1)
    return torch.where(light <= 0.0031308, light * 12.92, 1.055 * light.clamp(min=1e-9) ** (1 / 2.4) - 0.055)


def _jpeg(images_BCHW: torch.Tensor, quality: float, _: torch.Generator) -> torch.Tensor:
    return jpeg(images_BCHW, torch.full((len(images_BCHW),), quality))


def _fog(images_BCHW: torch.Tensor, thickness: float, generator: torch.Generator) -> torch.Tensor:
    """Put white fog of varying depth before the scene: I t + 1 - t with t = exp(-depth) (Koschmieder's law, 1924)."""
    side = images_BCHW.shape[-1]
    depth_BHW = torch.zeros(len(images_BCHW), 1, side, side)
    for octave in range(_FOG_OCTAVES):  # clouds: half the height at twice the fineness
        cells = 2 ** (octave + 1) + 1
        drawn = torch.rand(len(images_BCHW), 1, cells, cells, generator=generator)
        depth_BHW += (
            functional.interpolate(drawn, (side, side), mode="bilinear", align_corners=True) / 2**octave
        )
    low, high = depth_BHW.amin((2, 3), keepdim=True), depth_BHW.amax((2, 3), keepdim=True)
    share = (depth_BHW - low) / (high - low).clamp(min=1e-6)
    seen = torch.exp(-thickness * (_HAZE[0] + (_HAZE[1] - _HAZE[0]) * share))
    return images_BCHW * seen + 1 - seen


def _turn(images_BCHW: torch.Tensor, degrees: float, generator: torch.Generator) -> torch.Tensor:
    sign_B = torch.randint(0, 2, (len(images_BCHW),), generator=generator) * 2.0 - 1
    angle_B = torch.deg2rad(sign_B * degrees)
    cos_B, sin_B, none_B = angle_B.cos(), angle_B.sin(), torch.zeros_like(angle_B)
    return warp(images_BCHW, torch.stack([cos_B, -sin_B, none_B, sin_B, cos_B, none_B], 1).view(-1, 2, 3))


CORRUPTIONS: dict[str, Corruption] = {
    "blur": Corruption((1.0, 2.0, 3.0, 4.0, 6.0), "px of blur at a side of 224 px", _blur),
    "noise": Corruption((0.08, 0.12, 0.18, 0.26, 0.38), "noise, where white is 1", _noise),
    "dark": Corruption((-0.5, -1.0, -1.5, -2.0, -3.0), "stops of light", _expose),
    "bright": Corruption((0.33, 0.67, 1.0, 1.5, 2.0), "stops of light", _expose),
    "jpeg": Corruption((25.0, 18.0, 15.0, 10.0, 7.0), "JPEG quality", _jpeg),
    "fog": Corruption((0.25, 0.5, 0.8, 1.2, 1.8), "optical depth", _fog),
    "rotation": Corruption((5.0, 10.0, 15.0, 30.0, 45.0), "degrees, either way", _turn),
}
STRENGTHS = (1, 2, 3, 4, 5)
