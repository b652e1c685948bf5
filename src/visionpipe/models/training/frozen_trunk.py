"""Labelled pixels, and the activations that a frozen trunk makes of them.

Legend: N images, B batch, K classes, R rivals, V views, C x H x W activations at the freezing point.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import nn

from visionpipe.models.classifier import ImageClassifier, inference_batch_size
from visionpipe.models.parameters import TrainingParameters, View
from visionpipe.models.symmetries import view
from visionpipe.models.training.augment import Augmentation
from visionpipe.models.training.chance import generator
from visionpipe.models.training.distributed import SOLO, Team
from visionpipe.models.training.fold import PROBED_IMAGES, folded
from visionpipe.models.training.memory import Passes, room
from visionpipe.models.training.transfer import sent
from visionpipe.progress import progress_bar

logger = logging.getLogger(__name__)
_COPIED_AT_ONCE = 256  # photos on their way to a GPU, so that a split need not fit into the memory beside it


@dataclass(frozen=True)
class LabelledPixels:
    """Images and their soft targets.

    Attributes
    ----------
    pixels_NHWC : numpy.ndarray
        uint8, may be memory-mapped.
    rows_N : numpy.ndarray
        Which rows of `pixels_NHWC` belong to this split, int64.
    targets_NK : torch.Tensor
        float32 rows that sum to 1.
    """

    pixels_NHWC: np.ndarray
    rows_N: np.ndarray
    targets_NK: torch.Tensor

    def __len__(self) -> int:
        """Count the images."""
        return len(self.rows_N)


class Pixels:
    """The pixels of a split, on the device they are trained on: for good where they fit, else a batch at a time."""

    def __init__(self, data: LabelledPixels, device: torch.device, resident_gib: float) -> None:
        self._data, self._device = data, device
        n_bytes = len(data) * math.prod(data.pixels_NHWC.shape[1:])
        self._resident: torch.Tensor | None = None
        if device.type == "cuda" and n_bytes <= room(device, resident_gib):
            self._resident = torch.empty(
                (len(data), *data.pixels_NHWC.shape[1:]), dtype=torch.uint8, device=device
            )
            for first in range(0, len(data), _COPIED_AT_ONCE):
                some = slice(first, first + _COPIED_AT_ONCE)
                self._resident[some] = torch.from_numpy(data.pixels_NHWC[data.rows_N[some]])

    @property
    def resident(self) -> bool:
        """Whether all of them lie on the GPU."""
        return self._resident is not None

    def take(self, index_B: np.ndarray) -> torch.Tensor:
        """Return (B, H, W, 3) uint8 on the device."""
        if self._resident is not None:
            return self._resident[sent(torch.from_numpy(index_B), self._device)]
        return sent(torch.from_numpy(self._data.pixels_NHWC[self._data.rows_N[index_B]]), self._device)


def soft_targets(
    labels_N: np.ndarray,
    confidence_N: np.ndarray,
    n_classes: int,
    rivals: Sequence[tuple[int, int, float, float]] = (),
) -> torch.Tensor:
    """Return the mean of what each vote says: its confidence for its class, the rest evenly for the others.

    Parameters
    ----------
    labels_N : numpy.ndarray
        Class codes, int.
    confidence_N : numpy.ndarray
        Share of the votes for the label, weighted by their confidence, 0 to 1.
    rivals : sequence of (int, int, float, float)
        Row, code of another class voted for, its share of the votes, and that share weighted by confidence.

    Returns
    -------
    torch.Tensor
        (N, K) float32 rows that sum to 1.
    """
    rows_R, codes_R, votes_R, weight_R = np.array(rivals, float).reshape(-1, 4).T
    rows_R, codes_R = rows_R.astype(int), codes_R.astype(int)
    n_others, n_images = max(n_classes - 1, 1), len(labels_N)
    own_doubt_N = 1 - np.bincount(rows_R, votes_R, n_images) - confidence_N
    rival_doubt_R = votes_R - weight_R
    doubt_N = own_doubt_N + np.bincount(rows_R, rival_doubt_R, n_images)
    # one table and no more: with many classes it is larger than all else here
    targets_NK = np.empty((n_images, n_classes), np.float32)
    targets_NK[:] = (doubt_N / n_others)[:, None]
    targets_NK[np.arange(n_images), labels_N] = confidence_N + (doubt_N - own_doubt_N) / n_others
    targets_NK[rows_R, codes_R] = weight_R + (doubt_N[rows_R] - rival_doubt_R) / n_others
    return torch.from_numpy(targets_NK)


def autocast(parameters: TrainingParameters, device: torch.device) -> torch.autocast | nullcontext:
    """Return the context in which the forward pass runs at the precision asked for."""
    if parameters.precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


class FrozenTrunk:
    """Activations at the freezing point, of every image in every view: cached while they fit in memory.

    Views are the symmetries named and then `augmented` random ones. Without room for the cache, the random views are
    drawn anew each time.

    Parameters
    ----------
    parameters : TrainingParameters
        Without `auto`.
    views : tuple of View
        Symmetries.
    augmented : int
        Random views beside them.
    team : Team
        Each process fills its share of the cache; all of them then hold the whole.
    """

    def __init__(
        self,
        classifier: ImageClassifier,
        data: LabelledPixels,
        cut: int,
        parameters: TrainingParameters,
        views: tuple[View, ...],
        augmented: int = 0,
        team: Team = SOLO,
    ) -> None:
        self.data, self.cut, self.n_views = data, cut, len(views) + augmented
        self._views, self._parameters, self._team = views, parameters, team
        self._classifier = classifier
        self.device = classifier.mean.device
        self._passes = Passes(inference_batch_size(self.device))
        self._autocast = autocast(parameters, self.device)
        self._pixels = Pixels(data, self.device, parameters.resident_gib)
        self.targets_NK = data.targets_NK.to(self.device)
        self._stages = self._folded()
        self._cache_VNCHW: torch.Tensor | None = None
        like = self._run(np.array([0]), 0)
        n_bytes = self.n_views * len(data) * math.prod(like.shape[1:]) * like.element_size()
        allowed = room(self.device, parameters.activation_cache_gib)
        if team.mean(float(n_bytes <= allowed)) == 1:  # they fill it together, or none does
            self._cache_VNCHW = self._fill(like)
        else:
            logger.warning(
                "Activations need %.1f GiB and may have %.1f (training.activation_cache_gib: %.1f, and on a GPU half "
                "of what is free, with the pixels): the trunk runs every epoch",
                *(n_bytes / 2**30, allowed / 2**30, parameters.activation_cache_gib),
            )

    def batch(self, index_B: np.ndarray, view_index_B: np.ndarray) -> torch.Tensor:
        """Return the activations of the given images, each in its given view."""
        if self._cache_VNCHW is not None:
            where = (sent(torch.from_numpy(index), self.device) for index in (view_index_B, index_B))
            return self._cache_VNCHW[*where]
        activations: torch.Tensor | None = None
        for v in np.unique(view_index_B):
            places = np.flatnonzero(view_index_B == v)
            run = partial(self._run, view_index=int(v))
            for some in np.array_split(places, math.ceil(len(places) / self._passes.size)):
                found = torch.cat([rows for _, rows in self._passes.over(run, index_B[some])])
                if activations is None:
                    activations = found.new_empty((len(index_B), *found.shape[1:]))
                activations[sent(torch.from_numpy(some), self.device)] = found
        assert activations is not None, "a batch holds an image"
        return activations

    def _folded(self) -> nn.ModuleList:
        with torch.no_grad():
            images_NCHW = self._classifier.normalise(
                self._pixels.take(np.arange(len(self.data))[:PROBED_IMAGES])
            )
        return folded(self._classifier.stages[: self.cut], images_NCHW)

    def _fill(self, like: torch.Tensor) -> torch.Tensor:
        mine = self._team.share(np.arange(len(self.data)))
        cache_VNCHW = like.new_empty((self.n_views, len(self.data), *like.shape[1:]))
        with progress_bar() as progress:
            each = f"{self.n_views} views of each" if self.n_views > 1 else ""
            task = progress.add_task("Frozen layers", total=self.n_views * len(self.data), note=each)
            for v in range(self.n_views):
                for index_B, rows in self._passes.over(partial(self._run, view_index=v), mine):
                    cache_VNCHW[v, index_B[0] : index_B[-1] + 1] = rows
                    progress.advance(task, len(index_B))
                self._team.spread(cache_VNCHW[v])
                progress.advance(task, len(self.data) - len(mine))  # which the other processes ran
        return cache_VNCHW

    @torch.no_grad()
    def _run(self, index_B: np.ndarray, view_index: int) -> torch.Tensor:
        pixels = self._pixels.take(index_B)
        if view_index < len(self._views):
            images_NCHW = view(self._classifier.normalise(pixels), self._views[view_index])
        else:
            place = ("view", view_index, int(index_B[0]))
            chance = generator(self._parameters.seed, *place, device=self.device)
            augment = Augmentation(self._parameters.augmentation, chance, self._views)
            images_NCHW = self._classifier.normalise(pixels, augment)
        with self._autocast:
            for stage in self._stages:
                images_NCHW = stage(images_NCHW)
        return images_NCHW.flatten(1) if self.cut == len(self._classifier.stages) else images_NCHW
