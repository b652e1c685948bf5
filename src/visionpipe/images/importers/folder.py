"""Class folders: one sub-folder a class."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime

from visionpipe.counting import counted
from visionpipe.images.importers.label_names import composed
from visionpipe.images.importers.opening import place_of
from visionpipe.images.importers.photo import LabelClaim, Photo
from visionpipe.images.importers.source import Source

logger = logging.getLogger("visionpipe.images.importers")


def list_folder(source: Source, arrived_at: datetime) -> Iterator[Photo]:
    """List class folders; files beside them have no label and are named in quarantine."""
    claims: dict[str, tuple[LabelClaim, ...]] = {}
    files = place_of(source).files()
    for file in files:
        label, slash, _ = file.path.partition("/")
        if slash and label not in claims:
            name = composed(label)
            claims[label] = (LabelClaim(name, annotator="folder"),) if name else ()
        yield file.photo(source.name, arrived_at, claims=claims[label] if slash else ())
    found, folders = counted(len(files), "file"), counted(sum(map(bool, claims.values())), "class folder")
    logger.info("source %s: %s in %s", source.name, found, folders)
