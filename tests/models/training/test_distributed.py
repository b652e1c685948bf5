"""A team of two real processes agrees on everything and learns what one process would."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from team_member import STEPS, TABLES, learn, network
from visionpipe.models.training.distributed import SOLO, Team, joined_team

MEMBER = Path(__file__).parents[2] / "team_member.py"


@pytest.fixture(scope="module")
def members(tmp_path_factory):
    """Return what each of two processes found, by rank."""
    folder = tmp_path_factory.mktemp("team")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*torchrun, str(MEMBER), str(folder)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [load_file(folder / f"member-{rank}.safetensors") for rank in (0, 1)]


def test_both_take_part(members):
    assert [found["team"].tolist() for found in members] == [[0, 2, 0], [1, 2, 0]]


@pytest.mark.parametrize("table", TABLES)
def test_what_is_shared_and_gathered_comes_back_whole_in_both(members, table):
    for found in members:
        for way in ("gathered", "spread"):
            assert torch.equal(found[f"{way}.{table}"], TABLES[table])
            assert found[f"{way}.{table}"].dtype == TABLES[table].dtype


def test_a_mean_is_the_same_in_both(members):
    assert [found["mean"].item() for found in members] == [0.75, 0.75]


def test_a_broadcast_gives_both_the_weights_and_buffers_of_the_first(members):
    first = network(seed=10).state_dict()
    assert {"1.running_mean", "1.num_batches_tracked", "0.weight"} <= set(first)
    for name, tensor in first.items():
        assert all(torch.equal(found[f"broadcast.{name}"], tensor) for found in members), name


@pytest.mark.parametrize("micro_batches", [1, 2])
def test_two_processes_learn_what_one_does_at_the_same_global_batch(members, micro_batches):
    """7 images make shares of 3 and 4, and micro-batches of 1 and 2: only weighted means add up to one process's."""
    module, losses = learn(SOLO)
    assert losses[-1] < losses[0] - 0.01  # it did learn
    for found in members:
        np.testing.assert_allclose(found[f"losses{micro_batches}"], losses, rtol=1e-5)
        for name, tensor in module.state_dict().items():
            ours = found[f"learnt{micro_batches}.{name}"]
            np.testing.assert_allclose(ours, tensor, rtol=1e-4, atol=1e-6, err_msg=name)


def test_both_hold_the_same_weights_to_the_bit(members):
    learnt = [{k: v for k, v in found.items() if k.startswith("learnt")} for found in members]
    assert len(learnt[0]) > STEPS
    assert all(torch.equal(tensor, learnt[1][name]) for name, tensor in learnt[0].items())


@given(n=st.integers(0, 200), size=st.integers(1, 9))
def test_shares_are_even_and_make_up_the_whole(n, size):
    items = np.arange(n)
    shares = [Team(rank, size).share(items) for rank in range(size)]
    np.testing.assert_array_equal(np.concatenate(shares), items)
    lengths = [len(share) for share in shares]
    assert max(lengths) - min(lengths) <= 1


@given(
    losses=st.lists(st.floats(-5, 5), min_size=1, max_size=60),
    size=st.integers(1, 7),
)
def test_weighted_means_of_shares_average_to_the_mean_of_all(losses, size):
    losses_N = np.array(losses)
    weighted = [
        share.mean() * Team(rank, size).loss_weight(len(share), len(losses_N))
        for rank in range(size)
        if len(share := Team(rank, size).share(losses_N))
    ]
    np.testing.assert_allclose(sum(weighted) / size, losses_N.mean(), atol=1e-12)


def test_after_an_error_a_process_does_not_wait_for_the_others(monkeypatch, tmp_path):
    """To destroy the group is to wait, under NCCL, for those that wait for this one."""
    left = []
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda *_, **__: None)
    monkeypatch.setattr(torch.distributed, "destroy_process_group", lambda: left.append(True))
    with pytest.raises(OSError, match="No space"), joined_team("cpu", tmp_path / "team"):
        raise OSError(28, "No space left on device")
    assert left == []
    with joined_team("cpu", tmp_path / "team"):
        pass
    assert left == [True]


def test_alone_nothing_is_asked_of_others():
    module, rows = network(seed=1), torch.arange(3)
    assert SOLO.is_first
    assert SOLO.wrap(module) is module
    assert SOLO.gather(rows) is rows
    assert SOLO.mean(0.1) == 0.1
    assert SOLO.loss_weight(3, 3) == 1
    SOLO.broadcast(module)
