"""Small pictures of images, for reports that people look at."""

from __future__ import annotations

import io
from collections.abc import Collection

import numpy as np
import pandas as pd
from PIL import Image

from visionpipe.images.decode import to_8_bit
from visionpipe.images.exif import upright_turn
from visionpipe.images.prepare import PreparedImages
from visionpipe.images.store import ImageReader

_THUMBNAIL_PX = 128


def thumbnail_jpeg(pixels_HWC: np.ndarray) -> bytes:
    """Encode (H, W, 3) uint8 pixels as a JPEG of at most 128 px a side."""
    image = Image.fromarray(np.ascontiguousarray(pixels_HWC))
    image.thumbnail((_THUMBNAIL_PX, _THUMBNAIL_PX))
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=80)
    return encoded.getvalue()


def photo_thumbnails(read: ImageReader, image_ids: Collection[str]) -> dict[str, bytes]:
    """Make thumbnails of stored photos, upright and in their own proportions.

    Returns
    -------
    dict
        Image id -> JPEG of at most 128 px a side.
    """
    made = {}
    for image_id, data in read(image_ids):
        with Image.open(io.BytesIO(data)) as image:
            image.draft("RGB", (2 * _THUMBNAIL_PX, 2 * _THUMBNAIL_PX))
            small = to_8_bit(image).convert("RGB")
            turn = upright_turn(image)
            small.thumbnail((_THUMBNAIL_PX, _THUMBNAIL_PX))
            made[image_id] = thumbnail_jpeg(np.asarray(small if turn is None else small.transpose(turn)))
    return made


def with_paths(rows: pd.DataFrame, image_store: pd.DataFrame) -> pd.DataFrame:
    """Add the `path` that each image was first found under, so that a page can name the file."""
    paths = image_store[["image_id", "path"]].drop_duplicates("image_id")
    return rows.drop(columns="path", errors="ignore").merge(paths, on="image_id", how="left")


def worst_mistakes(predictions: pd.DataFrame, images: PreparedImages, count: int) -> list[dict]:
    """Pick the wrong predictions that the model was most sure of.

    Parameters
    ----------
    predictions : DataFrame
        `image_id, label, predicted_label, confidence`, and `path` where `with_paths` added it.
    images : PreparedImages
        Their pixels.
    count : int
        At most so many.

    Returns
    -------
    list of dict
        `image_id, true, predicted, confidence, thumbnail (JPEG bytes), source_path`, most confident first.
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
            "source_path": getattr(mistake, "path", None),
        }
        for mistake, row in zip(worst.itertuples(), rows_N, strict=True)
    ]
