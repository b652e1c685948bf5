"""What beside the object could tell a model the label, looked for in the photos themselves.

Legend: N images, F features.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pandas as pd

from visionpipe.images.manifest import telling_columns
from visionpipe.images.prepare import PreparedImages
from visionpipe.metrics.parameters import EvaluationParameters
from visionpipe.metrics.shortcuts import border_features, border_width, columns_as_features, find_shortcuts

_BATCH = 256  # images read from the memory map at a time


def shortcuts(
    manifest: pd.DataFrame, images: PreparedImages, parameters: EvaluationParameters
) -> list[dict[str, Any]] | None:
    """Look for what tells the label beside the object; see `find_shortcuts`. None when it is switched off."""
    chosen = parameters.examination
    if not chosen.shortcut_images:
        return None
    rows = _by_lot(manifest, chosen.shortcut_images, parameters.seed)
    ring_NF = np.concatenate(
        [
            border_features(images.pixels_NHWC[part], chosen.border)
            for part in np.array_split(images.rows(rows["image_id"].tolist()), -(-len(rows) // _BATCH))
        ]
    )
    tables = {
        "image size and format": [c for c in ("width", "height", "format") if c in rows],
        "file size": [c for c in ("n_bytes",) if c in rows],
        **{column: [column] for column in ("source", *telling_columns(manifest)) if column in rows},
    }
    sources = {"border of the photo": ring_NF}
    for name, columns in tables.items():
        features_NF = columns_as_features(rows[columns]) if columns else ring_NF[:, :0]
        if features_NF.shape[1] > len(columns):  # a column of a single value tells nothing
            sources[name] = features_NF
    return find_shortcuts(
        sources,
        rows["label"].tolist(),
        rows["group_id"].tolist(),
        level=parameters.level,
        seed=parameters.seed,
    )


def hide(pixels_NHWC: np.ndarray, border: float, *, centre: bool) -> np.ndarray:
    """Cover the centre of photos, or their border, with the mean colour of what is covered.

    Parameters
    ----------
    pixels_NHWC : numpy.ndarray
        uint8, square, 3 pixels a side or more.
    border : float
        Width of the border on each side, as a share of the side, 0 to 0.5.
    centre : bool
        Whether the centre is hidden, or all but the centre.
    """
    side = pixels_NHWC.shape[1]
    width = border_width(side, border)
    covered = np.zeros((side, side), dtype=bool)
    covered[width : side - width, width : side - width] = True
    covered ^= not centre
    result = pixels_NHWC.copy()
    result[:, covered] = np.round(pixels_NHWC[:, covered].mean(axis=1, keepdims=True))
    return result


def _by_lot(rows: pd.DataFrame, count: int, seed: int) -> pd.DataFrame:
    """Draw rows of a manifest; a row's luck depends on its image and the seed alone."""
    luck = [hashlib.sha256(f"{seed}/{image_id}".encode()).digest() for image_id in rows["image_id"]]
    order = sorted(range(len(rows)), key=luck.__getitem__)
    return rows.iloc[order[:count]]
