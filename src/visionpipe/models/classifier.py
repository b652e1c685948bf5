"""The classifier: normalisation, backbone stages, head, temperature and a small embedding, in one module.

Legend: N images, B batch, K classes, D features, E embedding width (32), H and W side, C channels.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from torch import nn

from visionpipe.errors import VisionpipeError
from visionpipe.models.backbones import Backbone, build_backbone
from visionpipe.models.convolutions import exact_convolutions
from visionpipe.models.decisions import Decision
from visionpipe.models.parameters import View
from visionpipe.models.symmetries import view
from visionpipe.models.tensor_files import tensor_bytes
from visionpipe.models.training.memory import Passes

EMBEDDING_WIDTH = 32
_REASON_CHARACTERS = 300  # torch lists every tensor that does not fit
_MASK_SEED = 20160620  # dropout masks are the same in every process that serves a model


class ModelSpec(BaseModel):
    """Everything but the weights: `model.json`."""

    model_config = ConfigDict(extra="forbid")

    backbone: str
    weights: str
    classes: Annotated[list[str], Field(min_length=2)]
    image_size_px: Annotated[int, Field(ge=1)]
    temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    deferral_confidence: float | None = None
    """Predictions below this confidence go to a person; None when no threshold reaches the wanted accuracy."""
    all_deferred: str = ""
    """Why there is no such threshold, as the middle of a sentence; empty where there is one."""
    decision: Decision = Decision()
    """How probabilities become a label."""
    mc_dropout_passes: Annotated[int, Field(ge=0)] = 0
    """Passes with dropout before the head that a prediction is the mean of; 0 is one pass without it."""
    mc_dropout_rate: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of features dropped in each of these passes."""
    averaged_views: Annotated[tuple[View, ...], Field(min_length=1)] = ("identity",)
    """Symmetries of a photo whose features are averaged in a prediction."""
    trained_stages: str = ""
    epochs: int = 0
    visionpipe_version: str = ""

    @model_validator(mode="after")
    def _decision_fits(self) -> Self:
        if not self.decision.fits(len(self.classes)):
            raise ValueError(f"decision: is incomplete or not made for {len(self.classes)} classes")
        return self

    def read(self, logits_NK: np.ndarray, embeddings_NE: np.ndarray) -> Predictions:
        """Turn what the network gives into predictions, by the temperature and the decision rule."""
        probabilities_NK = softmax(logits_NK, self.temperature)
        codes_N, confidence_N = self.decision.decide(probabilities_NK)
        labels = [self.classes[k] for k in codes_N]
        return Predictions(logits_NK, probabilities_NK, embeddings_NE, labels, confidence_N)

    def defers(self, confidence_N: np.ndarray) -> np.ndarray:
        """Say, for each confidence, whether a person should decide: all, when no threshold is known."""
        if self.deferral_confidence is None:
            return np.ones(len(confidence_N), dtype=bool)
        return np.asarray(confidence_N) < self.deferral_confidence


@dataclass(frozen=True)
class Predictions:
    """What a classifier says about N images.

    Attributes
    ----------
    logits_NK : numpy.ndarray
        float32, before the temperature.
    probabilities_NK : numpy.ndarray
        float64 rows that sum to 1, after the temperature.
    embeddings_NE : numpy.ndarray
        (N, 32) float32 projection of the pooled features.
    labels : list of str
        What the decision rule gives, one an image.
    confidence_N : numpy.ndarray
        float64, 0 to 1: the probability of that label, which need not be the highest.
    """

    logits_NK: np.ndarray
    probabilities_NK: np.ndarray
    embeddings_NE: np.ndarray
    labels: list[str]
    confidence_N: np.ndarray

    def take(self, rows_M: np.ndarray) -> Predictions:
        """Return what is said of some of the images, in the given order."""
        return Predictions(
            self.logits_NK[rows_M],
            self.probabilities_NK[rows_M],
            self.embeddings_NE[rows_M],
            [self.labels[row] for row in rows_M],
            self.confidence_N[rows_M],
        )


