"""List the photos of a source."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime

from visionpipe.errors import VisionpipeError
from visionpipe.images.importers.coco import list_coco
from visionpipe.images.importers.cvat import list_cvat
from visionpipe.images.importers.elpv import list_elpv
from visionpipe.images.importers.folder import list_folder
from visionpipe.images.importers.image_parquet import list_image_parquet
from visionpipe.images.importers.label_studio import list_label_studio
from visionpipe.images.importers.photo import Photo
from visionpipe.images.importers.reviewed import list_reviewed
from visionpipe.images.importers.source import Source
from visionpipe.images.importers.table import list_table

_IMPORTERS: dict[str, Callable[[Source, datetime], Iterator[Photo]]] = {
    "folder": list_folder,
    "table": list_table,
    "coco": list_coco,
    "cvat": list_cvat,
    "label_studio": list_label_studio,
    "image_parquet": list_image_parquet,
    "elpv": list_elpv,
    "reviewed": list_reviewed,
}


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
        for photo in _IMPORTERS[source.importer](source, arrived_at):
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
