"""The file index: what became of every file that was ever looked at.

It is what makes a re-run cheap (a known file is not opened) and complete (every file is stored or refused).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from sys import intern
from typing import Any, NamedTuple

import pandas as pd

from visionpipe.images.importers import Photo
from visionpipe.images.inspect import Inspection, Refusal
from visionpipe.images.labels import current_labels
from visionpipe.images.parameters import IngestionParameters
from visionpipe.images.store import as_tuples

_KEPT_OUT = {
    "no_label": "stored earlier, but the label history does not name it",
    "tied_label": "its annotators disagree, evenly; a correction or a review decides (ingestion.labels.tie)",
    "group_spans_splits": "stored earlier; under the present split rules it would tie two splits together",
}
IMPORTER_REASONS = {"no_image", "ambiguous_image", "bad_row", "bad_document"}
"""What an importer refuses before any file is opened; it may say something else the next time."""
_MAY_PASS = {"decoder_hung", "decoder_died", "out_of_memory"}
"""A slow server or a full memory may cause it as well as the file: it is believed when it comes twice."""
_NOT_YET_BELIEVED = ""
"""Stands for the limits of a refusal that is to be looked at again under any."""
_QUARANTINE = ["source", "path", "reason", "detail", "n_bytes", "sha256"]


def _shared(value: Any) -> Any:
    """Return None for a null, and one object for strings that come again and again (hashes, reasons)."""
    if isinstance(value, str):
        return intern(value)
    return None if pd.isna(value) else value


class _Outcome(NamedTuple):
    """What became of a file when it was last looked at."""

    n_bytes: int
    mtime_ns: int
    sha256: str
    image_id: str | None
    reason: str | None
    detail: str | None
    limits: str


class FileIndex:
    """Looks files up, and takes up what becomes of new ones.

    Parameters
    ----------
    rows : DataFrame
        Rows of `store.FILE_SCHEMA`; the newest row of a path counts.
    stored : iterable of str
        The images that the store holds. A file whose image it has lost counts as never looked at.
    parameters : IngestionParameters
        The present limits.

    Attributes
    ----------
    n_lost : int
        Images that these files became and the store no longer holds.
    """

    def __init__(self, rows: pd.DataFrame, stored: Iterable[str], parameters: IngestionParameters) -> None:
        self._limits, self._lasting = parameters.limits_key, parameters.lasting_key
        outcomes = {
            (intern(row[0]), row[1]): _Outcome(*(_shared(value) for value in row[2:]))
            for row in as_tuples(rows[["source", "path", *_Outcome._fields]])
        }
        lost = {one.image_id for one in outcomes.values() if one.image_id}.difference(stored)
        self._outcomes = {place: one for place, one in outcomes.items() if one.image_id not in lost}
        self.n_lost = len(lost)

    def is_known(self, photo: Photo) -> bool:
        """Say whether opening the file again could tell nothing new."""
        outcome = self._outcome_of_same_bytes(photo)
        match outcome:
            case None | _Outcome(reason="withdrawn"):
                return False
            case _ if photo.refusal or outcome.reason in IMPORTER_REASONS:
                return photo.refusal == (outcome.reason, outcome.detail)
            case _Outcome(reason=None):
                return True
            case _Outcome(reason="no_label"):
                return not photo.claims
            case _Outcome(reason="unreadable"):
                return False  # a permission or a network drive may have been mended, unseen
            case _:
                return outcome.limits == self._limits

    def unknown(self, listed: Iterable[Photo]) -> list[Photo]:
        """Return the files that must be opened."""
        return [photo for photo in listed if not self.is_known(photo)]

    def withdraw(self, listed: Iterable[Photo]) -> list[dict]:
        """Return rows to append for refused inputs that no source holds any more: quarantine forgets them."""
        refused = {
            place: outcome
            for place, outcome in self._outcomes.items()
            if outcome.reason not in (None, "withdrawn")
        }
        for photo in listed:
            refused.pop((photo.source, photo.path), None)
        return [
            {"source": source, "path": path, **outcome._replace(reason="withdrawn", detail=None)._asdict()}
            for (source, path), outcome in refused.items()
        ]

    def count_under_other_limits(self, listed: Iterable[Photo]) -> int:
        """Count the stored photos that were let in under other limits, rules or privacy settings."""
        outcomes = (self._outcomes.get((photo.source, photo.path)) for photo in listed)
        stored = (one.limits for one in outcomes if one and one.reason is None)
        return sum(1 for limits in stored if limits.partition("-")[0] != self._lasting)

    def is_refused(self, photo: Photo) -> bool:
        """Say whether the file is in quarantine."""
        outcome = self._outcomes.get((photo.source, photo.path))
        return outcome is not None and outcome.reason is not None

    def stored_as(self, photo: Photo) -> str | None:
        """Return the image that the file became, if its bytes have not changed since."""
        outcome = self._outcome_of_same_bytes(photo)
        return outcome.image_id if outcome else None

    def _outcome_of_same_bytes(self, photo: Photo) -> _Outcome | None:
        outcome = self._outcomes.get((photo.source, photo.path))
        if outcome and (outcome.n_bytes, outcome.mtime_ns) == (photo.n_bytes, photo.mtime_ns):
            return outcome
        return None

    def take(
        self, photo: Photo, verdict: Inspection | Refusal, refused: tuple[str, str | None] | None
    ) -> dict | None:
        """Return the row to append, or None where it would say again what the newest row says."""
        reason, detail = refused or (None, None)
        before = self._outcome_of_same_bytes(photo)
        is_believed = reason not in _MAY_PASS or (before is not None and before.reason in _MAY_PASS)
        row = {
            "source": photo.source,
            "path": photo.path,
            "n_bytes": photo.n_bytes,
            "mtime_ns": photo.mtime_ns,
            "sha256": verdict.sha256 if isinstance(verdict, Refusal) else verdict.original_sha256,
            "image_id": None if refused or isinstance(verdict, Refusal) else verdict.image_id,
            "reason": reason,
            "detail": detail,
            "limits": self._limits if is_believed else _NOT_YET_BELIEVED,
        }
        outcome = _Outcome(**{column: row[column] for column in _Outcome._fields})
        if self._outcomes.get((photo.source, photo.path)) == outcome:
            return None
        self._outcomes[photo.source, photo.path] = outcome
        return row

    def reasons(self, photos: Iterable[Photo]) -> str:
        """Count why these files were refused, commonest first."""
        found = (self._outcomes[photo.source, photo.path].reason for photo in photos)
        return ", ".join(f"{count} {reason}" for reason, count in Counter(found).most_common())


def build_quarantine(
    file_index: pd.DataFrame, store_index: pd.DataFrame, label_history: pd.DataFrame, manifest: pd.DataFrame
) -> pd.DataFrame:
    """List everything that is not in the manifest, with its reason.

    Parameters
    ----------
    file_index : DataFrame
        All files ever looked at; the newest row of a path counts.
    store_index, label_history, manifest : DataFrame
        Stored images, their labels, and the images in use. A stored image that cannot be used is listed too.

    Returns
    -------
    DataFrame
        `source, path, reason, detail, n_bytes, sha256`, sorted by source and path.
    """
    newest = file_index.drop_duplicates(["source", "path"], keep="last")
    refused = newest[newest["reason"].notna() & (newest["reason"] != "withdrawn")][_QUARANTINE]
    out = store_index[~store_index["image_id"].isin(manifest["image_id"])]
    labels = current_labels(label_history).reindex(out["image_id"])
    reasons = [
        "no_label" if pd.isna(label) else "tied_label" if tied else "group_spans_splits"
        for label, tied in zip(labels["label"], labels["tied"], strict=True)
    ]
    kept_out = pd.DataFrame(
        {
            "source": out["source"],
            "path": out["path"],
            "reason": reasons,
            "detail": [_KEPT_OUT[reason] for reason in reasons],
            "n_bytes": out["n_bytes"],
            "sha256": out["original_sha256"],
        }
    )
    frames = [frame for frame in (refused, kept_out) if not frame.empty]
    return pd.concat(frames or [refused]).sort_values(["source", "path"], ignore_index=True)
