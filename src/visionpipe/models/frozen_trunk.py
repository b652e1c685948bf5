"""Labelled pixels, and the activations that a frozen trunk makes of them.

Legend: N images, B batch, K classes, V views, C x H x W activations at the freezing point.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch

from visionpipe.models.augment import view
from visionpipe.models.classifier import ImageClassifier, inference_batch_size
from visionpipe.models.parameters import TrainingParameters, View
from visionpipe.progress import progress_bar

logger = logging.getLogger(__name__)


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


def soft_targets(labels_N: np.ndarray, confidence_N: np.ndarray, n_classes: int) -> torch.Tensor:
    """Spread the doubt of a label evenly over the other classes.

    Parameters
    ----------
    labels_N : numpy.ndarray
        Class codes, int.
    confidence_N : numpy.ndarray
        Probability that the label is right, 0 to 1.

    Returns
    -------
    torch.Tensor
        (N, K) float32 rows that sum to 1.
    """
    confidence = torch.tensor(np.array(confidence_N), dtype=torch.float32).view(-1, 1)
    targets_NK = ((1 - confidence) / max(n_classes - 1, 1)).repeat(1, n_classes)
    return targets_NK.scatter_(1, torch.tensor(np.array(labels_N)).long().view(-1, 1), confidence)


def autocast(parameters: TrainingParameters, device: torch.device) -> torch.autocast | nullcontext:
    """Return the context in which the forward pass runs at the precision asked for."""
    if parameters.precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


class FrozenTrunk:
    """Activations at the freezing point, of every image in every view: cached while they fit in memory."""

    def __init__(
        self,
        classifier: ImageClassifier,
        data: LabelledPixels,
        cut: int,
        parameters: TrainingParameters,
        views: tuple[View, ...],
    ) -> None:
        self.data, self.views = data, views
        self._classifier, self._cut = classifier, cut
        self.device = classifier.mean.device
        self._batch_size = inference_batch_size(self.device)
        self._autocast = autocast(parameters, self.device)
        self.targets_NK = data.targets_NK.to(self.device)
        self._cache_VNCHW: torch.Tensor | None = None
        shape = self._run(np.array([0]), views[0]).shape[1:]
        n_bytes = len(views) * len(data) * math.prod(shape) * 4
        if n_bytes <= parameters.activation_cache_gib * 2**30:
            self._cache_VNCHW = self._fill(shape)
        else:
            logger.warning(
                "Activations need %.1f GiB (training.activation_cache_gib: %.1f): the trunk runs every epoch",
                n_bytes / 2**30,
                parameters.activation_cache_gib,
            )

    def batches(self, view_index: int = 0) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
        """Stream all images in one view, in order, as (index (B,), activations)."""
        for start in range(0, len(self.data), self._batch_size):
            index_B = np.arange(start, min(start + self._batch_size, len(self.data)))
            yield index_B, self.batch(index_B, np.full_like(index_B, view_index))

    def batch(self, index_B: np.ndarray, view_index_B: np.ndarray) -> torch.Tensor:
        """Return the activations of the given images, each in its given view."""
        if self._cache_VNCHW is not None:
            return self._cache_VNCHW[torch.from_numpy(view_index_B), torch.from_numpy(index_B)]
        return torch.stack(
            [self._run(index_B[i : i + 1], self.views[v])[0] for i, v in enumerate(view_index_B)]
        )

    def _fill(self, shape: torch.Size) -> torch.Tensor:
        cache = torch.empty((len(self.views), len(self.data), *shape), device=self.device)
        with progress_bar() as progress:
            task = progress.add_task("Frozen layers", total=cache.shape[0] * cache.shape[1], note="")
            for v, name in enumerate(self.views):
                for start in range(0, len(self.data), self._batch_size):
                    index = np.arange(start, min(start + self._batch_size, len(self.data)))
                    cache[v, start : start + len(index)] = self._run(index, name)
                    progress.advance(task, len(index))
        return cache

    @torch.no_grad()
    def _run(self, index_B: np.ndarray, view_name: str) -> torch.Tensor:
        pixels = torch.from_numpy(np.ascontiguousarray(self.data.pixels_NHWC[self.data.rows_N[index_B]]))
        with self._autocast:
            images_NCHW = view(self._classifier.normalise(pixels.to(self.device)), view_name)
            return self._classifier.run_stages(images_NCHW, 0, self._cut).float()
