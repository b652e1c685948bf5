"""From photos to what is appended: inspect each new file once, place it, and account for it.

Every file ends as exactly one row of the file index: stored (`reason` null) or refused (`reason` says why).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from itertools import islice
from typing import NamedTuple

import pandas as pd

from visionpipe.errors import VisionpipeError
from visionpipe.images.file_index import FileIndex
from visionpipe.images.importers import LabelClaim, Photo
from visionpipe.images.inspect import Inspection, Refusal
from visionpipe.images.inspection_pool import inspect_photos
from visionpipe.images.manifest import require_free_names
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

    A file whose source, path, size and modification time are in the file index is not opened again, unless it was
    refused under other limits, for want of a label that it has now, or because it could not be read.

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
        When the sources hold no file at all, or no file that can be used, or an attribute has a reserved name.
    """
    listed = list(photos)
    if not listed and store_index.empty:
        raise VisionpipeError("no photos: the sources of `photos` in the catalog hold no file at all")
    require_free_names(listed)
    ledger = _Ledger(store_index, label_history, parameters)
    files = FileIndex(file_index, parameters)
    yield from _enter_new(listed, files, parameters, ledger.enter, "Ingesting")
    if not ledger.has_images:
        raise VisionpipeError(
            f"no usable photo among {len(listed)} files: {files.reasons(listed)}"
            " (limits: ingestion.* in the parameters)"
        )


def receive(
    photos: Iterable[Photo],
    arrivals_index: pd.DataFrame,
    label_history: pd.DataFrame,
    file_index: pd.DataFrame,
    parameters: IngestionParameters,
) -> Iterator[Chunk]:
    """Keep the photos that production sent: like `ingest`, but none needs a label and none is split.

    Parameters
    ----------
    photos : iterable of Photo
        What arrived. A label that is already known (in a test, in the demo) goes to `labels`, never to a model.
    arrivals_index, label_history, file_index : DataFrame
        What is kept already.
    parameters : IngestionParameters
        Limits and chunk size.

    Yields
    ------
    Chunk
        As `ingest`.

    Raises
    ------
    VisionpipeError
        When an attribute has a reserved name.
    """
    listed = list(photos)
    require_free_names(listed)
    kept = set(arrivals_index["image_id"])
    labels = _LabelLog(label_history)

    def enter(photo: Photo, data: bytes, verdict: Inspection | Refusal, chunk: Chunk) -> _Refused:
        if isinstance(verdict, Refusal):
            return verdict.reason, verdict.detail
        if verdict.image_id not in kept:
            kept.add(verdict.image_id)
            chunk.images.append(_image_row(photo, data, verdict))
        labels.enter(photo, verdict.image_id, chunk)
        return None

    yield from _enter_new(listed, FileIndex(file_index, parameters), parameters, enter, "Receiving")


def _enter_new(
    listed: list[Photo],
    files: FileIndex,
    parameters: IngestionParameters,
    enter: Callable[[Photo, bytes, Inspection | Refusal, Chunk], _Refused],
    description: str,
) -> Iterator[Chunk]:
    """Inspect the files whose outcome is not known and enter each into a chunk."""
    new = [photo for photo in listed if not files.is_known(photo)]
    n_refused = 0
    with progress_bar() as progress:
        task = progress.add_task(description, total=len(new), note="")
        inspected = inspect_photos(new, parameters)
        while rows := list(islice(inspected, parameters.chunk_images)):
            chunk = Chunk([], [], [])
            for photo, data, verdict in rows:
                refused = enter(photo, data, verdict, chunk)
                n_refused += refused is not None
                if row := files.take(photo, verdict, refused):
                    chunk.files.append(row)
                progress.update(task, advance=1, note=f"{n_refused} quarantined" if n_refused else "")
            yield chunk
    if not new:
        yield Chunk([], [], [])


_Refused = tuple[str, str | None] | None
"""Why a file may not enter: reason code and detail."""


class _Ledger:
    """Decides, file by file and in order, what is stored and what is refused."""

    def __init__(
        self, store_index: pd.DataFrame, label_history: pd.DataFrame, parameters: IngestionParameters
    ) -> None:
        self._labels = _LabelLog(label_history)
        self._splitter = GroupSplitter(parameters.split)
        self._stored: set[str] = set()
        for row in store_index.itertuples(index=False):
            self._splitter.assign(
                row.image_id,
                row.perceptual_hash,
                dict(row.attributes),
                self._labels.first_selection(row.image_id, default=None),
            )
            self._stored.add(row.image_id)

    @property
    def has_images(self) -> bool:
        return bool(self._stored)

    def enter(self, photo: Photo, data: bytes, verdict: Inspection | Refusal, chunk: Chunk) -> _Refused:
        """Append the photo's image and label to the chunk, or return why neither may enter."""
        if isinstance(verdict, Refusal):
            return verdict.reason, verdict.detail
        if not photo.claims:
            return "no_label", "put the file into a sub-folder named by its class"
        if verdict.image_id not in self._stored:
            selection = self._labels.first_selection(verdict.image_id, default=photo.claims[0].selection)
            place = self._splitter.assign(
                verdict.image_id, verdict.perceptual_hash, photo.attributes, selection
            )
            if place.conflict:
                return "group_spans_splits", place.conflict
            self._stored.add(verdict.image_id)
            chunk.images.append(_image_row(photo, data, verdict))
        self._labels.enter(photo, verdict.image_id, chunk)
        return None


class _LabelLog:
    """Knows which labels are written already, so that a file read twice is not counted twice."""

    def __init__(self, label_history: pd.DataFrame) -> None:
        first = label_history.drop_duplicates("image_id").set_index("image_id")["selection"]
        self._first_selection = first.astype(object).where(first.notna(), None).to_dict()
        # an import says the same thing whenever it is read; a reviewer who comes back says something new
        is_import = label_history["origin"] == "import"
        labelled_at = label_history["labelled_at"].astype(object).where(~is_import, None)
        said = (label_history[column] for column in ("image_id", "label", "annotator", "origin"))
        self._written = set(zip(*said, labelled_at, strict=True))

    def first_selection(self, image_id: str, *, default: str | None) -> str | None:
        """Return why the image was labelled when it came in."""
        return self._first_selection.get(image_id, default)

    def enter(self, photo: Photo, image_id: str, chunk: Chunk) -> None:
        """Append the photo's labels to the chunk, but for those that are written already."""
        for claim in photo.claims:
            row = _label_row(claim, image_id, photo.arrived_at)
            labelled_at = None if claim.origin == "import" else row["labelled_at"]
            key = (image_id, claim.label, claim.annotator, claim.origin, labelled_at)
            if key not in self._written:
                self._written.add(key)
                self._first_selection.setdefault(image_id, claim.selection)
                chunk.labels.append(row)


def _image_row(photo: Photo, data: bytes, seen: Inspection) -> dict:
    """Make a row of `store.IMAGE_SCHEMA`."""
    return {
        **vars(seen),
        "image": {"bytes": data, "path": photo.path},
        "source": photo.source,
        "arrived_at": photo.arrived_at,
        "attributes": [{"name": name, "value": value} for name, value in photo.attributes.items()],
    }


def _label_row(claim: LabelClaim, image_id: str, arrived_at: datetime) -> dict:
    """Make a row of `store.LABEL_SCHEMA`."""
    return {
        "image_id": image_id,
        "label": claim.label,
        "label_confidence": claim.confidence,
        "annotator": claim.annotator,
        "labelled_at": claim.labelled_at or arrived_at,
        "origin": claim.origin,
        "selection": claim.selection,
    }
