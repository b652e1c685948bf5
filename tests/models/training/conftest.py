"""Photos to train on."""

from __future__ import annotations

import pytest

from photo_sets import PhotoSet, photo_set


@pytest.fixture(scope="module")
def photos() -> PhotoSet:
    return photo_set(train=8, validation=6, seed=4)
