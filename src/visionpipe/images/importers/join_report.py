"""What joining a document to images found, in one line of the log."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from visionpipe.counting import counted
from visionpipe.images.importers.photo import Photo
from visionpipe.images.importers.places import is_image_name

logger = logging.getLogger("visionpipe.images.importers")

_NAMED = 3


@dataclass
class JoinReport:
    """Counts of one source; fed while its photos go by."""

    source: str
    document: str
    n_rows: int = 0
    n_images: int = 0
    no_image: list[str] = field(default_factory=list)
    no_row: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    no_label: int = 0
    contradictory: list[str] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)
    respelled: dict[str, str] = field(default_factory=dict)

    def seen(self, photo: Photo, has_row: bool) -> Photo:
        """Count a file."""
        if not has_row and not is_image_name(photo.path):
            self.others.append(photo.path)
            return photo
        self.n_images += 1
        if not has_row:
            self.no_row.append(photo.path)
        elif not photo.claims:
            self.no_label += 1
        labels = list(dict.fromkeys(claim.label for claim in photo.claims))
        if len(labels) > 1:
            self.contradictory.append(f"{photo.path}: {' / '.join(labels)}")
        if photo.refusal:
            self.bad.append(photo.path)
        return photo

    def missing(self, photo: Photo, n_rows: int) -> Photo:
        """Count the rows of an image that is not there."""
        self.no_image += [photo.path] * n_rows
        return photo

    def line(self) -> str:
        """Say it all in one line."""
        parts = [
            counted(self.n_images, "image"),
            f"{counted(self.n_rows, 'row')} of {self.document}",
            _named(self.no_image, "row", " without an image"),
            _named(self.no_row, "image", " without a row"),
            _named(self.contradictory, "contradictory label"),
        ]
        if self.no_label:
            parts.append(f"{counted(self.no_label, 'row')} without a label")
        if self.bad:
            parts.append(_named(self.bad, "unusable row"))
        if self.others:
            parts.append(_named(self.others, "other file"))
        if self.respelled:
            parts.append(unified(self.respelled))
        return f"source {self.source}: " + ", ".join(parts)

    def log(self) -> None:
        """Log the line, as a warning where something does not fit."""
        trouble = self.no_image or self.no_row or self.contradictory or self.bad
        logger.log(logging.WARNING if trouble else logging.INFO, "%s", self.line())


def unified(respelled: Mapping[str, str]) -> str:
    """Say which labels were given another spelling.

    >>> unified({"Dress": "dress"})
    '1 label unified (Dress = dress)'
    """
    return _named([f"{label} = {spelling}" for label, spelling in respelled.items()], "label", " unified")


def _named(names: list[str], noun: str, what: str = "") -> str:
    found = f"{counted(len(names), noun)}{what}"
    if not names:
        return found
    more = ", …" if len(names) > _NAMED else ""
    return f"{found} ({'; '.join(list(dict.fromkeys(names))[:_NAMED])}{more})"
