"""The studies of `benchmarks/`, small; they run in full under the marker `slow`."""

from __future__ import annotations

import sys

import pytest

from project_copy import ROOT

sys.path.append(str(ROOT / "benchmarks"))


@pytest.fixture(autouse=True, scope="package")
def one_thread():
    """Run torch on one thread: heads are so small that threads wait for each other more than they work."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def cells(elpv):
    """Every third solar cell, as the backbone sees it."""
    from probe_heads import seen_by_backbone
    from real_photos import elpv as listed

    return seen_by_backbone(listed().some(875, seed=0), side_px=64)
