"""What one of several training processes needs to know of the others: its share, and how to agree.

Every process holds the whole network and walks through the same global batches; of each it computes its share. With
each loss scaled by `Team.loss_weight`, the averaged gradients are those of one process at the same global batch.

Legend: N items over all processes, n of them in this one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import environ
from pathlib import Path
from typing import Protocol, Self, TypeVar

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel


class _Sliceable(Protocol):
    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> Self: ...


Items = TypeVar("Items", bound=_Sliceable)


@dataclass(frozen=True)
class Team:
    """The processes that train one network together, seen from one of them.

    Every process must call the same methods in the same order, but for `is_first`, `share` and `loss_weight`, which
    ask nobody; a process that stays away from a call keeps the others waiting.

    Attributes
    ----------
    rank : int
        Which one this is, 0 to size - 1.
    size : int
        How many there are.
    device : torch.device or None
        Where this one computes; None leaves it to `training.device`.
    micro_batch : int or None
        Most images of a step that each process has in memory at once, where memory ran out before; one more where
        shares are uneven and would otherwise be cut into unlike numbers of parts.
    """

    rank: int
    size: int
    device: torch.device | None = None
    micro_batch: int | None = None

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes files and logs."""
        return self.rank == 0

    def share(self, items: Items) -> Items:
        """Return this process's part of an array, tensor or list, in order; the parts differ by one item at most.

        `team.gather(f(team.share(items)))` is `f(items)` for any `f` that works item by item.

        Examples
        --------
        >>> [Team(rank, 3).share([10, 11, 12, 13, 14]) for rank in range(3)]
        [[10], [11, 12], [13, 14]]
        """
        return items[self.rank * len(items) // self.size : (self.rank + 1) * len(items) // self.size]

    def loss_weight(self, n_mine: int, n_all: int) -> float:
        """Return what to multiply this process's mean loss by, so that the mean over processes is that over all items.

        `wrap` and `mean` average over processes, whatever their shares; an uneven share must therefore count more.

        Examples
        --------
        >>> Team(0, 2).loss_weight(1, 3), Team(1, 2).loss_weight(2, 3)  # doctest: +ELLIPSIS
        (0.666..., 1.333...)
        """
        return self.size * n_mine / n_all

    def wrap(self, module: nn.Module) -> nn.Module:
        """Return the module to call in place of this one while training: its gradients are averaged over the team.

        The module keeps the weights, and names in its state dict are unchanged; only what requires a gradient now is
        averaged, so wrap anew when that changes. Every step must read the same weights, which need not be all of them.
        Batch normalisation in training mode sees the share alone, and the running statistics are the first process's.
        """
        if self.size == 1:
            return module
        on_gpu = self.device is not None and self.device.type == "cuda"
        # static: the first step tells which weights the forward does not read; otherwise they are waited for
        return DistributedDataParallel(
            module, device_ids=[self.device] if on_gpu else None, static_graph=True
        )

    def mean(self, value: float) -> float:
        """Return the mean of a number over the processes, the same to the bit in each of them."""
        if self.size == 1:
            return value
        total = torch.tensor(value, dtype=torch.float64, device=self.device)
        distributed.all_reduce(total)
        return total.item() / self.size

    def broadcast(self, module: nn.Module) -> None:
        """Give every process the weights and buffers that the first one has; the module lies on the team's device."""
        if self.size > 1:
            for tensor in module.state_dict().values():
                distributed.broadcast(tensor, src=0)

    def spread(self, items: torch.Tensor) -> None:
        """Fill in the rows (N, ...) that other processes hold, in place; each has set its own `share` of them.

        Without another copy of them, unlike `gather`; contiguous, on the team's device.
        """
        if self.size > 1:
            for rank in range(self.size):
                part = Team(rank, self.size).share(items)
                if len(part):
                    distributed.broadcast(part, src=rank)

    def gather(self, mine: torch.Tensor) -> torch.Tensor:
        """Return the rows of all processes, (n, ...) from each, in the order of their ranks as (N, ...)."""
        if self.size == 1:
            return mine
        sent = mine.detach().to(self.device).contiguous()
        lengths = [torch.zeros(1, dtype=torch.int64, device=sent.device) for _ in range(self.size)]
        distributed.all_gather(lengths, torch.tensor([len(sent)], device=sent.device))
        rows = [int(length) for length in lengths]
        padded = sent.new_zeros((max(rows), *sent.shape[1:]))
        padded[: len(sent)] = sent
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        distributed.all_gather(parts, padded)
        return torch.cat([part[:n] for part, n in zip(parts, rows, strict=True)]).to(mine.device)


SOLO = Team(0, 1)
"""The team of a process that trains alone."""


@contextmanager
def joined_team(device_type: str, meeting: Path, micro_batch: int | None = None) -> Iterator[Team]:
    """Join the processes that `torchrun` started beside this one: over NCCL on GPUs, over Gloo on the CPU.

    After an error the team is not left in order, for that takes all of them: the process has to end (`os._exit`), upon
    which `torchrun` ends the others.

    Parameters
    ----------
    device_type : {"cpu", "cuda"}
        Where to compute; on `cuda` each process takes the GPU of its local rank.
    meeting : Path
        File through which they find each other; new for every team.
    micro_batch : int or None
        See `Team`.
    """
    rank, size = int(environ["RANK"]), int(environ["WORLD_SIZE"])
    met = {"store": distributed.FileStore(str(meeting), size), "rank": rank, "world_size": size}
    if device_type == "cuda":
        device = torch.device("cuda", int(environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
        distributed.init_process_group("nccl", **met, device_id=device)
    else:
        device = torch.device("cpu")
        distributed.init_process_group("gloo", **met)
    yield Team(rank, size, device, micro_batch)
    # not after an error: NCCL would wait for the others, who wait for what this process has not sent
    distributed.destroy_process_group()
