"""Fine-tuning: run the frozen trunk once, cache what comes out of it, train only what moves.

Legend: N images, B batch, K classes, D features, V views, C x H x W activations at the freezing point.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from visionpipe.errors import VisionpipeError
from visionpipe.models.classifier import ImageClassifier
from visionpipe.models.frozen_trunk import FrozenTrunk, LabelledPixels, autocast
from visionpipe.models.parameters import TrainingParameters
from visionpipe.progress import progress_bar

logger = logging.getLogger(__name__)
_HEAD_SPEED_UP = 3.0  # the new head learns faster than the pretrained stages it sits on
_WARM_UP = 0.1  # share of all steps


@dataclass
class Curves:
    """What happened, epoch by epoch."""

    epoch: list[int] = field(default_factory=list)
    train_loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_accuracy: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)


def train(
    classifier: ImageClassifier,
    training: LabelledPixels,
    validation: LabelledPixels,
    parameters: TrainingParameters,
) -> Curves:
    """Train a classifier in place: the head on cached features, then the last stages with it.

    The epoch with the lowest validation loss is kept.

    Raises
    ------
    VisionpipeError
        When the loss is not finite.
    """
    device = choose_device(parameters.device)
    with repeatable(parameters.seed, device):
        nn.init.zeros_(classifier.head.bias)
        nn.init.normal_(classifier.head.weight, std=0.01)
        classifier.to(device).eval()
        cut = _freezing_point(classifier, parameters)
        train_cache = FrozenTrunk(classifier, training, cut, parameters, parameters.views)
        validation_cache = FrozenTrunk(classifier, validation, cut, parameters, ("identity",))
        _train_head(classifier, train_cache, validation_cache, cut, parameters)
        curves = Curves()
        if parameters.mode == "finetune":
            _train_last_stages(classifier, train_cache, validation_cache, cut, parameters, curves)
        classifier.spec.trained_stages = (
            "head" if parameters.mode == "probe" else f"stages {cut}-{len(classifier.stages) - 1} and head"
        )
        classifier.spec.epochs = len(curves.epoch)
        _fit_embedding(classifier, train_cache, cut)
    return curves


def choose_device(wanted: str) -> torch.device:
    """Resolve `auto`, `cpu` or `cuda`.

    Raises
    ------
    VisionpipeError
        When a GPU is asked for and there is none.
    """
    has_gpu = torch.cuda.is_available()
    if wanted == "cuda" and not has_gpu:
        raise VisionpipeError(
            "training.device: cuda is asked for and this machine has no usable GPU; use auto or cpu"
        )
    return torch.device("cuda" if has_gpu and wanted != "cpu" else "cpu")


def _freezing_point(classifier: ImageClassifier, parameters: TrainingParameters) -> int:
    """Return the first stage that moves; all stages are frozen in probe mode."""
    if parameters.mode == "probe":
        return len(classifier.stages)
    with_weights = [i for i, stage in enumerate(classifier.stages) if any(True for _ in stage.parameters())]
    return with_weights[-min(parameters.tuned_stages, len(with_weights))]


def _train_head(
    classifier: ImageClassifier,
    training: FrozenTrunk,
    validation: FrozenTrunk,
    cut: int,
    parameters: TrainingParameters,
) -> None:
    """Fit the new head on pooled features of the untouched backbone (all views)."""
    features_ND, targets_NK = _pooled(classifier, training, cut)
    held_out_ND, held_out_NK = _pooled(classifier, validation, cut, all_views=False)
    optimiser = torch.optim.AdamW(classifier.head.parameters(), lr=1e-2, weight_decay=parameters.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, parameters.probe_epochs)
    best = _Best(classifier.head)
    for _ in range(parameters.probe_epochs):
        for rows in torch.randperm(len(features_ND)).split(max(parameters.batch_size, 256)):
            dropped = functional.dropout(features_ND[rows], parameters.dropout)
            loss = functional.cross_entropy(classifier.head(dropped), targets_NK[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        schedule.step()
        with torch.no_grad():
            held_out_loss = functional.cross_entropy(classifier.head(held_out_ND), held_out_NK).item()
        best.offer(_finite(held_out_loss, "the head's validation loss"))
    best.restore()


def _train_last_stages(
    classifier: ImageClassifier,
    training: FrozenTrunk,
    validation: FrozenTrunk,
    cut: int,
    parameters: TrainingParameters,
    curves: Curves,
) -> None:
    """Train the last stages and the head together; batch-norm statistics stay those of the pretrained network."""
    tail = nn.ModuleList([*classifier.stages[cut:], classifier.head])
    backbone_weights = [weight for stage in classifier.stages[cut:] for weight in stage.parameters()]
    for weight in backbone_weights:
        weight.requires_grad_(True)
    optimiser = torch.optim.AdamW(
        [
            {"params": backbone_weights, "lr": parameters.learning_rate},
            {"params": classifier.head.parameters(), "lr": parameters.learning_rate * _HEAD_SPEED_UP},
        ],
        weight_decay=parameters.weight_decay,
        fused=training.device.type == "cuda",
    )
    steps = parameters.epochs * math.ceil(len(training.data) / parameters.batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _warm_up_cosine(step, steps))
    precision = autocast(parameters, training.device)
    shuffle = np.random.default_rng(parameters.seed)
    best = _Best(tail)
    best.offer(_validate(classifier, validation, cut)[0])
    with progress_bar("epochs") as progress:
        task = progress.add_task("Fine-tuning", total=parameters.epochs, note="")
        for epoch in range(1, parameters.epochs + 1):
            total_loss = 0.0
            order = shuffle.permutation(len(training.data))
            for index_B in np.array_split(order, math.ceil(len(order) / parameters.batch_size)):
                views_B = shuffle.integers(len(training.views), size=len(index_B))
                with precision:
                    features_BD = classifier.run_stages(training.batch(index_B, views_B), cut)
                    logits_BK = classifier.head(functional.dropout(features_BD, parameters.dropout))
                    loss = functional.cross_entropy(
                        logits_BK.float(), training.targets_NK[torch.from_numpy(index_B)]
                    )
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                nn.utils.clip_grad_norm_(tail.parameters(), 1.0)
                optimiser.step()
                schedule.step()
                total_loss += loss.item() * len(index_B)
            validation_loss, accuracy = _validate(classifier, validation, cut)
            curves.epoch.append(epoch)
            curves.train_loss.append(_finite(total_loss / len(order), f"the loss of epoch {epoch}"))
            curves.validation_loss.append(_finite(validation_loss, f"the validation loss of epoch {epoch}"))
            curves.validation_accuracy.append(accuracy)
            curves.learning_rate.append(schedule.get_last_lr()[0])
            best.offer(validation_loss)
            note = (
                f"loss {curves.train_loss[-1]:.3f}, validation {validation_loss:.3f}, accuracy {accuracy:.1%}"
            )
            progress.update(task, advance=1, note=note)
            logger.info("Epoch %d of %d: %s", epoch, parameters.epochs, note)
    best.restore()


@torch.no_grad()
def _validate(classifier: ImageClassifier, validation: FrozenTrunk, cut: int) -> tuple[float, float]:
    """Return the soft-target cross-entropy and the accuracy."""
    logits_NK = torch.cat(
        [classifier.head(classifier.run_stages(a, cut)).float() for _, a in validation.batches()]
    )
    targets_NK = validation.targets_NK
    loss = functional.cross_entropy(logits_NK, targets_NK).item()
    return loss, (logits_NK.argmax(1) == targets_NK.argmax(1)).float().mean().item()


@torch.no_grad()
def _pooled(
    classifier: ImageClassifier, trunk: FrozenTrunk, cut: int, *, all_views: bool = True
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return pooled features (V*N, D) and their targets."""
    features, targets = [], []
    for view_index in range(len(trunk.views) if all_views else 1):
        for index_B, activations in trunk.batches(view_index):
            features.append(classifier.run_stages(activations, cut).float())
            targets.append(trunk.targets_NK[torch.from_numpy(index_B)])
    return torch.cat(features), torch.cat(targets)


