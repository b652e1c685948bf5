"""cuDNN is told what is wanted for as long as it is wanted."""

from __future__ import annotations

import pytest
import torch

from visionpipe.models.convolutions import exact_convolutions, timed_convolutions


def test_convolutions_are_exact_inside_and_as_before_after(monkeypatch):
    assert torch.backends.cudnn.conv.fp32_precision == "tf32"  # torch's default
    with pytest.raises(ValueError, match="any"), exact_convolutions():
        assert torch.backends.cudnn.conv.fp32_precision == "ieee"
        raise ValueError("any")
    assert torch.backends.cudnn.conv.fp32_precision == "tf32"


@pytest.mark.parametrize(
    ("device", "deterministic", "timed"),
    [("cuda", False, True), ("cuda", True, False), ("cpu", False, False)],
)
def test_algorithms_are_timed_on_a_gpu_that_need_not_be_repeatable(monkeypatch, device, deterministic, timed):
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", deterministic)
    with timed_convolutions(torch.device(device)):
        assert torch.backends.cudnn.benchmark == timed
    assert not torch.backends.cudnn.benchmark
