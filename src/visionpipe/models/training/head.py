"""The new head, fitted on pooled features of the untouched backbone.

Legend: N images, B batch, K classes, D features, V views.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from visionpipe.models.classifier import ImageClassifier, inference_batch_size
from visionpipe.models.parameters import TrainingParameters
from visionpipe.models.training.chance import generator
from visionpipe.models.training.curves import accuracy, finite
from visionpipe.models.training.distributed import Team
from visionpipe.models.training.frozen_trunk import FrozenTrunk, autocast
from visionpipe.models.training.losses import Loss, balanced_order
from visionpipe.models.training.memory import Passes
from visionpipe.models.training.mixing import mix
from visionpipe.models.training.recipe import SMALLEST_BATCH
from visionpipe.models.training.selection import Selection, calibrated_losses, unjudged_classes
from visionpipe.models.training.tail import pooled
from visionpipe.progress import progress_bar

_PEAK_RATE = 1e-2
_SPREAD = 0.01  # standard deviation of the first weights


def draw_head(head: nn.Linear, seed: int) -> None:
    """Start the head from small random weights and no bias."""
    nn.init.zeros_(head.bias)
    weight = torch.empty(head.weight.shape)
    nn.init.normal_(weight, std=_SPREAD, generator=generator(seed, "head"))
    with torch.no_grad():
        head.weight.copy_(weight)


def fit_head(
    classifier: ImageClassifier,
    training: FrozenTrunk,
    validation: FrozenTrunk,
    criterion: Loss,
    weights_NK: torch.Tensor | None,
    parameters: TrainingParameters,
    team: Team,
) -> dict[str, list[Any]]:
    """Fit the head for `probe_epochs` and keep the weights of one of them (`Selection`).

    Every process does the whole of it: it takes less time than agreeing would.

    Parameters
    ----------
    criterion : Loss
        What is minimised.
    weights_NK : torch.Tensor or None
        Of the validation targets (`judging_weights`).

    Returns
    -------
    dict
        Lists by epoch, named as in `Curves`; the last epoch that `improved` is the one that was kept.
    """
    head = classifier.head.requires_grad_(True)
    with progress_bar() as progress:
        n_features = training.n_views * len(training.data) + len(validation.data)
        advance = partial(progress.advance, progress.add_task("Features", total=n_features, note=""))
        features = partial(trunk_features, classifier, parameters=parameters, team=team, advance=advance)
        features_ND = torch.cat([features(training, v) for v in range(training.n_views)])
        held_out_ND = features(validation, 0)
    targets_NK = training.targets_NK.repeat(training.n_views, 1)
    optimiser = torch.optim.AdamW(
        head.parameters(), lr=_PEAK_RATE, weight_decay=parameters.weight_decay, fused=True
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, parameters.probe_epochs)
    judges = not unjudged_classes(training.targets_NK, validation.targets_NK)
    best, kept, selection = dict[str, torch.Tensor](), "", Selection(judges=judges)
    by_epoch = []
    with progress_bar("epochs") as progress:
        task = progress.add_task("Head", total=parameters.probe_epochs, note="")
        for epoch in range(parameters.probe_epochs):
            began, rate = time.perf_counter(), schedule.get_last_lr()[0]
            train_loss = _fit_epoch(head, features_ND, targets_NK, criterion, optimiser, parameters, epoch)
            schedule.step()
            with torch.no_grad():
                logits_NK = head(held_out_ND)
            losses_N = calibrated_losses(logits_NK, validation.targets_NK, weights_NK)
            found = finite(losses_N.mean().item(), "the head's validation loss")
            if improved := selection.offer(losses_N):
                best = {name: tensor.clone() for name, tensor in head.state_dict().items()}
                kept = f"epoch {epoch + 1} is kept, validation {found:.3f}"
            by_epoch.append(
                {
                    "epoch": epoch + 1,
                    "phase": "head",
                    "train_loss": train_loss,
                    "validation_loss": found,
                    "validation_accuracy": accuracy(logits_NK, validation.targets_NK),
                    "learning_rate": rate,
                    "seconds": time.perf_counter() - began,
                    "improved": improved,
                }
            )
            progress.update(task, advance=1, note=kept)
    head.load_state_dict(best)
    team.broadcast(head)  # what GPUs add up in another order differs in the last bits
    return {name: [each[name] for each in by_epoch] for name in by_epoch[0]}


def _fit_epoch(
    head: nn.Linear,
    features_ND: torch.Tensor,
    targets_NK: torch.Tensor,
    criterion: Loss,
    optimiser: torch.optim.Optimizer,
    parameters: TrainingParameters,
    epoch: int,
) -> float:
    """Go once through the features and return their mean loss."""
    chance = generator(parameters.seed, "probe", epoch)
    device_chance = generator(parameters.seed, "probe dropout", epoch, device=features_ND.device)
    order_N = _order(targets_NK, parameters, chance)
    total = torch.zeros((), device=features_ND.device, dtype=torch.float64)
    for rows in order_N.split(max(parameters.batch_size, SMALLEST_BATCH)):
        mixed_BD, mixed_BK = mix(features_ND[rows], targets_NK[rows], parameters.loss, chance, cuts=False)
        drawn_BD = torch.rand(mixed_BD.shape, generator=device_chance, device=mixed_BD.device)
        dropped_BD = mixed_BD * (drawn_BD >= parameters.dropout) / (1 - parameters.dropout)
        loss = criterion(head(dropped_BD), mixed_BK)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        total += len(rows) * loss.detach()
    return total.item() / len(order_N)


def _order(targets_NK: torch.Tensor, parameters: TrainingParameters, chance: torch.Generator) -> torch.Tensor:
    if parameters.loss.imbalance == "balanced_sampling":
        order_N = balanced_order(targets_NK.argmax(1).cpu(), chance)
    else:
        order_N = torch.randperm(len(targets_NK), generator=chance)
    return order_N.to(targets_NK.device)


@torch.no_grad()
def trunk_features(
    classifier: ImageClassifier,
    trunk: FrozenTrunk,
    view_index: int,
    parameters: TrainingParameters,
    team: Team,
    advance: Callable[[int], None],
) -> torch.Tensor:
    """Return pooled features (N, D) of all images of a trunk in one view, float32."""
    precision = autocast(parameters, trunk.device)

    def features(index_B: np.ndarray) -> torch.Tensor:
        activations = trunk.batch(index_B, np.full_like(index_B, view_index)).float()
        with precision:
            return pooled(classifier.stages[trunk.cut :], activations).float()

    return all_features(features, len(trunk.data), trunk.device, team, advance)


@torch.no_grad()
def all_features(
    features: Callable[[np.ndarray], torch.Tensor],
    n_images: int,
    device: torch.device,
    team: Team,
    advance: Callable[[int], None],
) -> torch.Tensor:
    """Return the features (N, D) of all images, each process having run its share; `advance` is told how many."""
    mine, passes = team.share(np.arange(n_images)), Passes(inference_batch_size(device))
    found: list[torch.Tensor] = []
    for index_B, rows in passes.over(features, mine):
        found.append(rows)
        advance(len(index_B))
    gathered = team.gather(torch.cat(found))
    advance(n_images - len(mine))
    return gathered
