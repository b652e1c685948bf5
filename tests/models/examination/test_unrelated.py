"""Unrelated pictures are drawn from a seed, of many kinds, in colours and in greys."""

from __future__ import annotations

import numpy as np

from visionpipe.models.examination.unrelated import draw_pictures


def test_the_same_seed_draws_the_same_pictures():
    first, again, other = (draw_pictures(12, 32, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert (first.shape, first.dtype) == ((12, 32, 32, 3), np.uint8)


def test_six_kinds_take_turns_and_every_other_round_is_grey():
    pictures = draw_pictures(24, 48, seed=3)
    n_colours = [len(np.unique(picture.reshape(-1, 3), axis=0)) for picture in pictures]
    assert n_colours[::6] == [1] * 4, "plain"
    assert n_colours[3::6] == [2] * 4, "checks"
    is_grey = [bool((np.ptp(picture, axis=2) == 0).all()) for picture in pictures]
    assert is_grey == ([False] * 6 + [True] * 6) * 2
    roughness = [np.abs(np.diff(picture.astype(float), axis=0)).mean() for picture in pictures]
    assert roughness[1] < roughness[5], "a gradient is smoother than noise"
