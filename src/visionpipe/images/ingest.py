"""From photos to what is appended: inspect each new file once, place it, and account for it.

Every file ends as exactly one row of the file index: stored (`reason` null) or refused (`reason` says why).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from typing import NamedTuple

import pandas as pd

from visionpipe.counting import counted
from visionpipe.errors import VisionpipeError
from visionpipe.images import fork_server
from visionpipe.images.account import log_outcome, log_what_is_gone, log_what_is_lost
from visionpipe.images.faces import require_blurring
from visionpipe.images.file_index import FileIndex
from visionpipe.images.importers import Photo
from visionpipe.images.inspect import Inspection, Refusal
from visionpipe.images.inspection_pool import inspect_photos
from visionpipe.images.label_log import LabelLog
from visionpipe.images.ledger import Ledger, image_row
from visionpipe.images.manifest import require_columns, require_free_names
from visionpipe.images.parameters import IngestionParameters
from visionpipe.images.review_labels import spell_like_classes
from visionpipe.images.store import StoredLooks, as_tuples
from visionpipe.progress import progress_bar

logger = logging.getLogger(__name__)


class Chunk(NamedTuple):
    """Rows to append to the image store, the label history and the file index."""

    images: list[dict]
    labels: list[dict]
    files: list[dict]


Inspected = tuple[Photo, bytes, Inspection | Refusal]
_Refused = tuple[str, str | None] | None
"""Why a file may not enter: reason code and detail."""


def ingest(
    photos: Iterable[Photo],
    store_index: pd.DataFrame,
    looks: StoredLooks,
    label_history: pd.DataFrame,
    file_index: pd.DataFrame,
    parameters: IngestionParameters,
) -> Iterator[Chunk]:
    """Inspect the photos that are new and yield what to append, chunk by chunk.

    A file whose source, path, size and modification time are in the file index is not opened again, unless the store
    has lost its image, or it was refused under other limits, for want of a label that it has now, because it could not
    be read, or because its decoder failed for the first time. What the sources say of it is compared all the same.

    Parameters
    ----------
    photos : iterable of Photo
        Everything that the sources hold.
    store_index, label_history, file_index : DataFrame
        What is stored already.
    looks : StoredLooks
        What the stored images look like, to find near-duplicates of them.
    parameters : IngestionParameters
        Limits, split rules and chunk size.

    Yields
    ------
    Chunk
        At most `parameters.chunk_images` files and about `parameters.chunk_bytes` each; one empty chunk when there
        is nothing new.

    Raises
    ------
    VisionpipeError
        When the sources hold no file at all, or no file that can be used, an attribute has a reserved name, or a
        source contains people and the privacy record is incomplete.
    """
    listed = spell_like_classes(list(photos), label_history)
    columns = {name for photo in listed for name in photo.attributes}
    columns.update(name for pairs in store_index["attributes"] for name, _ in pairs)
    if listed:
        require_columns(parameters.split, columns)
    if not listed and store_index.empty:
        raise VisionpipeError("no photos: the sources of `photos` in the catalog hold no file at all")
    _require_permissions(listed, parameters)
    files = FileIndex(file_index, store_index["image_id"], parameters)
    log_what_is_lost(files)
    listing = _Listing(listed, files)
    labels = LabelLog(label_history, listing.photos_of)

    def enter(batch: list[Inspected], chunk: Chunk) -> Iterator[_Refused]:
        links = ledger.find_duplicates([seen for photo, _, seen in batch if photo.claims])
        for photo, data, seen in batch:
            refused, image, said = ledger.enter(photo, data, seen, links)
            chunk.images.extend(image)
            chunk.labels.extend(said)
            if refused is None:
                listing.add(photo, seen.image_id)
            yield refused

    if n_other := files.count_under_other_limits(listed):
        logger.warning(
            "%d stored photos were taken in under other settings of `ingestion` and stay as they are; to apply the "
            "present ones to them, start over with an empty store",
            n_other,
        )
    if n_changed := _count_changed_attributes(listed, files, store_index):
        logger.warning(
            "the sources now say other attributes of %d stored photos; an image keeps those that it came in with, "
            "for its split may hang on them; to apply the present ones, start over with an empty store",
            n_changed,
        )
    new = files.unknown(listed)
    if new and parameters.scheduler is None:
        fork_server.start_early()
    # what is stored is replayed to place new ones
    replayed = store_index if new else store_index.head(0)
    with closing(Ledger(replayed, looks, labels, parameters)) as ledger:
        yield from _enter_new(listed, new, files, labels, parameters, enter, "Ingesting", needs_label=True)
        if not ledger.has_images and store_index.empty:
            raise VisionpipeError(
                f"no usable photo among {counted(len(listed), 'file')}: {files.reasons(listed)}"
                " (limits: ingestion.* in the parameters)"
            )
    log_outcome(listed, len(new), files)
    log_what_is_gone(listed, store_index["image_id"], files, labels)


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
    _require_permissions(listed, parameters)
    kept = set(arrivals_index["image_id"])
    files = FileIndex(file_index, kept, parameters)
    log_what_is_lost(files)
    listing = _Listing(listed, files)
    labels = LabelLog(label_history, listing.photos_of)

    def enter(batch: list[Inspected], chunk: Chunk) -> Iterator[_Refused]:
        for photo, data, seen in batch:
            if isinstance(seen, Refusal):
                yield seen.reason, seen.detail
                continue
            if seen.image_id not in kept:
                kept.add(seen.image_id)
                chunk.images.append(image_row(photo, data, seen))
            chunk.labels.extend(labels.enter(photo, seen.image_id))
            listing.add(photo, seen.image_id)
            yield None

    new = files.unknown(listed)
    yield from _enter_new(listed, new, files, labels, parameters, enter, "Receiving", needs_label=False)


def _require_permissions(listed: list[Photo], parameters: IngestionParameters) -> None:
    """Refuse what must not be taken in at all, before the first file is opened."""
    require_free_names(listed)
    parameters.privacy.require_for(sorted({photo.source for photo in listed if photo.contains_people}))
    if parameters.privacy.blur_faces:
        require_blurring()


def _count_changed_attributes(listed: list[Photo], files: FileIndex, store_index: pd.DataFrame) -> int:
    """Count the stored files of which the sources say other attributes than their image came in with."""
    if not any(photo.attributes for photo in listed) and not any(store_index["attributes"]):
        return 0
    columns = store_index[["image_id", "source", "path", "attributes"]]
    kept = {tuple(place): pairs for *place, pairs in as_tuples(columns)}
    found = ((photo, kept.get((files.stored_as(photo), photo.source, photo.path))) for photo in listed)
    return sum(1 for photo, pairs in found if pairs is not None and dict(pairs) != photo.attributes)


class _Listing:
    """Finds the photos of an image among all that the sources hold; made when first needed."""

    def __init__(self, listed: list[Photo], files: FileIndex) -> None:
        self._listed = listed
        self._files = files
        self._photos: dict[str, list[Photo]] | None = None

    def add(self, photo: Photo, image_id: str) -> None:
        """Take up a photo that was entered just now."""
        if self._photos is not None:
            self._photos.setdefault(image_id, []).append(photo)

    def photos_of(self, image_id: str) -> list[Photo]:
        if self._photos is None:
            self._photos = {}
            for photo in self._listed:
                if stored := self._files.stored_as(photo):
                    self._photos.setdefault(stored, []).append(photo)
        return self._photos.get(image_id, [])


def _enter_new(
    listed: list[Photo],
    new: list[Photo],
    files: FileIndex,
    labels: LabelLog,
    parameters: IngestionParameters,
    enter: Callable[[list[Inspected], Chunk], Iterator[_Refused]],
    description: str,
    *,
    needs_label: bool,
) -> Iterator[Chunk]:
    """Inspect the files whose outcome is not known and enter each into a chunk."""
    stored = [(photo, image_id) for photo in listed if (image_id := files.stored_as(photo))]
    relabelled = [(photo, image_id) for photo, image_id in stored if labels.lacks(photo, image_id)]
    said = [row for photo, image_id in relabelled for row in labels.enter(photo, image_id)]
    gone = files.withdraw(listed)
    if not new:
        yield Chunk([], said + labels.settle(), gone)
        return
    if said or gone:
        yield Chunk([], said, gone)
    with progress_bar("files") as progress:
        task = progress.add_task(description, total=len(new), note="")
        tracked = _tracked(
            _inspected(new, parameters),
            lambda note: progress.update(task, advance=1, note=note),
            needs_label=needs_label,
        )
        for batch in _chunks(tracked, parameters):
            chunk = Chunk([], [], [])
            for (photo, _, seen), refused in zip(batch, enter(batch, chunk), strict=True):
                if row := files.take(photo, seen, refused):
                    chunk.files.append(row)
            yield chunk
    if replaced := labels.settle():
        yield Chunk([], replaced, [])


def _inspected(photos: list[Photo], parameters: IngestionParameters) -> Iterator[Inspected]:
    """Inspect the photos; what the importer has refused already needs no looking at."""
    for photo in photos:
        if photo.refusal:
            reason, detail = photo.refusal
            yield photo, b"", Refusal(reason, detail, sha256="", n_bytes=photo.n_bytes)
    readable = [photo for photo in photos if not photo.refusal]
    if readable:
        yield from inspect_photos(readable, parameters)


def _tracked(
    inspected: Iterator[Inspected], advance: Callable[[str], None], *, needs_label: bool
) -> Iterator[Inspected]:
    """Show how far the inspection is, and how many cannot enter."""
    n_refused = 0
    for photo, data, seen in inspected:
        n_refused += isinstance(seen, Refusal) or (needs_label and not photo.claims)
        advance(f"{n_refused} quarantined" if n_refused else "")
        yield photo, data, seen


def _chunks(inspected: Iterator[Inspected], parameters: IngestionParameters) -> Iterator[list[Inspected]]:
    chunk: list[Inspected] = []
    n_bytes = 0
    for row in inspected:
        chunk.append(row)
        n_bytes += len(row[1])
        if len(chunk) >= parameters.chunk_images or n_bytes >= parameters.chunk_bytes:
            yield chunk
            chunk, n_bytes = [], 0
    if chunk:
        yield chunk
