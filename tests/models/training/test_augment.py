"""Augmented photos stay within the ranges that are asked for, are drawn one by one, and can be drawn again."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional
from torchvision.transforms.v2 import functional as tv

from visionpipe.models.recipe_parameters import AugmentationParameters
from visionpipe.models.symmetries import view
from visionpipe.models.training.augment import Augmentation, change_colour, warp

NONE = {
    "strength": 1.0, "min_crop_area": 1, "max_stretch": 1, "rotation_deg": 0, "brightness": 0, "contrast": 0,
    "saturation": 0, "hue": 0, "blur_sigma_px": 0, "noise_std": 0, "jpeg_quality": 100,
}  # fmt: skip
SYMMETRIES = {
    "identity": lambda x: x,
    "horizontal_flip": tv.horizontal_flip,
    "vertical_flip": tv.vertical_flip,
    "rotate_180": lambda x: torch.rot90(x, 2, (2, 3)),
    "rotate_90": lambda x: torch.rot90(x, 1, (2, 3)),
    "rotate_270": lambda x: torch.rot90(x, 3, (2, 3)),
    "transpose": lambda x: x.transpose(2, 3),
    "transverse": lambda x: torch.rot90(x, 2, (2, 3)).transpose(2, 3),
}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def photos(count=8, side=32, seed=0):
    """Return smooth, colourful pictures: no pixel is black or white, so that no change is hidden by clipping."""
    coarse = torch.rand(count, 3, 5, 5, generator=seeded(seed)) * 0.4 + 0.3
    return functional.interpolate(coarse, size=(side, side), mode="bicubic").clamp(0.2, 0.8)


def augmentation(seed=0, views=("identity",), **changes):
    return Augmentation(AugmentationParameters(**{**NONE, **changes}), seeded(seed), views)


def coordinates(count, side):
    """Return pictures whose red is x and whose green is y, from -1 to 1 between the outer edges."""
    at = (2 * torch.arange(side) + 1) / side - 1
    return torch.stack(
        [at.expand(side, side), at[:, None].expand(side, side), torch.zeros(side, side)]
    ).repeat(count, 1, 1, 1)


def fitted_maps(warped):
    """Read the affine map of each warped picture of `coordinates` back from its middle, by finite differences."""
    half = warped.shape[2] // 2
    step = 2 / warped.shape[2]
    dx = (warped[:, :2, half, half + 1] - warped[:, :2, half, half - 1]) / (2 * step)
    dy = (warped[:, :2, half + 1, half] - warped[:, :2, half - 1, half]) / (2 * step)
    return torch.stack([dx, dy], 2).double()


@pytest.mark.parametrize("name", SYMMETRIES)
def test_views_are_the_symmetries_of_a_square(name):
    images = photos()
    torch.testing.assert_close(view(images, name), SYMMETRIES[name](images))


@pytest.mark.parametrize("name", SYMMETRIES)
def test_the_fused_warp_makes_the_same_views(name):
    images = photos()
    made = augmentation(views=(name,))(images)
    torch.testing.assert_close(made, SYMMETRIES[name](images), atol=1e-5, rtol=0)


def test_each_image_draws_one_of_the_views():
    images = photos(1).repeat(300, 1, 1, 1)
    made = augmentation(views=("identity", "horizontal_flip", "rotate_180"))(images)
    found = {
        name: int((made - view(images, name)).abs().amax((1, 2, 3)).lt(1e-4).sum())
        for name in ("identity", "horizontal_flip", "rotate_180")
    }
    assert sum(found.values()) == 300
    assert all(70 < count < 130 for count in found.values()), found


def test_the_warp_is_torch_s_own_affine_resampling():
    images = torch.rand(5, 3, 24, 24, generator=seeded())
    maps = torch.randn(5, 2, 3, generator=seeded(1))
    grid = functional.affine_grid(maps, images.shape, align_corners=False)
    expected = functional.grid_sample(images, grid, "bilinear", "reflection", align_corners=False)
    torch.testing.assert_close(warp(images, maps), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("strength", [0.4, 1.0])
def test_crops_stretches_and_turns_stay_within_their_ranges_and_reach_their_ends(strength):
    wanted = {"min_crop_area": 0.4, "max_stretch": 1.5, "rotation_deg": 20}
    made = warp(coordinates(2000, 33), augmentation(strength=strength, **wanted)._maps(2000))
    _, scales, _ = torch.linalg.svd(fitted_maps(made))
    area = scales.prod(1)
    smallest = 1 - strength * (1 - wanted["min_crop_area"])
    assert area.min() == pytest.approx(smallest, rel=0.06)
    assert (
        area.min() > smallest / wanted["max_stretch"] ** strength * 0.999
    )  # a stretched crop is cut at the edges
    assert (scales[:, 0] / scales[:, 1]).max() == pytest.approx(wanted["max_stretch"] ** strength, rel=0.03)
    turned = fitted_maps(
        warp(coordinates(2000, 33), augmentation(strength=strength, rotation_deg=20)._maps(2000))
    )
    degrees = torch.atan2(turned[:, 0, 1], turned[:, 0, 0]).rad2deg()
    assert degrees.min() == pytest.approx(-20 * strength, abs=0.5)
    assert degrees.max() == pytest.approx(20 * strength, abs=0.5)


def test_an_upright_crop_stays_inside_the_photo():
    images = coordinates(500, 32)
    maps = augmentation(min_crop_area=0.2, max_stretch=2)._maps(500)
    corners = torch.tensor([[-1.0, -1, 1], [1, 1, 1]])
    assert (maps @ corners.T).abs().max() <= 1 + 1e-6
    shifted = warp(images, maps).mean((2, 3))[:, :2]
    assert shifted.min() < -0.4 and shifted.max() > 0.4  # and is taken from anywhere


@pytest.mark.parametrize(
    ("adjust", "place"), [(tv.adjust_brightness, 0), (tv.adjust_contrast, 1), (tv.adjust_saturation, 2)]
)
@settings(max_examples=25)
@given(factor=st.floats(0.2, 1.8), seed=st.integers(0, 99))
def test_each_change_of_colour_is_torchvision_s(adjust, place, factor, seed):
    images = torch.rand(2, 3, 6, 6, generator=seeded(seed))
    factors = [torch.ones(2), torch.ones(2), torch.ones(2), torch.zeros(2)]
    factors[place] = torch.tensor([factor, 1.0])
    made = change_colour(images, *factors).clamp(0, 1)
    expected = torch.stack([adjust(images[0], factor), images[1]])
    torch.testing.assert_close(made, expected, atol=2e-3, rtol=0)  # torchvision's luma has two digits less


def test_a_third_of_a_turn_makes_red_green_and_grey_has_no_hue():
    images, one = torch.rand(2, 3, 4, 4, generator=seeded()), torch.ones(2)
    made = change_colour(images, one, one, one, torch.tensor([1 / 3, 2 / 3]))
    torch.testing.assert_close(made[0], images[0][[2, 0, 1]])
    torch.testing.assert_close(made[1], images[1][[1, 2, 0]])
    grey = images[:, :1].expand(-1, 3, -1, -1)
    torch.testing.assert_close(change_colour(grey, one, one, 0.3 * one, 0.2 * one), grey)


def test_all_changes_of_colour_are_made_in_one_go_as_one_after_another():
    images, one, factor = torch.rand(1, 3, 8, 8, generator=seeded()), torch.ones(1), torch.tensor([1.3])
    once = change_colour(images, factor, 0.8 * one, 0.6 * one, 0.1 * one)
    steps = change_colour(images, factor, one, one, 0 * one)
    steps = change_colour(steps, one, 0.8 * one, one, 0 * one)
    steps = change_colour(steps, one, one, 0.6 * one, 0 * one)
    torch.testing.assert_close(once, change_colour(steps, one, one, one, 0.1 * one))


@pytest.mark.parametrize(
    "change",
    [
        {"min_crop_area": 0.3}, {"max_stretch": 2}, {"rotation_deg": 30}, {"brightness": 0.3}, {"contrast": 0.3},
        {"saturation": 0.5}, {"hue": 0.2}, {"blur_sigma_px": 3}, {"noise_std": 0.1}, {"jpeg_quality": 5},
    ],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_every_range_does_something_of_its_own_and_more_with_more_strength(change):
    images = photos(64)
    torch.testing.assert_close(augmentation(degraded_share=1)(images), images, atol=1e-5, rtol=0)
    changed = [
        (augmentation(degraded_share=1, **change, strength=strength)(images) - images).abs().mean()
        for strength in (0, 0.3, 1)
    ]
    assert changed[0] < 1e-6
    assert changed[2] > 1.5 * changed[1] > 0


@pytest.mark.parametrize("count", [1, 3, 32])
@pytest.mark.parametrize("kind", [{"noise_std": 0.2}, {"blur_sigma_px": 5}, {"jpeg_quality": 1}])
def test_the_wanted_share_of_photos_is_degraded_whatever_the_batch_size(count, kind):
    images, made = photos(count), augmentation(degraded_share=0.3, **kind)
    clean = augmentation()(images)
    batches = 600 // count
    touched = sum(int((made(images) - clean).abs().amax((1, 2, 3)).gt(1e-3).sum()) for _ in range(batches))
    deviation = math.sqrt(0.3 * 0.7 / (batches * count))
    assert touched / (batches * count) == pytest.approx(
        0.3, abs=4 * deviation + 0.03
    )  # some by next to nothing


def test_images_of_a_batch_are_varied_on_their_own():
    made = Augmentation(AugmentationParameters(strength=0.5), seeded())(photos(1).repeat(16, 1, 1, 1))
    distance = torch.cdist(made.flatten(1), made.flatten(1)) + torch.eye(16) * 1e9
    assert distance.min() > 0.1


@given(
    seed=st.integers(0, 2**31),
    strength=st.floats(0, 1),
    side=st.sampled_from([17, 32]),
    count=st.integers(1, 9),
)
@settings(max_examples=30)
def test_whatever_is_drawn_is_a_picture_of_the_same_size_and_the_input_is_kept(seed, strength, side, count):
    images = torch.rand(count, 3, side, side, generator=seeded(seed))
    before = images.clone()
    made = Augmentation(
        AugmentationParameters(strength=strength), seeded(seed), ("identity", "vertical_flip")
    )(images)
    assert (made.shape, made.dtype) == (images.shape, images.dtype)
    assert made.min() >= 0 and made.max() <= 1 + 1e-6
    torch.testing.assert_close(images, before, rtol=0, atol=0)


def test_the_generator_s_state_is_all_the_state_there_is():
    images, generator = photos(), seeded(3)
    augment = Augmentation(AugmentationParameters(strength=1), generator)
    first, state = augment(images), generator.get_state()
    second = augment(images)
    assert not torch.equal(first, second)
    resumed = torch.Generator()
    resumed.set_state(state)
    assert torch.equal(Augmentation(AugmentationParameters(strength=1), resumed)(images), second)


def test_channels_last_in_memory_makes_no_difference():
    images = photos()
    made = Augmentation(AugmentationParameters(strength=1), seeded())(images)
    of_last = Augmentation(AugmentationParameters(strength=1), seeded())(
        images.to(memory_format=torch.channels_last)
    )
    torch.testing.assert_close(of_last, made)


def test_a_strength_that_was_not_resolved_is_refused():
    with pytest.raises(ValueError, match="auto"):
        Augmentation(AugmentationParameters(), seeded())


def test_the_defaults_are_mild_enough_to_recognise_a_photo_by():
    """At half strength the thumbnail of an augmented photo is still closest to its own of 64."""
    images = photos(64, 64)
    made = Augmentation(AugmentationParameters(strength=0.5), seeded())(images)
    thumbnails = [functional.adaptive_avg_pool2d(x, 4).flatten(1) for x in (made, images)]
    thumbnails = [(x - x.mean(1, keepdim=True)) / x.std(1, keepdim=True) for x in thumbnails]
    found = torch.cdist(*thumbnails).argmin(1).numpy()
    assert np.mean(found == np.arange(64)) > 0.8
