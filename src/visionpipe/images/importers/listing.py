"""List the photos of a source."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime

from visionpipe.errors import VisionpipeError
from visionpipe.images.importers.photo import Photo
from visionpipe.images.importers.source import Source


def iterate_photos(source: Source, now: datetime) -> Iterator[Photo]:
    """List the photos of a source, in an order that does not depend on the file system.

    Every file and every row of a table is one photo or part of one: what cannot be used carries a `refusal`.

    Parameters
    ----------
    source : Source
        What to read.
    now : datetime
        Arrival time of photos whose source states none [UTC].

    Raises
    ------
    VisionpipeError
        When the folder does not exist or cannot be listed, a document is malformed or lacks a column, a package is
        missing, or `where` names an attribute that no photo has.
    """
    arrived_at = source.arrived_at or now
    if arrived_at.tzinfo is None:
        arrived_at = arrived_at.replace(tzinfo=UTC)
    attributes: set[str] = set()
    n_photos = 0
    try:
        for photo in _importer(source)(source, arrived_at):
            n_photos += 1
            attributes.update(photo.attributes)
            if all(photo.attributes.get(column) in values for column, values in source.where.items()):
                if source.contains_people:
                    photo = replace(photo, contains_people=True)
                yield photo if source.labelled or not photo.claims else replace(photo, claims=())
    except VisionpipeError as error:
        if str(error).startswith(f"source {source.name}: "):
            raise
        raise VisionpipeError(f"source {source.name}: {error}") from error
    absent = sorted(set(source.where) - attributes)
    if absent and n_photos:
        raise VisionpipeError(
            f"source {source.name}: where: none of {n_photos} photos has an attribute '{absent[0]}'; there are: "
            f"{', '.join(sorted(attributes)) or 'none'}"
        )


def _importer(source: Source) -> Callable[[Source, datetime], Iterator[Photo]]:
    """Find `list_<importer>`; a worker process that only reads photos imports none of them."""
    module = importlib.import_module(f"visionpipe.images.importers.{source.importer}")
    return getattr(module, f"list_{source.importer}")
