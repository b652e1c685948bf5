"""What slows an independent implementation down."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="package")
def _garbage_of_others_is_not_looked_through() -> Iterator[None]:
    """Keep what was there before out of garbage collection: statsmodels' `multipletests` collects at every call."""
    gc.freeze()
    yield
    gc.unfreeze()
