"""One of the processes of test_distributed.py, run by `torchrun`: it does what teams do and writes down what came out.

`learn` is also what the test runs alone, to compare.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from visionpipe.models.training.distributed import SOLO, Team, joined_team

N_IMAGES, N_CLASSES, STEPS = 7, 3, 6
TABLES = {
    "seven": torch.arange(7),  # cannot be shared evenly
    "logits": torch.arange(10.0).view(5, 2) / 3,
    "one": torch.tensor([[4, 5]], dtype=torch.uint8),  # leaves the first of two processes nothing
}


def network(seed: int) -> nn.Module:
    """Return a small network, its weights channels-last as a classifier's are, its batch norm frozen.

    One weight its forward does not read, as in `timm/efficientvim_m1`.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = nn.Sequential(
            *(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
            nn.Linear(8, N_CLASSES),
        )
    module.register_parameter("unread", nn.Parameter(torch.ones(2)))
    module[1].running_mean.fill_(seed)
    module[1].num_batches_tracked.fill_(seed)
    return module.to(memory_format=torch.channels_last).eval()


def spread(team: Team, table: torch.Tensor) -> torch.Tensor:
    """Return what the team makes of the table where each member knows its share alone."""
    known = torch.full_like(table, 77)
    team.share(known)[:] = team.share(table)
    team.spread(known)
    return known


def learn(team: Team, micro_batches: int = 1) -> tuple[nn.Module, list[float]]:
    """Train on the same global batches in any team, each share in so many parts; return the losses over all images."""
    random = torch.Generator().manual_seed(3)
    module = network(seed=1)
    in_training = team.wrap(module)
    optimiser = torch.optim.AdamW(module.parameters(), lr=0.05)
    losses = []
    for _ in range(STEPS):
        images_NCHW = torch.rand((N_IMAGES, 3, 8, 8), generator=random)
        labels_N = torch.randint(N_CLASSES, (N_IMAGES,), generator=random)
        optimiser.zero_grad()
        step_loss = 0.0
        share = team.share(torch.arange(N_IMAGES))
        for rows in share.tensor_split(micro_batches):
            loss = functional.cross_entropy(in_training(images_NCHW[rows]), labels_N[rows])
            scaled = loss * team.loss_weight(len(rows), N_IMAGES)
            scaled.backward()
            step_loss += scaled.item()
        optimiser.step()
        losses.append(team.mean(step_loss))
    return module, losses


def main(folder: Path, meeting: Path) -> None:
    """Do all that a team can do and write `member-<rank>.safetensors`."""
    with joined_team("cpu", meeting) as team:
        found = {f"gathered.{name}": team.gather(team.share(table)) for name, table in TABLES.items()}
        found |= {f"spread.{name}": spread(team, table) for name, table in TABLES.items()}
        found["mean"] = torch.tensor(team.mean(0.25 + team.rank), dtype=torch.float64)
        module = network(seed=10 + team.rank)
        team.broadcast(module)
        found |= {f"broadcast.{name}": tensor.contiguous() for name, tensor in module.state_dict().items()}
        for micro_batches in (1, 2):
            module, losses = learn(team, micro_batches)
            found[f"losses{micro_batches}"] = torch.tensor(losses, dtype=torch.float64)
            found |= {f"learnt{micro_batches}.{k}": v.contiguous() for k, v in module.state_dict().items()}
        found["team"] = torch.tensor([team.rank, team.size, int(team == SOLO)])
    save_file(found, folder / f"member-{team.rank}.safetensors")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), Path(sys.argv[1]) / "team")
