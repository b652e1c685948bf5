"""From photos to what is appended: inspect each new file once, place it, and account for it.

Every file ends as exactly one row of the file index: stored (`reason` null) or refused (`reason` says why).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import NamedTuple

import pandas as pd

from visionpipe.errors import VisionpipeError
from visionpipe.images.importers import Photo
from visionpipe.images.inspect import Inspection, Refusal
from visionpipe.images.inspection_pool import inspect_photos
from visionpipe.images.parameters import IngestionParameters
from visionpipe.images.splits import GroupSplitter
from visionpipe.progress import progress_bar


class Chunk(NamedTuple):
    """Rows to append to the image store, the label history and the file index."""

    images: list[dict]
    labels: list[dict]
    files: list[dict]


def ingest(
    photos: Iterable[Photo],
    store_index: pd.DataFrame,
    label_history: pd.DataFrame,
    file_index: pd.DataFrame,
    parameters: IngestionParameters,
) -> Iterator[Chunk]:
    """Inspect the photos that are new and yield what to append, chunk by chunk.

    A file whose source, path, size and modification time are in the file index is not opened again.

    Parameters
    ----------
    photos : iterable of Photo
        Everything that the sources hold.
    store_index, label_history, file_index : DataFrame
        What is stored already.
    parameters : IngestionParameters
        Limits, split rules and chunk size.

    Yields
    ------
    Chunk
        At most `parameters.chunk_images` files each; one empty chunk when there is nothing new.

    Raises
    ------
    VisionpipeError
        When the sources hold no file at all, or no file that can be used.
    """
    listed = list(photos)
    if not listed and store_index.empty:
        raise VisionpipeError("no photos: the sources of `photos` in the catalog hold no file at all")
    ledger = _Ledger(store_index, label_history, parameters)
    yield from _enter_new(listed, file_index, parameters, ledger.enter, "Ingesting")
    if not ledger.has_images:
        raise VisionpipeError(
            f"no usable photo among {len(listed)} files: {ledger.reasons or 'none of them is new'}"
            " (limits: ingestion.* in the parameters)"
        )


def receive(
    photos: Iterable[Photo],
    arrivals_index: pd.DataFrame,
    file_index: pd.DataFrame,
    parameters: IngestionParameters,
) -> Iterator[Chunk]:
    """Keep the photos that production sent: like `ingest`, but none needs a label and none is split.

    Parameters
    ----------
    photos : iterable of Photo
        What arrived. A label that is already known (in a test, in the demo) goes to `labels`, never to a model.
    arrivals_index, file_index : DataFrame
        What is kept already.
    parameters : IngestionParameters
        Limits and chunk size.

    Yields
    ------
    Chunk
        As `ingest`.
    """
    kept = set(arrivals_index["image_id"])

    def enter(photo: Photo, data: bytes, verdict: Inspection | Refusal, chunk: Chunk) -> None:
        refused = (verdict.reason, verdict.detail) if isinstance(verdict, Refusal) else None
        if isinstance(verdict, Inspection) and verdict.image_id not in kept:
            kept.add(verdict.image_id)
            chunk.images.append(_image_row(photo, data, verdict))
            if photo.label is not None:
                chunk.labels.append(_label_row(photo, verdict.image_id))
        chunk.files.append(_file_row(photo, verdict, refused))

    yield from _enter_new(list(photos), file_index, parameters, enter, "Receiving")


def _enter_new(
    listed: list[Photo],
    file_index: pd.DataFrame,
    parameters: IngestionParameters,
    enter: Callable[[Photo, bytes, Inspection | Refusal, Chunk], None],
    description: str,
) -> Iterator[Chunk]:
    """Inspect the files that the file index does not know and enter each into a chunk."""
    seen = {(row.source, row.path): (row.n_bytes, row.mtime_ns) for row in file_index.itertuples(index=False)}
    new = [
        photo for photo in listed if seen.get((photo.source, photo.path)) != (photo.n_bytes, photo.mtime_ns)
    ]
    n_refused = 0
    with progress_bar() as progress:
        task = progress.add_task(description, total=len(new), note="")
        inspected = inspect_photos(new, parameters)
        while rows := list(islice(inspected, parameters.chunk_images)):
            chunk = Chunk([], [], [])
            for photo, data, verdict in rows:
                enter(photo, data, verdict, chunk)
                n_refused += chunk.files[-1]["reason"] is not None
                progress.update(task, advance=1, note=f"{n_refused} quarantined" if n_refused else "")
            yield chunk
    if not new:
        yield Chunk([], [], [])


def build_quarantine(
    file_index: pd.DataFrame, store_index: pd.DataFrame, manifest: pd.DataFrame
) -> pd.DataFrame:
    """List everything that is not in the manifest, with its reason.

    Parameters
    ----------
    file_index : DataFrame
        All files ever looked at; the newest row of a path counts.
    store_index, manifest : DataFrame
        Stored images, and those in use. A stored image that the present split rules keep out is listed too.

    Returns
    -------
    DataFrame
        `source, path, reason, detail, n_bytes, sha256`, sorted by source and path.
    """
    columns = ["source", "path", "reason", "detail", "n_bytes", "sha256"]
    newest = file_index.drop_duplicates(["source", "path"], keep="last")
    refused = newest[newest["reason"].notna()][columns]
    out = store_index[~store_index["image_id"].isin(manifest["image_id"])]
    kept_out = pd.DataFrame(
        {
            "source": out["source"],
            "path": out["path"],
            "reason": "group_spans_splits",
            "detail": "stored earlier; under the present split rules it would tie two splits together",
            "n_bytes": out["n_bytes"],
            "sha256": out["image_id"],
        }
    )
    frames = [frame for frame in (refused, kept_out) if not frame.empty]
    return pd.concat(frames or [refused]).sort_values(["source", "path"], ignore_index=True)


class _Ledger:
    """Decides, file by file and in order, what is stored and what is refused."""

    def __init__(
        self, store_index: pd.DataFrame, label_history: pd.DataFrame, parameters: IngestionParameters
    ) -> None:
        first_label = label_history.drop_duplicates("image_id").set_index("image_id")["selection"].to_dict()
        self._splitter = GroupSplitter(parameters.split)
        self._stored: set[str] = set()
        for row in store_index.itertuples(index=False):
            selection = first_label.get(row.image_id)
            self._splitter.assign(
                row.image_id,
                row.perceptual_hash,
                dict(row.attributes or ()),
                selection if isinstance(selection, str) else None,
            )
            self._stored.add(row.image_id)
        self._reasons: Counter[str] = Counter()
        self._labels = set(
            zip(*(label_history[c] for c in ("image_id", "label", "annotator", "origin")), strict=True)
        )

    @property
    def has_images(self) -> bool:
        return bool(self._stored)

    @property
    def reasons(self) -> str:
        return ", ".join(f"{count} {reason}" for reason, count in self._reasons.most_common())

    def enter(self, photo: Photo, data: bytes, verdict: Inspection | Refusal, chunk: Chunk) -> None:
        """Append the photo's rows to the chunk: always one to the file index."""
        if isinstance(verdict, Refusal):
            refused = (verdict.reason, verdict.detail)
        elif photo.label is None:
            refused = ("no_label", "put the file into a sub-folder named by its class")
        elif verdict.image_id in self._stored:
            refused = None
        else:
            place = self._splitter.assign(
                verdict.image_id, verdict.perceptual_hash, photo.attributes, photo.selection
            )
            refused = ("group_spans_splits", place.conflict) if place.conflict else None
            if not refused:
                self._stored.add(verdict.image_id)
                chunk.images.append(_image_row(photo, data, verdict))
        if refused:
            self._reasons[refused[0]] += 1
        else:
            self._enter_label(photo, verdict.image_id, chunk)
        chunk.files.append(_file_row(photo, verdict, refused))

    def _enter_label(self, photo: Photo, image_id: str, chunk: Chunk) -> None:
        key = (image_id, photo.label, photo.annotator, photo.origin)
        if key not in self._labels:
            self._labels.add(key)
            chunk.labels.append(_label_row(photo, image_id))