class ImageClassifier(nn.Module):
    """Classifies square RGB images.

    Parameters
    ----------
    spec : ModelSpec
        Classes, size, temperature.
    backbone : Backbone
        With the weights to start from.
    """

    def __init__(self, spec: ModelSpec, backbone: Backbone) -> None:
        super().__init__()
        self.spec = spec
        self.stages = backbone.stages
        self.head = nn.Linear(backbone.n_features, len(spec.classes))
        self.register_buffer("mean", torch.tensor(backbone.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(backbone.std).view(1, 3, 1, 1))
        self.register_buffer("embedding_centre", torch.zeros(backbone.n_features))
        self.register_buffer("embedding_axes", torch.zeros(backbone.n_features, EMBEDDING_WIDTH))
        self.to(memory_format=torch.channels_last)

    def normalise(
        self, pixels_NHWC: torch.Tensor, augment: Callable[[torch.Tensor], torch.Tensor] | None = None
    ) -> torch.Tensor:
        """Turn (B, H, W, 3) uint8 into normalised (B, 3, H, W) float32, channels last in memory.

        `augment` changes the images, (B, 3, H, W) from 0 to 1, on the way.
        """
        pixels_NCHW = pixels_NHWC.permute(0, 3, 1, 2)
        if augment is None:
            return ((pixels_NCHW / 255) - self.mean).div_(self.std)
        # augmentation works on planes; laying out bytes anew takes a quarter of the time that floats take, and to
        # compute on planes and lay out the result half the time of computing in the other layout
        images_NCHW = augment(pixels_NCHW.contiguous().float().div_(255))
        return (images_NCHW - self.mean).div_(self.std).contiguous(memory_format=torch.channels_last)

    def run_stages(self, activations: torch.Tensor, first: int, last: int | None = None) -> torch.Tensor:
        """Run stages first..last-1; after the last one, activations are pooled features (B, D)."""
        stop = len(self.stages) if last is None else last
        for stage in self.stages[first:stop]:
            activations = stage(activations)
        return activations.flatten(1) if stop == len(self.stages) else activations

    def features(self, images_NCHW: torch.Tensor) -> torch.Tensor:
        """Return pooled features (B, D) of normalised images (B, 3, H, W), the mean over `spec.averaged_views`."""
        views = self.spec.averaged_views
        features_VND = [self.run_stages(view(images_NCHW, name), 0) for name in views]
        return sum(features_VND[1:], start=features_VND[0]) / len(views)

    def forward(self, pixels_NHWC: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits (B, K) and pooled features (B, D) of (B, H, W, 3) uint8 pixels."""
        features_ND = self.features(self.normalise(pixels_NHWC))
        return self.logits(features_ND), features_ND

    def logits(self, features_ND: torch.Tensor) -> torch.Tensor:
        """Return the logits (B, K) of pooled features (B, D), as predictions take them.

        With `spec.mc_dropout_passes` they are the log of the mean probability over so many passes with dropout
        (Gal and Ghahramani, ICML 2016, equation 6). All images meet the same masks, so a prediction depends
        neither on its batch nor on chance.
        """
        passes, rate = self.spec.mc_dropout_passes, self.spec.mc_dropout_rate
        if not passes:
            return self.head(features_ND)
        generator = torch.Generator().manual_seed(_MASK_SEED)
        kept_TD = torch.rand(passes, features_ND.shape[1], generator=generator) >= rate
        masks_TD = (kept_TD / (1 - rate)).to(features_ND)
        log_p_TBK = torch.stack([self.head(features_ND * mask_D).log_softmax(1) for mask_D in masks_TD])
        return log_p_TBK.logsumexp(0) - math.log(passes)

    def embed(self, features_ND: torch.Tensor) -> torch.Tensor:
        """Project pooled features (B, D) to the embedding (B, 32)."""
        return (features_ND - self.embedding_centre) @ self.embedding_axes

    @torch.inference_mode()
    def predict(self, pixels_NHWC: np.ndarray) -> Predictions:
        """Classify images.

        Parameters
        ----------
        pixels_NHWC : numpy.ndarray
            (N, side, side, 3) uint8, side = `spec.image_size_px`.
        """
        return self.predict_batches([pixels_NHWC])

    @torch.inference_mode()
    @exact_convolutions()
    def predict_batches(self, batches: Iterable[np.ndarray]) -> Predictions:
        """Classify a stream of (B, side, side, 3) uint8 batches of any size.

        As exactly on a GPU as on a CPU: thresholds that are found by the logits of one hold for those of the other.
        """
        self.eval()
        device = self.mean.device
        passes = Passes(inference_batch_size(device))
        n_classes = len(self.spec.classes)
        found = [np.empty((0, n_classes + EMBEDDING_WIDTH), np.float32)]
        for pixels_BHWC in batches:

            def run(index_B: np.ndarray, pixels_BHWC: np.ndarray = pixels_BHWC) -> torch.Tensor:
                # memory-mapped images are read-only, which torch does not take
                pixels = np.require(pixels_BHWC[index_B[0] : index_B[-1] + 1], requirements=["C", "W"])
                logits_BK, features_BD = self(torch.from_numpy(pixels).to(device))
                return torch.cat([logits_BK.float(), self.embed(features_BD).float()], dim=1).cpu()

            found += [rows.numpy() for _, rows in passes.over(run, np.arange(len(pixels_BHWC)))]
        logits_NK, embeddings_NE = np.split(np.concatenate(found), [n_classes], axis=1)
        return self.spec.read(logits_NK, embeddings_NE)


def inference_batch_size(device: torch.device) -> int:
    """Return how many images to run at once: on a CPU so few that activations stay in its cache (3x faster)."""
    return 256 if device.type == "cuda" else 8


def softmax(logits_NK: np.ndarray, temperature: float) -> np.ndarray:
    """Return float64 probabilities (N, K) of logits divided by the temperature."""
    from scipy.special import softmax as scipy_softmax

    return scipy_softmax(logits_NK.astype(np.float64) / temperature, axis=1)


def save_classifier(classifier: ImageClassifier, folder: Path) -> None:
    """Write `weights.safetensors` and `model.json` into a folder."""
    (folder / "weights.safetensors").write_bytes(tensor_bytes(classifier.state_dict()))
    (folder / "model.json").write_text(classifier.spec.model_dump_json(indent=2) + "\n")


def weights_sha256(classifier: ImageClassifier) -> str:
    """Return the SHA-256 of `weights.safetensors` as `save_classifier` writes it."""
    return hashlib.sha256(tensor_bytes(classifier.state_dict())).hexdigest()


def load_classifier(folder: Path) -> ImageClassifier:
    """Read a classifier; nothing is unpickled.

    Raises
    ------
    VisionpipeError
        When a file is missing, is no model of this program, or its weights do not fit its backbone.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        spec = ModelSpec.model_validate_json((folder / "model.json").read_bytes())
        classifier = ImageClassifier(spec, build_backbone(spec.backbone, "none", spec.image_size_px))
        classifier.load_state_dict(load_file(folder / "weights.safetensors"))
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, found['loc']))} {found['msg']}" for found in error.errors())
        raise VisionpipeError(
            f"{folder}: this model cannot be loaded: model.json: {wrong.strip()}"
        ) from error
    except (OSError, ValueError, RuntimeError, SafetensorError, VisionpipeError) as error:
        reason = " ".join(str(error).split())[:_REASON_CHARACTERS]
        raise VisionpipeError(f"{folder}: this model cannot be loaded: {reason}") from error
    return classifier.eval()
