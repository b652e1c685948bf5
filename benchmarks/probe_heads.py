"""Heads trained on cached features of real photos: a model in a fraction of a second, so that hundreds can compete.

Features come from the frozen backbone once and are reduced to their principal axes; each head is fitted by the code
that fits it in `kedro run` with `training.mode: probe`, and calibrated. Legend: N photos, D features, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from real_photos import RealPhotos
from torch import nn

from visionpipe.images.decode import decode_rgb
from visionpipe.metrics.evaluation import codes_of
from visionpipe.models.calibrate import fit_temperature
from visionpipe.models.classifier import softmax
from visionpipe.models.features import pooled_features
from visionpipe.models.parameters import TrainingParameters
from visionpipe.models.training.distributed import SOLO
from visionpipe.models.training.finetune import repeatable
from visionpipe.models.training.frozen_trunk import soft_targets
from visionpipe.models.training.head import draw_head, fit_head
from visionpipe.models.training.losses import build_loss, judging_weights, target_counts
from visionpipe.models.training.recipe import resolve

CPU = torch.device("cpu")
_BATCH = 64  # photos decoded at a time
_AXES = 64  # as accurate as all 1,280 features of ELPV, and ten times as fast
_EPOCHS = 30
Predict = Callable[[np.ndarray], np.ndarray]
"""From rows of the photos, (M,) int64, to calibrated probabilities, (M, K)."""


@dataclass(frozen=True)
class SeenPhotos:
    """Photos as the frozen backbone sees them.

    Attributes
    ----------
    manifest : DataFrame
        As in `real_photos.RealPhotos`.
    features_ND : numpy.ndarray
        float32.
    slices : tuple of str
        Columns of the manifest that are slices.
    """

    manifest: pd.DataFrame
    features_ND: np.ndarray
    slices: tuple[str, ...] = ()

    @property
    def classes(self) -> list[str]:
        """The K classes in order."""
        return sorted(self.manifest["label"].unique())

    @property
    def codes_N(self) -> np.ndarray:
        """Class codes, int64."""
        return codes_of(self.manifest["label"], self.classes)


def seen_by_backbone(photos: RealPhotos, side_px: int) -> SeenPhotos:
    """Decode all photos, run them through the pretrained backbone once, and keep the principal axes."""

    def batches() -> Iterator[np.ndarray]:
        paths = photos.manifest["path"].tolist()
        for start in range(0, len(paths), _BATCH):
            some = paths[start : start + _BATCH]
            yield np.stack([decode_rgb(Path(path).read_bytes(), side_px) for path in some])

    parameters = TrainingParameters(image_size_px=side_px, device="cpu")
    features_ND = pooled_features(batches(), parameters)
    centred_ND = features_ND - features_ND.mean(axis=0)
    axes_AD = np.linalg.svd(centred_ND, full_matrices=False)[2][:_AXES]
    return SeenPhotos(photos.manifest, np.ascontiguousarray(centred_ND @ axes_AD.T))


def train_head(photos: SeenPhotos, learn_M: np.ndarray, hold_M: np.ndarray, seed: int) -> Predict:
    """Fit a head as `training.mode: probe` does, on one view of each photo.

    Parameters
    ----------
    learn_M, hold_M
        Rows to learn from; rows that choose the epoch and the temperature.
    seed
        Of first weights, order and dropout.
    """
    n_classes = len(photos.classes)
    trunks = [_Trunk.of(photos, rows, n_classes) for rows in (learn_M, hold_M)]
    wanted = TrainingParameters(
        mode="probe", views=("identity",), probe_epochs=_EPOCHS, seed=seed, device="cpu"
    )
    parameters, _ = resolve(wanted, trunks[0].targets_NK, CPU)
    head = nn.Linear(photos.features_ND.shape[1], n_classes)
    model = SimpleNamespace(head=head, stages=nn.ModuleList())
    learned_NK, held_NK = (trunk.targets_NK for trunk in trunks)
    losses = (
        build_loss(parameters.loss, target_counts(learned_NK)),
        judging_weights(parameters.loss, learned_NK, held_NK),
    )
    with repeatable(seed, CPU):
        draw_head(head, seed)
        fit_head(cast(Any, model), cast(Any, trunks[0]), cast(Any, trunks[1]), *losses, parameters, SOLO)

    @torch.no_grad()
    def logits(rows_M: np.ndarray) -> np.ndarray:
        return head(torch.from_numpy(photos.features_ND[rows_M])).numpy().astype(float)

    temperature = fit_temperature(logits(hold_M), photos.codes_N[hold_M])
    return lambda rows_M: softmax(logits(rows_M), temperature)


@dataclass(frozen=True)
class _Trunk:
    """What `fit_head` reads of a `FrozenTrunk`, with the features instead of activations."""

    data: np.ndarray
    targets_NK: torch.Tensor
    features_ND: torch.Tensor
    cut: int = 0
    n_views: int = 1
    device: torch.device = CPU

    @staticmethod
    def of(photos: SeenPhotos, rows_M: np.ndarray, n_classes: int) -> _Trunk:
        confidence = photos.manifest["label_confidence"].to_numpy(float)[rows_M]
        targets_NK = soft_targets(photos.codes_N[rows_M], confidence, n_classes)
        return _Trunk(rows_M, targets_NK, torch.from_numpy(photos.features_ND[rows_M]))

    def batch(self, index_B: np.ndarray, _: np.ndarray) -> torch.Tensor:
        return self.features_ND[torch.from_numpy(index_B)]
