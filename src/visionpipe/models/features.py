"""Pooled features of the frozen backbone: what the pretrained network sees in a photo, before any training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch

from visionpipe.images.prepare import decode_batches
from visionpipe.images.store import ImageReader
from visionpipe.models.backbones import build_backbone
from visionpipe.models.classifier import ImageClassifier, ModelSpec, inference_batch_size
from visionpipe.models.parameters import TrainingParameters
from visionpipe.models.training.finetune import choose_device, repeatable
from visionpipe.models.training.frozen_trunk import autocast
from visionpipe.models.training.memory import Passes
from visionpipe.models.training.recipe import resolve


@torch.inference_mode()
def pooled_features(batches: Iterable[np.ndarray], parameters: TrainingParameters) -> np.ndarray:
    """Run images through the backbone that training starts from.

    Parameters
    ----------
    batches : iterable of numpy.ndarray
        (B, side, side, 3) uint8, side = `parameters.image_size_px`; any B.
    parameters : TrainingParameters
        Backbone, weights, device and precision.

    Returns
    -------
    numpy.ndarray
        (N, D) float32, in the order of the images.
    """
    device = choose_device(parameters.device)
    parameters, _ = resolve(parameters, torch.zeros(0, 2), device)
    with repeatable(parameters.seed, torch.device("cpu")):  # without pretrained weights they are drawn here
        backbone = build_backbone(parameters.backbone, parameters.weights, parameters.image_size_px)
    spec = ModelSpec(
        backbone=parameters.backbone,
        weights=parameters.weights,
        classes=["", " "],  # its head is not used
        image_size_px=parameters.image_size_px,
    )
    classifier = ImageClassifier(spec, backbone).to(device).eval()
    passes, precision = Passes(inference_batch_size(device)), autocast(parameters, device)
    features = [np.empty((0, backbone.n_features), np.float32)]
    for pixels_BHWC in batches:

        def run(index_B: np.ndarray, pixels_BHWC: np.ndarray = pixels_BHWC) -> torch.Tensor:
            pixels = np.ascontiguousarray(pixels_BHWC[index_B[0] : index_B[-1] + 1])
            with precision:
                features_BD = classifier.features(classifier.normalise(torch.from_numpy(pixels).to(device)))
            return features_BD.float().cpu()

        features += [rows.numpy() for _, rows in passes.over(run, np.arange(len(pixels_BHWC)))]
    return np.concatenate(features)


def stored_features(
    image_ids: Sequence[str], read: ImageReader, parameters: TrainingParameters
) -> np.ndarray:
    """Decode stored images once, in the store's order, and return their pooled features.

    Parameters
    ----------
    image_ids : sequence of str
        The images wanted.
    read : ImageReader
        Streams their bytes.
    parameters : TrainingParameters
        Backbone and image size.

    Returns
    -------
    numpy.ndarray
        (N, D) float32, in the order of `image_ids`. No more than a batch of pixels is in memory.
    """
    order: list[str] = []

    def batches() -> Iterator[np.ndarray]:
        for ids, pixels_BHWC in decode_batches(read, image_ids, parameters.image_size_px):
            order.extend(ids)
            yield pixels_BHWC

    features_ND = pooled_features(batches(), parameters)
    row_of = {image_id: row for row, image_id in enumerate(order)}
    return features_ND[[row_of[image_id] for image_id in image_ids]]
