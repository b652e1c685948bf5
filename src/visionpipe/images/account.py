"""What the log says of an ingestion: what is in quarantine, and what the sources no longer say."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from visionpipe.counting import counted
from visionpipe.images.file_index import FileIndex
from visionpipe.images.importers import Photo
from visionpipe.images.label_log import LabelLog

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)
_NAMED = 3


def log_what_is_gone(
    listed: Sequence[Photo], stored_before: Iterable[str], files: FileIndex, labels: LabelLog
) -> None:
    """Say which stored photos, and which of their labels, no source has any more: both stay in use.

    Parameters
    ----------
    listed : sequence of Photo
        All that the sources hold.
    stored_before : iterable of str
        Images that were in the store when the run began.
    files : FileIndex
        What became of all files.
    labels : LabelLog
        What is known of the labels.
    """
    became = [(photo, files.stored_as(photo)) for photo in listed]
    if n_gone := len(set(stored_before) - {image_id for _, image_id in became}):
        logger.info(
            "%s no longer in the sources; what was taken in stays in use",
            f"{counted(n_gone, 'stored photo')} {'is' if n_gone == 1 else 'are'}",
        )
    labelled = {image_id for photo, image_id in became if photo.claims}
    silent = {
        image_id: photo.path
        for photo, image_id in became
        if image_id is not None and image_id not in labelled and labels.was_imported(image_id)
    }
    if silent:
        logger.warning(
            "the sources no longer say a label of %s (%s); each keeps the one it had until another one is said",
            counted(len(silent), "stored photo"),
            ", ".join(list(silent.values())[:_NAMED]) + (", …" if len(silent) > _NAMED else ""),
        )


def log_what_is_lost(files: FileIndex) -> None:
    """Warn of images that were stored once and that the store does not hold any more."""
    if files.n_lost:
        logger.warning(
            "%s stored once and not in the store any more (was a shard deleted?); what the sources still hold of it is "
            "taken in anew, and where other images were tied to it, splits may change: if that is not meant, bring "
            "the store back (dvc checkout)",
            f"{counted(files.n_lost, 'photo')} {'was' if files.n_lost == 1 else 'were'}",
        )


def log_contradictions(manifest: pd.DataFrame, store_index: pd.DataFrame) -> None:
    """Say which images in use have labels that contradict each other.

    Parameters
    ----------
    manifest : DataFrame
        `image_id, label, contradicted`.
    store_index : DataFrame
        `image_id, path`.
    """
    doubtful = manifest.loc[manifest["contradicted"], ["image_id", "label"]]
    if len(doubtful):
        rows = doubtful.head(_NAMED).merge(store_index[["image_id", "path"]], on="image_id")
        named = [f"{row.path}: {row.label}" for row in rows.itertuples()]
        logger.warning(
            "%s labels that contradict each other, and one was taken (%s); validation lists them all",
            f"{len(doubtful):,} {'image has' if len(doubtful) == 1 else 'images have'}",
            "; ".join(named) + ("; …" if len(doubtful) > _NAMED else ""),
        )


def log_moved(manifest: pd.DataFrame, store_index: pd.DataFrame) -> None:
    """Warn of images in use that are in another split than the one they came into.

    Parameters
    ----------
    manifest : DataFrame
        `image_id, split`.
    store_index : DataFrame
        `image_id, first_split`.
    """
    splits = manifest[["image_id", "split"]].merge(store_index[["image_id", "first_split"]], on="image_id")
    moved = splits[splits["first_split"].notna() & (splits["split"] != splits["first_split"])]
    if n_moved := len(moved):
        n_learned = ((moved["first_split"] == "train") & (moved["split"] == "test")).sum()
        logger.warning(
            "%s in another split than the one they came into, for `ingestion.split` was changed; %s of them went from "
            "train to test, so that models trained before have learned from them",
            f"{counted(n_moved, 'stored photo')} {'is' if n_moved == 1 else 'are'}",
            f"{n_learned:,}",
        )


def log_outcome(listed: Sequence[Photo], n_new: int, files: FileIndex) -> None:
    """Say how many files were new, and why those are in quarantine that are.

    Parameters
    ----------
    listed : sequence of Photo
        All that the sources hold.
    n_new : int
        Files that were looked at.
    files : FileIndex
        What became of all of them.
    """
    if not n_new:
        known = "the one file is" if len(listed) == 1 else f"all {len(listed):,} files are"
        logger.info("nothing new: %s known", known)
        return
    refused = [photo for photo in listed if files.is_refused(photo)]
    if refused:
        logger.warning(
            "%s of %s %s in quarantine (the catalog's `quarantine` names each with its reason): %s",
            f"{len(refused):,}",
            counted(len(listed), "file"),
            "is" if len(refused) == 1 else "are",
            files.reasons(refused),
        )
