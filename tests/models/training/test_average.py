"""A moving average is that of the numbers that have a mean."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from visionpipe.models.training.average import MovingAverage


def network(**buffers):
    module = nn.Linear(2, 1)
    for name, values in buffers.items():
        module.register_buffer(name, values)
    return module


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8, torch.bool])
def test_buffers_of_integers_are_the_network_s(dtype):
    """0.9 * 3 + 0.1 * 3 is less than 3, and a table is read one row further up."""
    made = network(index=torch.arange(170).to(dtype))
    average = MovingAverage(made, 0.9)
    for _ in range(20):
        average.update_parameters(made)
    assert torch.equal(average.module.index, made.index)
    made.index.copy_(made.index.flip(0))
    average.update_parameters(made)
    assert torch.equal(average.module.index, made.index)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.complex64])
def test_weights_and_other_buffers_are_averaged_from_the_first_update_on(dtype):
    made = network(statistic=torch.zeros(3, dtype=dtype))
    average = MovingAverage(made, 0.75)
    for value in (4.0, 8.0):
        made.statistic.fill_(value)
        made.weight.data.fill_(value)
        average.update_parameters(made)
    torch.testing.assert_close(average.module.statistic, torch.full((3,), 5.0, dtype=dtype))
    torch.testing.assert_close(average.module.weight.data, torch.full((1, 2), 5.0))
    assert not average.module.training


def test_an_update_sends_nothing_to_another_device(monkeypatch):
    """A GPU would have to wait for it."""
    made = network()
    average = MovingAverage(made, 0.5)
    monkeypatch.setattr(torch.Tensor, "to", None)
    average.update_parameters(made)
    average.update_parameters(made)
    assert average.n_averaged == 2
