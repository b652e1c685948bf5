"""Small pictures of images, for reports that people look at."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
from PIL import Image

from visionpipe.images.prepare import PreparedImages

_THUMBNAIL_PX = 128


def thumbnail_jpeg(pixels_HWC: np.ndarray) -> bytes:
    """Encode (H, W, 3) uint8 pixels as a JPEG of at most 128 px a side."""
    image = Image.fromarray(np.ascontiguousarray(pixels_HWC))
    image.thumbnail((_THUMBNAIL_PX, _THUMBNAIL_PX))
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=80)
    return encoded.getvalue()


def worst_mistakes(predictions: pd.DataFrame, images: PreparedImages, count: int) -> list[dict]:
    """Pick the wrong predictions that the model was most sure of.

    Parameters
    ----------
    predictions : DataFrame
        `image_id, label, predicted_label, confidence`.
    images : PreparedImages
        Their pixels.
    count : int
        At most so many.

    Returns
    -------
    list of dict
        `image_id, true, predicted, confidence, thumbnail (JPEG bytes)`, most confident first.
    """
    wrong = predictions[predictions["label"] != predictions["predicted_label"]]
    worst = wrong.sort_values(["confidence", "image_id"], ascending=[False, True]).head(count)
    rows_N = images.rows(worst["image_id"].tolist())
    return [
        {
            "image_id": mistake.image_id,
            "true": mistake.label,
            "predicted": mistake.predicted_label,
            "confidence": float(mistake.confidence),
            "thumbnail": thumbnail_jpeg(images.pixels_NHWC[row]),
            "source_path": None,
        }
        for mistake, row in zip(worst.itertuples(), rows_N, strict=True)
    ]