def _fit_embedding(classifier: ImageClassifier, trunk: FrozenTrunk, cut: int) -> None:
    """Fit the 32 principal axes of the training features: small enough to log with every prediction."""
    features_ND = _pooled(classifier, trunk, cut, all_views=False)[0].double().cpu()
    centre = features_ND.mean(0)
    _, _, axes = torch.linalg.svd(features_ND - centre, full_matrices=False)
    axes = axes * torch.sign(axes[torch.arange(len(axes)), axes.abs().argmax(1)]).view(
        -1, 1
    )  # SVD leaves signs open
    width = min(classifier.embedding_axes.shape[1], len(axes))
    classifier.embedding_centre.copy_(centre)
    classifier.embedding_axes.zero_()
    classifier.embedding_axes[:, :width] = axes[:width].T.to(classifier.embedding_axes)


class _Best:
    """Keeps the weights of the lowest validation loss."""

    def __init__(self, module: nn.Module) -> None:
        self._module, self._loss, self._state = module, math.inf, {}

    def offer(self, loss: float) -> None:
        if loss < self._loss:
            self._loss = loss
            self._state = {name: tensor.clone() for name, tensor in self._module.state_dict().items()}

    def restore(self) -> None:
        self._module.load_state_dict(self._state)


def _warm_up_cosine(step: int, steps: int) -> float:
    warm_up = max(1, round(_WARM_UP * steps))
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))


def _finite(loss: float, name: str) -> float:
    if not math.isfinite(loss):
        raise VisionpipeError(f"training stopped: {name} is {loss}; lower training.learning_rate")
    return loss


@contextmanager
def repeatable(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch and, on the CPU, refuse operations whose result depends on timing; the old state comes back."""
    before = torch.are_deterministic_algorithms_enabled()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        torch.use_deterministic_algorithms(device.type == "cpu")
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before)
