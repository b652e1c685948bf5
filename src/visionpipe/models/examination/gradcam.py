"""Where a model looked: Grad-CAM, and pictures of it.

Legend: N images, C channels, H x W cells of the last feature map, T tokens.
"""

from __future__ import annotations

import math
from contextlib import ExitStack

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional

from visionpipe.images.gallery import thumbnail_jpeg, worst_mistakes
from visionpipe.images.prepare import PreparedImages
from visionpipe.metrics.evaluation import codes_of
from visionpipe.models.classifier import ImageClassifier
from visionpipe.models.symmetries import restored

_TINT = np.array([255.0, 90.0, 0.0])
_EXTRA_TOKENS = (0, 1, 2, 5)  # class, distillation and register tokens come before those of the patches


def gradcam(classifier: ImageClassifier, pixels_NHWC: np.ndarray, codes_N: np.ndarray) -> np.ndarray | None:
    """Map how much each place of an image spoke for a class.

    Cells of the last feature map are summed over channels, each weighted by the mean gradient of the class's logit;
    what speaks against the class is cut off. Patch tokens of a transformer are cells, too. A classifier that averages
    views has a map of each; they are laid upon one another.

    Parameters
    ----------
    classifier : ImageClassifier
        Left as it is, in evaluation mode.
    pixels_NHWC : numpy.ndarray
        (N, side, side, 3) uint8.
    codes_N : numpy.ndarray
        Class codes, int.

    Returns
    -------
    numpy.ndarray or None
        (N, side, side) float32, 0 to 1 (the strongest place; all 0 where nothing spoke for the class). None when no
        stage of the network gives a map of the image.

    References
    ----------
    Selvaraju et al., Grad-CAM: Visual Explanations from Deep Networks, ICCV 2017, equations 1 and 2.
    """
    classifier.eval()
    maps = []
    for row, code in enumerate(codes_N):  # one by one: gradients of a batch add to memory, and N is small
        found = _one_map(classifier, pixels_NHWC[row : row + 1], int(code))
        if found is None:
            return None
        maps.append(found)
    return np.stack(maps) if maps else np.empty((0, *pixels_NHWC.shape[1:3]), np.float32)


def _one_map(classifier: ImageClassifier, pixels_1HWC: np.ndarray, code: int) -> np.ndarray | None:
    pixels = torch.from_numpy(np.array(pixels_1HWC)).to(classifier.mean.device)
    views, maps = classifier.spec.averaged_views, list[torch.Tensor]()

    def keep(_stage: nn.Module, _given: object, activations: torch.Tensor) -> None:
        if _as_map(activations) is not None:
            maps.append(activations)

    with torch.enable_grad(), ExitStack() as hooks:
        for stage in classifier.stages[:-1]:  # what comes out of the last one are features
            hooks.enter_context(stage.register_forward_hook(keep))
        images_1CHW = classifier.normalise(pixels).requires_grad_(True)
        logit = classifier.logits(classifier.features(images_1CHW))[0, code]
        if not maps:
            return None
        gradients = torch.autograd.grad(logit, maps)
    n_maps = len(maps) // len(views)  # of each view
    # the last block of a transformer hands on its class token alone: nothing comes back to the patches behind it
    last = max((place for place in range(n_maps) if _as_map(gradients[place]).any()), default=n_maps - 1)
    heat_11HW = torch.zeros(())
    for each, gradient, name in zip(maps[last::n_maps], gradients[last::n_maps], views, strict=True):
        weights_1C11 = _as_map(gradient).mean((2, 3), keepdim=True)
        spoke_11HW = (weights_1C11 * _as_map(each.detach())).sum(1, keepdim=True)
        heat_11HW = heat_11HW + restored(spoke_11HW, name)
    heat_11HW = heat_11HW.clamp(min=0)
    heat_11HW = heat_11HW / heat_11HW.max().clamp(min=1e-12)
    side = pixels_1HWC.shape[1]
    grown = functional.interpolate(heat_11HW, (side, side), mode="bilinear", align_corners=False)
    return grown[0, 0].float().cpu().numpy()


def _as_map(activations: torch.Tensor) -> torch.Tensor | None:
    """See activations as (N, C, H, W) with more than one cell; None when they are no map of the image."""
    if activations.ndim == 4:
        channels_last = activations.shape[1] == activations.shape[2] != activations.shape[3]
        map_NCHW = activations.permute(0, 3, 1, 2) if channels_last else activations
        return map_NCHW if map_NCHW.shape[2] * map_NCHW.shape[3] > 1 else None
    if activations.ndim == 3:
        for extra in _EXTRA_TOKENS:
            cells = math.isqrt(max(0, activations.shape[1] - extra))
            if cells > 1 and cells**2 == activations.shape[1] - extra:
                return activations[:, extra:].transpose(1, 2).unflatten(2, (cells, cells))
    return None


def overlay(pixels_HWC: np.ndarray, heat_HW: np.ndarray) -> np.ndarray:
    """Tint a photo where a model looked: grey elsewhere, orange where the heat is 1. Returns (H, W, 3) uint8."""
    grey_HW1 = pixels_HWC.astype(float) @ np.array([[0.299], [0.587], [0.114]])
    strength_HW1 = 0.75 * heat_HW[:, :, None]
    return np.clip(grey_HW1 * (1 - strength_HW1) + _TINT * strength_HW1, 0, 255).astype(np.uint8)


def mistakes_looked_at(
    classifier: ImageClassifier, predictions: pd.DataFrame, images: PreparedImages, count: int
) -> list[dict]:
    """Picture the worst mistakes, each with what spoke for the label that was given.

    Parameters
    ----------
    classifier : ImageClassifier
        That made the predictions.
    predictions : DataFrame
        `image_id, label, predicted_label, confidence`.
    images : PreparedImages
        Their pixels.
    count : int
        At most so many.

    Returns
    -------
    list of dict
        As `worst_mistakes`, with `heat` (JPEG bytes of the tinted photo) unless the network gives no map.
    """
    mistakes = worst_mistakes(predictions, images, count)
    if not mistakes:
        return []
    pixels_NHWC = images.pixels_NHWC[images.rows([mistake["image_id"] for mistake in mistakes])]
    codes_N = codes_of(pd.Series([m["predicted"] for m in mistakes]), classifier.spec.classes)
    heat_NHW = gradcam(classifier, pixels_NHWC, codes_N)
    if heat_NHW is None:
        return mistakes
    return [
        {**mistake, "heat": thumbnail_jpeg(overlay(pixels_HWC, heat_HW))}
        for mistake, pixels_HWC, heat_HW in zip(mistakes, pixels_NHWC, heat_NHW, strict=True)
    ]
