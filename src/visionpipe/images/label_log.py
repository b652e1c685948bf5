"""What to append to the label history, so that it says what the sources say, and says nothing twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from sys import intern

import pandas as pd

from visionpipe.images.importers import LabelClaim, Photo

_INSTANT = timedelta(microseconds=1)


class LabelLog:
    """Knows what is written, and turns the claims on a photo into new rows.

    What an importer says of an image is replaced as a whole when the sources say something else: a photo that moved
    to another class folder is relabelled, one that lies in two is contradicted.

    Parameters
    ----------
    label_history : DataFrame
        Rows of `store.LABEL_SCHEMA`.
    photos_of : callable
        Given an image id, returns the photos that the sources hold of it now.
    """

    def __init__(self, label_history: pd.DataFrame, photos_of: Callable[[str], Iterable[Photo]]) -> None:
        self._photos_of = photos_of
        first = label_history.drop_duplicates("image_id")[["image_id", "selection"]]
        self._first_selection = {
            intern(image_id): selection if isinstance(selection, str) else None
            for image_id, selection in first.itertuples(index=False, name=None)
        }
        self._imports: dict[tuple[str, str], tuple[datetime, frozenset[str]]] = {}
        self._reviews: set[tuple] = set()
        columns = ["image_id", "annotator", "label", "origin", "labelled_at"]
        shared: dict[tuple, tuple] = {}  # most images were given one of few labels at one of few moments
        for image_id, annotator, label, origin, labelled_at in label_history[columns].itertuples(
            index=False, name=None
        ):
            key = (intern(image_id), intern(annotator))
            if origin == "import":
                at, labels = self._imports.get(key, (labelled_at, frozenset()))
                if labelled_at >= at:
                    said_now = labels if labelled_at == at else frozenset()
                    said = (labelled_at, said_now | {label})
                    self._imports[key] = shared.setdefault(said, said)
            else:
                self._reviews.add((*key, label, origin, labelled_at))

    def first_selection(self, image_id: str, *, default: str | None) -> str | None:
        """Return why the image was labelled when it came in."""
        return self._first_selection.get(image_id, default)

    def lacks(self, photo: Photo, image_id: str) -> bool:
        """Say whether the sources now say other things of this image than the history does."""
        said: dict[str, set[str]] = {}
        for claim in photo.claims:
            if claim.origin == "import":
                said.setdefault(claim.annotator, set()).add(claim.label)
            elif self._review_key(claim, image_id, photo.arrived_at) not in self._reviews:
                return True
        return any(
            self._imports.get((image_id, annotator), (None, None))[1] != labels
            for annotator, labels in said.items()
        )

    def enter(self, photo: Photo, image_id: str) -> list[dict]:
        """Return the rows of `store.LABEL_SCHEMA` that the claims on a photo of this image add."""
        rows = []
        for claim in photo.claims:
            if claim.origin != "import":
                rows += self._enter_review(claim, image_id, photo.arrived_at)
        for annotator in dict.fromkeys(claim.annotator for claim in photo.claims if claim.origin == "import"):
            rows += self._enter_import(photo, image_id, annotator)
        for row in rows:
            self._first_selection.setdefault(image_id, row["selection"])
        return rows

    def _enter_review(self, claim: LabelClaim, image_id: str, arrived_at: datetime) -> list[dict]:
        """Append what a reviewer says: who comes back to an image says something new."""
        key = self._review_key(claim, image_id, arrived_at)
        if key in self._reviews:
            return []
        self._reviews.add(key)
        return [_row(claim, image_id, claim.labelled_at or arrived_at)]

    @staticmethod
    def _review_key(claim: LabelClaim, image_id: str, arrived_at: datetime) -> tuple:
        return image_id, claim.annotator, claim.label, claim.origin, claim.labelled_at or arrived_at

    def _enter_import(self, photo: Photo, image_id: str, annotator: str) -> list[dict]:
        mine = _claims(photo, annotator)
        at = max((claim.labelled_at or photo.arrived_at) for claim in mine.values())
        before, standing = self._imports.get((image_id, annotator), (at, frozenset()))
        if standing == mine.keys():
            return []
        now = dict(mine)  # of what was said before, that stays which is still said
        for other in self._photos_of(image_id) if standing else ():
            now |= _claims(other, annotator)
        if standing == now.keys():
            return []
        if standing and not standing <= now.keys():
            at = max(at, before + _INSTANT)  # something was taken back
        at = max(at, before)
        self._imports[image_id, annotator] = (at, frozenset(now))
        already = standing if at == before else frozenset()
        return [_row(claim, image_id, at) for label, claim in sorted(now.items()) if label not in already]


def _claims(photo: Photo, annotator: str) -> dict[str, LabelClaim]:
    return {
        claim.label: claim
        for claim in photo.claims
        if claim.annotator == annotator and claim.origin == "import"
    }


def _row(claim: LabelClaim, image_id: str, labelled_at: datetime) -> dict:
    return {
        "image_id": image_id,
        "label": claim.label,
        "label_confidence": claim.confidence,
        "annotator": claim.annotator,
        "labelled_at": labelled_at,
        "origin": claim.origin,
        "selection": claim.selection,
    }