def _image_row(photo: Photo, data: bytes, seen: Inspection) -> dict:
    """Make a row of `store.IMAGE_SCHEMA`."""
    return {
        **vars(seen),
        "image": {"bytes": data, "path": photo.path},
        "source": photo.source,
        "arrived_at": photo.arrived_at,
        "attributes": list(photo.attributes.items()),
    }


def _label_row(photo: Photo, image_id: str) -> dict:
    """Make a row of `store.LABEL_SCHEMA`."""
    return {
        "image_id": image_id,
        "label": photo.label,
        "label_confidence": photo.label_confidence,
        "annotator": photo.annotator,
        "labelled_at": photo.labelled_at or photo.arrived_at,
        "origin": photo.origin,
        "selection": photo.selection,
    }


def _file_row(photo: Photo, verdict: Inspection | Refusal, refused: tuple[str, str | None] | None) -> dict:
    """Make a row of `store.FILE_SCHEMA`."""
    reason, detail = refused or (None, None)
    return {
        "source": photo.source,
        "path": photo.path,
        "n_bytes": photo.n_bytes,
        "mtime_ns": photo.mtime_ns,
        "sha256": verdict.sha256 if isinstance(verdict, Refusal) else verdict.image_id,
        "reason": reason,
        "detail": detail,
    }
