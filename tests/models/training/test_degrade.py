"""Blur, noise and compression are those of torchvision, numpy and libjpeg, each image to its own degree."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_image
from torchvision.transforms.v2 import functional as tv

from visionpipe.models.training.degrade import add_noise, blur, jpeg


@pytest.fixture(scope="module")
def photo():
    """A colourful photo (3, 160, 160), uint8."""
    return torch.from_numpy(load_sample_image("flower.jpg")[100:420:2, 100:420:2].copy()).permute(2, 0, 1)


def by_libjpeg(photo, quality):
    """Write a photo (3, H, W) as JPEG and read it again; levels as float."""
    written = io.BytesIO()
    Image.fromarray(photo.permute(1, 2, 0).numpy()).save(
        written, "JPEG", quality=quality, subsampling="4:2:0"
    )
    return torch.from_numpy(np.array(Image.open(written))).permute(2, 0, 1).float()


def test_blur_is_torchvision_s_gaussian(photo):
    images = photo[None].repeat(3, 1, 1, 1) / 255
    sigmas = torch.tensor([0.0, 0.8, 2.0])
    made = blur(images, sigmas, 2.0)
    assert torch.equal(made[0], images[0])
    for image, sigma in ((made[1], 0.8), (made[2], 2.0)):
        expected = tv.gaussian_blur(images[0], [13, 13], [sigma, sigma])
        inside = slice(7, -7)  # beyond the edge torchvision mirrors and we repeat
        torch.testing.assert_close(image[:, inside, inside], expected[:, inside, inside], atol=1e-4, rtol=0)
    assert made.shape == images.shape


def test_noise_has_the_standard_deviation_asked_for():
    images = torch.full((3, 3, 100, 100), 0.5)
    noise = add_noise(images, torch.tensor([0.0, 0.02, 0.1]), torch.Generator().manual_seed(0)) - images
    torch.testing.assert_close(noise.std((1, 2, 3)), torch.tensor([0.0, 0.02, 0.1]), rtol=0.03, atol=1e-6)
    assert noise.mean((1, 2, 3)).abs().max() < 0.002
    across = torch.corrcoef(noise[2].flatten(1))
    assert across.triu(1).abs().max() < 0.05  # channels are independent


@pytest.mark.parametrize("quality", [5, 25, 49, 50, 75, 90, 100])
def test_compression_is_libjpeg_s(photo, quality):
    made = jpeg(photo[None] / 255, torch.tensor([quality + 0.5]))[0] * 255
    expected = by_libjpeg(photo, quality)
    lost = (expected - photo).abs().mean()
    assert (made - expected).abs().mean() < 0.25 * lost
    assert (made - photo).abs().mean() == pytest.approx(lost.item(), rel=0.05)
    torch.testing.assert_close(made, made.round(), atol=1e-3, rtol=0)  # whole levels, as a file has


def test_each_image_has_its_own_quality(photo):
    images = photo[None].repeat(3, 1, 1, 1) / 255
    made = jpeg(images, torch.tensor([10.0, 95.0, 40.0]))
    for image, quality in zip(made, (10.0, 95.0, 40.0), strict=True):
        torch.testing.assert_close(image, jpeg(images[:1], torch.tensor([quality]))[0])


@pytest.mark.parametrize("size", [(16, 16), (33, 50), (7, 5)])
def test_sides_need_not_be_whole_blocks(photo, size):
    images = photo[None, :, : size[0], : size[1]] / 255
    made = jpeg(images, torch.tensor([95.0]))
    assert made.shape == images.shape
    expected = by_libjpeg(photo[:, : size[0], : size[1]], 95) / 255
    assert (made[0] - expected).abs().mean() < 0.02
