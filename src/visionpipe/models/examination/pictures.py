"""Pictures of what a model was shown in its examination."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from visionpipe.images.gallery import thumbnail_jpeg
from visionpipe.images.importers import Photo
from visionpipe.images.prepare import PreparedImages
from visionpipe.metrics.parameters import EvaluationParameters
from visionpipe.models.examination.corruptions import CORRUPTIONS, corrupt
from visionpipe.models.examination.examine import spread_sample
from visionpipe.models.examination.shortcuts import hide
from visionpipe.models.examination.unrelated import unrelated_pictures

_STRENGTH = 3
_UNRELATED = 12


def example_pictures(
    predictions: pd.DataFrame,
    classes: Sequence[str],
    images: PreparedImages,
    unrelated_photos: Sequence[Photo],
    parameters: EvaluationParameters,
) -> dict[str, list[dict]]:
    """Picture one test image in each corruption and half hidden, and some unrelated pictures.

    Parameters
    ----------
    predictions, images, unrelated_photos, parameters
        As in `examine`.
    classes : sequence of str
        In the order of the predictions' probabilities.

    Returns
    -------
    dict
        `corruptions`, `hidden`, `unrelated` -> list of `caption`, `thumbnail` (JPEG bytes); empty where the part is
        switched off.
    """
    chosen = parameters.examination
    shown = spread_sample(predictions, min(1, chosen.images), classes, parameters.seed)
    pixels_NHWC = images.pixels_NHWC[images.rows(shown["image_id"].tolist())]
    examples: dict[str, list[dict]] = {"corruptions": [], "hidden": [], "unrelated": []}
    if len(shown):
        examples["corruptions"] = [_picture("as it is", pixels_NHWC)] + [
            _picture(f"{name} {_STRENGTH}", corrupt(pixels_NHWC, name, _STRENGTH, parameters.seed))
            for name in CORRUPTIONS
        ]
        examples["hidden"] = [
            _picture("centre hidden", hide(pixels_NHWC, chosen.border, centre=True)),
            _picture("border hidden", hide(pixels_NHWC, chosen.border, centre=False)),
        ]
    if len(shown) and chosen.unrelated_images:
        count, side_px = min(_UNRELATED, chosen.unrelated_images), images.pixels_NHWC.shape[1]
        pixels_MHWC, _ = unrelated_pictures(unrelated_photos, count, side_px, parameters.seed)
        examples["unrelated"] = [_picture("", pixels_MHWC[m : m + 1]) for m in range(len(pixels_MHWC))]
    return examples


def _picture(caption: str, pixels_1HWC: np.ndarray) -> dict:
    return {"caption": caption, "thumbnail": thumbnail_jpeg(pixels_1HWC[0])}
