"""The catalog's own guard of the manifest: cheap enough to run at every load and save."""

from __future__ import annotations

from typing import TYPE_CHECKING

from visionpipe.counting import counted
from visionpipe.errors import VisionpipeError

if TYPE_CHECKING:
    import pandas as pd

_REQUIRED = ("image_id", "label", "label_confidence", "group_id", "split")


def guard_manifest(manifest: pd.DataFrame) -> pd.DataFrame:
    """Return the manifest unchanged if it can be one; whether its data are good is validation's question.

    Parameters
    ----------
    manifest : DataFrame
        What is about to be saved, or was just loaded.

    Raises
    ------
    VisionpipeError
        When a column is missing, an image is listed twice, or a group has images in two splits.
    """
    missing = [column for column in _REQUIRED if column not in manifest.columns]
    if missing:
        raise VisionpipeError(f"manifest: no column {', '.join(missing)}; run the ingestion pipeline")
    twice = manifest["image_id"][manifest["image_id"].duplicated()]
    if len(twice):
        raise VisionpipeError(
            f"manifest: listed twice: {counted(len(twice), 'image')}, first {twice.iloc[0]}"
        )
    splits = manifest.groupby("group_id")["split"].nunique()
    if (splits > 1).any():
        raise VisionpipeError(f"manifest: group {splits.idxmax()} has images in {splits.max()} splits")
    return manifest
