"""Everything random in training, as a function of where training stands.

An epoch begins with generators seeded by (seed, phase, epoch, process): a run that resumes at an epoch draws what an
unbroken one draws, with no state of any generator to keep.
"""

from __future__ import annotations

import hashlib
import random

import numpy as np
import torch


def generator(seed: int, *place: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a generator of its own for a place in training.

    Examples
    --------
    >>> generator(1, "order", 3).initial_seed() == generator(1, "order", 3).initial_seed()
    True
    >>> generator(1, "order", 3).initial_seed() == generator(1, "order", 4).initial_seed()
    False
    """
    return torch.Generator(device).manual_seed(derived_seed(seed, *place))


def derived_seed(seed: int, *place: str | int) -> int:
    """Return a seed of 63 bits for a place in training."""
    digest = hashlib.sha256(repr((seed, *place)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def seed_libraries(seed: int, *place: str | int) -> None:
    """Seed the global generators of torch (all devices), numpy and Python: a network's own layers draw from them."""
    derived = derived_seed(seed, *place)
    torch.manual_seed(derived)
    np.random.seed(derived % 2**32)
    random.seed(derived)
