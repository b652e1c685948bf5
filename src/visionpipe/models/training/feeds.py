"""What a phase of training is fed: cached activations of a frozen trunk, or pixels, varied anew each time.

Legend: N images, B batch, C x H x W activations or images.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Protocol

import numpy as np
import pandas as pd
import torch

from visionpipe.models.classifier import ImageClassifier
from visionpipe.models.parameters import TrainingParameters
from visionpipe.models.training.augment import Augmentation
from visionpipe.models.training.chance import generator
from visionpipe.models.training.distributed import Team
from visionpipe.models.training.frozen_trunk import FrozenTrunk, LabelledPixels, Pixels
from visionpipe.models.training.growth import side_at


class Feed(Protocol):
    """Training and validation images as the first stage that moves takes them."""

    first: int
    """That stage."""
    targets_NK: torch.Tensor
    held_out_NK: torch.Tensor

    def stream(
        self, batches: Sequence[np.ndarray], place: tuple[str | int, ...]
    ) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
        """Yield each batch of positions with its input, float32 on the device; `place` ends in the epoch."""

    def plain(self, index_B: np.ndarray) -> torch.Tensor:
        """Return training images as they are."""

    def held_out(self, index_B: np.ndarray) -> torch.Tensor:
        """Return validation images as they are."""


class CachedFeed:
    """Activations at the freezing point; each image comes in one of its views, drawn anew each epoch.

    An image that comes to a process more than once in an epoch (`balanced_sampling`) comes in one view after the other.
    """

    def __init__(self, training: FrozenTrunk, validation: FrozenTrunk, seed: int) -> None:
        self.first = training.cut
        self.targets_NK, self.held_out_NK = training.targets_NK, validation.targets_NK
        self._training, self._validation, self._seed = training, validation, seed

    def stream(
        self, batches: Sequence[np.ndarray], place: tuple[str | int, ...]
    ) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
        """See `Feed`."""
        chance = generator(self._seed, "views", *place)
        n_images = len(self.targets_NK)  # drawn for all, so that every process draws the same
        views_N = torch.randint(self._training.n_views, (n_images,), generator=chance).numpy()
        order = np.concatenate(batches)
        times = pd.Series(order).groupby(order).cumcount().to_numpy()  # that each has come before
        views = np.split(
            (views_N[order] + times) % self._training.n_views, np.cumsum([*map(len, batches)])[:-1]
        )
        for index_B, view_B in zip(batches, views, strict=True):
            yield index_B, self._training.batch(index_B, view_B).float()

    def plain(self, index_B: np.ndarray) -> torch.Tensor:
        """See `Feed`."""
        return self._training.batch(index_B, np.zeros_like(index_B)).float()

    def held_out(self, index_B: np.ndarray) -> torch.Tensor:
        """See `Feed`."""
        return self._validation.batch(index_B, np.zeros_like(index_B)).float()


class PixelFeed:
    """Photos; each is augmented anew each time. The next batch is read while one is trained on."""

    first = 0

    def __init__(
        self,
        classifier: ImageClassifier,
        training: LabelledPixels,
        validation: LabelledPixels,
        parameters: TrainingParameters,
        team: Team,
    ) -> None:
        self._classifier, self._parameters, self._team = classifier, parameters, team
        self._device = classifier.mean.device
        self.targets_NK = training.targets_NK.to(self._device)
        self.held_out_NK = validation.targets_NK.to(self._device)
        self._training = Pixels(training, self._device, parameters.resident_gib)
        self._validation = Pixels(validation, self._device, parameters.resident_gib)

    def stream(
        self, batches: Sequence[np.ndarray], place: tuple[str | int, ...]
    ) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
        """See `Feed`."""
        chance = generator(
            self._parameters.seed, "augmentation", *place, self._team.rank, device=self._device
        )
        augment = Augmentation(self._parameters.augmentation, chance, self._parameters.views)
        vary = partial(augment, side_px=side_at(self._parameters, int(place[-1])))
        with ThreadPoolExecutor(1) as reader:
            coming: Future[torch.Tensor] | None = None
            for position, index_B in enumerate(batches):
                pixels = (coming or reader.submit(self._training.take, index_B)).result()
                if position + 1 < len(batches):
                    coming = reader.submit(self._training.take, batches[position + 1])
                with torch.no_grad():
                    images_NCHW = self._classifier.normalise(pixels, vary)
                yield index_B, images_NCHW

    def plain(self, index_B: np.ndarray) -> torch.Tensor:
        """See `Feed`."""
        return self._classifier.normalise(self._training.take(index_B))

    def held_out(self, index_B: np.ndarray) -> torch.Tensor:
        """See `Feed`."""
        return self._classifier.normalise(self._validation.take(index_B))
