"""The file index: what became of every file that was ever looked at.

It is what makes a re-run cheap (a known file is not opened) and complete (every file is stored or refused).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pandas as pd

from visionpipe.images.importers import Photo
from visionpipe.images.inspect import Inspection, Refusal
from visionpipe.images.parameters import IngestionParameters

_QUARANTINE = ["source", "path", "reason", "detail", "n_bytes", "sha256"]
_COMPARED = ["n_bytes", "mtime_ns", "sha256", "reason", "detail", "limits"]


class FileIndex:
    """Looks files up, and takes up what becomes of new ones.

    Parameters
    ----------
    rows : DataFrame
        Rows of `store.FILE_SCHEMA`; the newest row of a path counts.
    parameters : IngestionParameters
        The present limits.
    """

    def __init__(self, rows: pd.DataFrame, parameters: IngestionParameters) -> None:
        self._limits = parameters.limits_key
        self._outcomes: dict[tuple[str, str], tuple] = {
            (row[0], row[1]): tuple(None if pd.isna(value) else value for value in row[2:])
            for row in rows[["source", "path", *_COMPARED]].itertuples(index=False, name=None)
        }

    def is_known(self, photo: Photo) -> bool:
        """Say whether looking at the file again could tell nothing new."""
        if (photo.source, photo.path) not in self._outcomes:
            return False
        n_bytes, mtime_ns, _, reason, _, limits = self._outcomes[photo.source, photo.path]
        if (n_bytes, mtime_ns) != (photo.n_bytes, photo.mtime_ns):
            return False
        match reason:
            case None:
                return True
            case (
                "unreadable"
            ):  # a permission or a network drive may have been mended, and the file shows no trace
                return False
            case "no_label":
                return not photo.claims
            case _:
                return limits == self._limits

    def take(
        self, photo: Photo, verdict: Inspection | Refusal, refused: tuple[str, str | None] | None
    ) -> dict | None:
        """Return the row to append, or None where it would say again what the newest row says."""
        reason, detail = refused or (None, None)
        row = {
            "source": photo.source,
            "path": photo.path,
            "n_bytes": photo.n_bytes,
            "mtime_ns": photo.mtime_ns,
            "sha256": verdict.sha256 if isinstance(verdict, Refusal) else verdict.image_id,
            "reason": reason,
            "detail": detail,
            "limits": self._limits,
        }
        outcome = tuple(row[column] for column in _COMPARED)
        if self._outcomes.get((photo.source, photo.path)) == outcome:
            return None
        self._outcomes[photo.source, photo.path] = outcome
        return row

    def reasons(self, photos: Iterable[Photo]) -> str:
        """Count why these files were refused, commonest first."""
        found = (self._outcomes[photo.source, photo.path][3] for photo in photos)
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
    refused = newest[newest["reason"].notna()][_QUARANTINE]
    out = store_index[~store_index["image_id"].isin(manifest["image_id"])]
    is_labelled = out["image_id"].isin(label_history["image_id"])
    kept_out = pd.DataFrame(
        {
            "source": out["source"],
            "path": out["path"],
            "reason": is_labelled.map({True: "group_spans_splits", False: "no_label"}),
            "detail": is_labelled.map(
                {
                    True: "stored earlier; under the present split rules it would tie two splits together",
                    False: "stored earlier, but the label history does not name it",
                }
            ),
            "n_bytes": out["n_bytes"],
            "sha256": out["image_id"],
        }
    )
    frames = [frame for frame in (refused, kept_out) if not frame.empty]
    return pd.concat(frames or [refused]).sort_values(["source", "path"], ignore_index=True)
