"""Training in phases: the head on cached features, the last stages on cached activations, the whole network on photos.

Legend: N images, D features.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial

import numpy as np
import torch
from torch.utils import deterministic

from visionpipe.errors import VisionpipeError
from visionpipe.models.classifier import ImageClassifier
from visionpipe.models.convolutions import timed_convolutions
from visionpipe.models.parameters import TrainingParameters
from visionpipe.models.training.checkpoint import Checkpoints, Snapshot
from visionpipe.models.training.curves import Curves
from visionpipe.models.training.distributed import SOLO, Team
from visionpipe.models.training.feeds import CachedFeed, Feed, PixelFeed
from visionpipe.models.training.fold import PROBED_IMAGES, folded
from visionpipe.models.training.frozen_trunk import FrozenTrunk, LabelledPixels, autocast
from visionpipe.models.training.growth import require_sizes
from visionpipe.models.training.head import all_features, draw_head, fit_head
from visionpipe.models.training.losses import build_loss, judging_weights, target_counts
from visionpipe.models.training.memory import kept_memory
from visionpipe.models.training.phase import LAST_STAGES, WHOLE_NETWORK, Phase, PhaseTraining, Setting
from visionpipe.models.training.recipe import freezes, log_choices, resolve
from visionpipe.models.training.selection import unjudged_classes
from visionpipe.models.training.step import copy_of_start
from visionpipe.models.training.tail import pooled
from visionpipe.progress import progress_bar

logger = logging.getLogger(__name__)
_FIRST, _SECOND = 1, 2  # phases after the head's


def train(
    classifier: ImageClassifier,
    training: LabelledPixels,
    validation: LabelledPixels,
    parameters: TrainingParameters,
    *,
    team: Team = SOLO,
    checkpoints: Checkpoints | None = None,
) -> Curves:
    """Train a classifier in place; of each phase the epoch that `Selection` chooses is kept.

    Parameters
    ----------
    classifier : ImageClassifier
        With the weights to start from; its head is drawn anew. Afterwards `requires_grad` tells what moved.
    training, validation : LabelledPixels
        To learn from, and to choose by.
    team : Team
        The processes that train together.
    checkpoints : Checkpoints or None
        Where to go on from, and where each epoch is written; None keeps nothing.

    Raises
    ------
    VisionpipeError
        When the loss is not finite or diverges, or memory does not suffice for a single image.
    """
    device = team.device or choose_device(parameters.device)
    parameters, choices = resolve(parameters, training.targets_NK, device)
    log_choices(choices)
    if unjudged := unjudged_classes(training.targets_NK, validation.targets_NK):
        logger.warning(
            "No validation image of %s: none can choose an epoch then, and the last one is kept",
            ", ".join(classifier.spec.classes[k] for k in unjudged),
        )
    with repeatable(parameters.seed, device), kept_memory(device):
        classifier.to(device).eval().requires_grad_(False)
        resumed = None if checkpoints is None else checkpoints.latest()
        if resumed is not None:
            logger.info("Resuming after epoch %d from %s", len(resumed.facts["curves"]["epoch"]), checkpoints)
        curves = Curves() if resumed is None else Curves(**resumed.facts["curves"])
        taught_NK, judged_NK = training.targets_NK.to(device), validation.targets_NK.to(device)
        setting = Setting(
            classifier,
            copy_of_start(classifier.stages, parameters),
            build_loss(parameters.loss, target_counts(taught_NK)),
            judging_weights(parameters.loss, taught_NK, judged_NK),
            parameters,
            team,
            checkpoints,
            curves,
        )
        feed = _train_phases(setting, training, validation, resumed)
        if curves.kept is not None:
            why = "" if unjudged else curves.why_kept()
            logger.info("Epoch %d of %d is kept%s", curves.epoch[curves.kept], len(curves.epoch), why)
        classifier.requires_grad_(False)
        first = _first_moved(classifier, parameters, curves)
        classifier.stages[first:].requires_grad_(True)
        classifier.head.requires_grad_(True)
        # stages without weights, such as a last activation, are not said to move
        moved = [i for i in range(first, len(classifier.stages)) if list(classifier.stages[i].parameters())]
        classifier.spec.trained_stages = f"stages {moved[0]}-{moved[-1]} and head" if moved else "head"
        classifier.spec.epochs = len(curves.epoch)
        _fit_embedding(classifier, feed, len(training), parameters, team)
    return curves


def _train_phases(
    setting: Setting, training: LabelledPixels, validation: LabelledPixels, resumed: Snapshot | None
) -> Feed:
    """Run the phases that are left, and return what the last one was fed."""
    classifier, parameters, team = setting.classifier, setting.parameters, setting.team
    reached = 0 if resumed is None else resumed.facts["phase"]
    if parameters.mode != "probe" and parameters.whole_network_epochs:
        parameters = require_sizes(classifier, parameters)
    # a head fitted to features under the pretrained batch statistics would be wrong under those of the photos
    from_chance = not freezes(parameters)
    feed: Feed | None = None
    if from_chance:
        draw_head(classifier.head, parameters.seed)
    elif reached < _SECOND:
        feed = _train_on_cached_activations(setting, training, validation, resumed)
    if parameters.mode == "probe" or not parameters.whole_network_epochs:
        assert feed is not None, "some phase trains"
        return feed
    del feed  # with its activations: the whole network needs the memory
    feed = PixelFeed(classifier, training, validation, parameters, team)
    phase = Phase(_SECOND, WHOLE_NETWORK, parameters.whole_network_epochs, from_chance)
    grows = parameters.first_size < 1  # each size of the photos has shapes of its own
    with nullcontext() if grows else timed_convolutions(classifier.mean.device):
        PhaseTraining(phase, setting, feed).run(resumed if reached == _SECOND else None)
    return feed


def _train_on_cached_activations(
    setting: Setting, training: LabelledPixels, validation: LabelledPixels, resumed: Snapshot | None
) -> CachedFeed:
    """Fit the head, unless a snapshot has one, and train the last stages if they are to move."""
    classifier, parameters, team = setting.classifier, setting.parameters, setting.team
    cut = freezing_point(classifier, parameters)
    augmented = int(parameters.augmented_views)
    train_trunk = FrozenTrunk(classifier, training, cut, parameters, parameters.views, augmented, team)
    held_out_trunk = FrozenTrunk(classifier, validation, cut, parameters, ("identity",), team=team)
    feed = CachedFeed(train_trunk, held_out_trunk, parameters.seed)
    if resumed is None:
        draw_head(classifier.head, parameters.seed)
        setting.curves.head = fit_head(
            classifier, train_trunk, held_out_trunk, setting.criterion, setting.weights_NK, parameters, team
        )
    if parameters.mode == "finetune" and parameters.epochs:
        PhaseTraining(Phase(_FIRST, LAST_STAGES, parameters.epochs), setting, feed).run(resumed)
    return feed


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


def freezing_point(classifier: ImageClassifier, parameters: TrainingParameters) -> int:
    """Return the first stage that moves on cached activations; all are frozen when none does."""
    if parameters.mode == "probe" or not parameters.epochs:
        return len(classifier.stages)
    with_weights = [i for i, stage in enumerate(classifier.stages) if any(True for _ in stage.parameters())]
    return with_weights[-min(int(parameters.tuned_stages), len(with_weights))]


def _first_moved(classifier: ImageClassifier, parameters: TrainingParameters, curves: Curves) -> int:
    """Return the first stage that moved on the way to the weights that were kept."""
    if curves.kept is None:
        return len(classifier.stages)
    return 0 if curves.phase[curves.kept] == WHOLE_NETWORK else freezing_point(classifier, parameters)


def _fit_embedding(
    classifier: ImageClassifier, feed: Feed, n_images: int, parameters: TrainingParameters, team: Team
) -> None:
    """Fit the 32 principal axes of the training features: small enough to log with every prediction."""
    stages = folded(classifier.stages[feed.first :], feed.plain(np.arange(n_images)[:PROBED_IMAGES]))
    precision = autocast(parameters, classifier.mean.device)

    def features(index_B: np.ndarray) -> torch.Tensor:
        with precision:
            return pooled(stages, feed.plain(index_B)).float()

    with progress_bar() as progress:
        task = progress.add_task("Embedding", total=n_images, note="")
        found_ND = all_features(
            features, n_images, classifier.mean.device, team, partial(progress.advance, task)
        )
    features_ND = found_ND.double().cpu()
    centre = features_ND.mean(0)
    deviations_ND = features_ND - centre
    # eigenvectors of the covariance, the largest variance last: as the axes of an SVD, whatever the number of photos
    axes = torch.linalg.eigh(deviations_ND.T @ deviations_ND).eigenvectors.T.flip(0)
    largest = axes.abs().argmax(1, keepdim=True)
    axes = axes * torch.sign(axes.gather(1, largest))  # which end is up is left open
    width = min(classifier.embedding_axes.shape[1], *deviations_ND.shape)
    classifier.embedding_centre.copy_(centre)
    classifier.embedding_axes.zero_()
    classifier.embedding_axes[:, :width] = axes[:width].T.to(classifier.embedding_axes)


@contextmanager
def repeatable(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch and, on the CPU, refuse operations whose result depends on timing; the old state comes back."""
    before = torch.are_deterministic_algorithms_enabled(), deterministic.fill_uninitialized_memory
    restore = _libraries_state()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        torch.use_deterministic_algorithms(device.type == "cpu")
        deterministic.fill_uninitialized_memory = False  # finds bugs, and costs a tenth of a step
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before[0])
            deterministic.fill_uninitialized_memory = before[1]
            restore()


def _libraries_state() -> Callable[[], None]:
    """Remember numpy's and Python's generators and return what sets them back."""
    of_numpy, of_python = np.random.get_state(), random.getstate()

    def restore() -> None:
        np.random.set_state(of_numpy)
        random.setstate(of_python)

    return restore
