"""What lenses, sensors and compression do to photos: blur, noise and JPEG, on whole batches on their own device.

Legend: B batch, C channels, H x W pixels. Images are float, 0 (black) to 1 (white).
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from visionpipe.models.training.transfer import constant

# ITU-T T.81 (the JPEG standard), annex K.1: quantisation of luma and of chroma at quality 50
_LUMA_TABLE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMA_TABLE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8,) * 4,
)
_BLOCK = 8
_TO_YCBCR = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))  # JFIF 1.02


def blur(images_BCHW: torch.Tensor, sigma_B: torch.Tensor, max_sigma: float) -> torch.Tensor:
    """Blur each image with its own Gaussian.

    Parameters
    ----------
    images_BCHW : torch.Tensor
        float.
    sigma_B : torch.Tensor
        Standard deviations [pixels]; 0 leaves an image as it is.
    max_sigma : float
        An upper bound of them, > 0, known without asking the device: the kernel spans three of it to either side.
    """
    batch, channels, height, width = images_BCHW.shape
    radius = math.ceil(3 * max_sigma)
    offset_K = torch.arange(-radius, radius + 1, dtype=images_BCHW.dtype, device=images_BCHW.device)
    kernel_BK = torch.softmax(-0.5 * (offset_K / sigma_B.clamp(min=1e-3)[:, None]) ** 2, 1)
    kernel = kernel_BK.repeat_interleave(channels, 0)[:, None]
    planes = functional.pad(images_BCHW.reshape(1, -1, height, width), (radius,) * 4, mode="replicate")
    planes = functional.conv2d(planes, kernel[:, :, :, None], groups=batch * channels)
    planes = functional.conv2d(planes, kernel[:, :, None, :], groups=batch * channels)
    return planes.view(images_BCHW.shape)


def add_noise(images_BCHW: torch.Tensor, std_B: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Add Gaussian noise of its own standard deviation to each image, independent for each pixel and channel."""
    noise = torch.randn(
        images_BCHW.shape, generator=generator, device=generator.device, dtype=images_BCHW.dtype
    )
    return images_BCHW + std_B[:, None, None, None] * noise.to(images_BCHW.device)


def jpeg(images_BCHW: torch.Tensor, quality_B: torch.Tensor) -> torch.Tensor:
    """Return what JPEG compression (baseline, 4:2:0) leaves of each image at its own quality.

    Only what loses information is done: colour conversion, halved chroma, and the rounding of each 8 x 8 block's
    cosine coefficients, with libjpeg's scale of qualities. A codec would take one image at a time to the CPU and back.

    Parameters
    ----------
    images_BCHW : torch.Tensor
        (B, 3, H, W) float, 0 to 1.
    quality_B : torch.Tensor
        1 to 100; fractions are cut off.

    References
    ----------
    ITU-T T.81 (1992); `jpeg_quality_scaling` of libjpeg.
    """
    height, width = images_BCHW.shape[2:]
    dtype, device = images_BCHW.dtype, images_BCHW.device
    quality_B = quality_B.floor()
    scale_B = torch.where(quality_B < 50, (5000 / quality_B).floor(), 200 - 2 * quality_B)[:, None, None]
    luma_B88, chroma_B88 = (
        ((constant(torch.tensor, table, dtype, device) * scale_B + 50) / 100).floor().clamp_(1, 255)
        for table in (_LUMA_TABLE, _CHROMA_TABLE)
    )
    margin = (0, -width % (2 * _BLOCK), 0, -height % (2 * _BLOCK))
    pixels = functional.pad(images_BCHW.mul(255).round_(), margin, mode="replicate")
    ycbcr = (constant(torch.tensor, _TO_YCBCR, dtype, device) @ pixels.flatten(2)).view(pixels.shape)
    luma = _quantise(ycbcr[:, :1] - 128, luma_B88) + 128
    chroma = _quantise(functional.avg_pool2d(ycbcr[:, 1:], 2), chroma_B88)
    chroma = functional.interpolate(chroma, scale_factor=2, mode="bilinear", align_corners=False)
    decoded = constant(_inverse, _TO_YCBCR, dtype, device) @ torch.cat([luma, chroma], 1).flatten(2)
    return decoded.view(pixels.shape)[:, :, :height, :width].round().clamp_(0, 255) / 255


def _inverse(values: tuple[tuple[float, ...], ...], dtype: torch.dtype) -> torch.Tensor:
    return torch.linalg.inv(torch.tensor(values, dtype=dtype))


def _quantise(planes_BCHW: torch.Tensor, table_B88: torch.Tensor) -> torch.Tensor:
    """Round the cosine coefficients of each 8 x 8 block to multiples of the table's entries."""
    batch, channels, height, width = planes_BCHW.shape
    at = (torch.arange(_BLOCK, dtype=table_B88.dtype, device=table_B88.device) + 0.5) * math.pi / _BLOCK
    frequency = torch.arange(_BLOCK, dtype=table_B88.dtype, device=table_B88.device)
    cosine_88 = torch.cos(frequency[:, None] * at) * math.sqrt(2 / _BLOCK)
    cosine_88[0] /= math.sqrt(2)
    rows = cosine_88 @ planes_BCHW.reshape(-1, _BLOCK, width)
    blocks = (rows.view(-1, _BLOCK) @ cosine_88.T).view(batch, channels, height // _BLOCK, _BLOCK, -1, _BLOCK)
    table = table_B88[:, None, None, :, None, :]
    blocks = (blocks / table).round_() * table
    columns = blocks.view(-1, _BLOCK) @ cosine_88
    return (cosine_88.T @ columns.view(-1, _BLOCK, width)).view(planes_BCHW.shape)
