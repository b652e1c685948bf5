"""What to append to the label history, so that it says what the sources say, and says nothing twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from sys import intern

import pandas as pd

from visionpipe.images.importers import LabelClaim, Photo
from visionpipe.images.store import as_tuples

_INSTANT = timedelta(microseconds=1)
_Said = tuple[str, str, float]
"""Annotator, label, confidence."""
_Import = tuple[LabelClaim, datetime]
"""A claim, and when it was made."""


class LabelLog:
    """Knows what is written, and turns the claims on a photo into new rows.

    Reviewers are heard as often as they say something: who says cat, dog and cat again of one image at one time, as a
    tool that only writes days lets them, ends at cat. All is read again in every run, so rows are counted: what the
    sources say more often than the history does is new.

    What importers say of an image is replaced as a whole when the sources say something else: a photo that moved to
    another class folder is relabelled, one that lies in two is contradicted, and an importer that is no longer used
    falls silent (`labels.in_force`). What is added is written at once; what is taken back only by `settle`, when all
    files have been looked at, for a file that was not yet looked at may still say it.

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
            for image_id, selection in as_tuples(first)
        }
        self._imports: dict[str, tuple[datetime, frozenset[_Said]]] = {}
        self._doubtful: dict[str, None] = {}
        self._reviews: Counter[tuple] = Counter()
        columns = ["image_id", "annotator", "label", "label_confidence", "origin", "labelled_at"]
        shared: dict[tuple, tuple] = {}  # most images were given one of few labels at one of few moments
        for image_id, annotator, label, confidence, origin, at in as_tuples(label_history[columns]):
            if origin == "import":
                before, said = self._imports.get(image_id, (at, frozenset()))
                if at >= before:
                    now = (at, (said if at == before else frozenset()) | {(annotator, label, confidence)})
                    self._imports[intern(image_id)] = shared.setdefault(now, now)
            else:
                self._reviews[image_id, annotator, label, origin, at] += 1

    def first_selection(self, image_id: str, *, default: str | None) -> str | None:
        """Return why the image was labelled when it came in."""
        return self._first_selection.get(image_id, default)

    def was_imported(self, image_id: str) -> bool:
        """Say whether an importer's label of this image is in the history."""
        return image_id in self._imports

    def lacks(self, photo: Photo, image_id: str) -> bool:
        """Say whether the sources now say other things of this image than the history does."""
        imports = _imports(photo)
        if imports and self._imports.get(image_id, (None, None))[1] != imports.keys():
            return True
        return bool(self._new_reviews(photo, image_id))

    def enter(self, photo: Photo, image_id: str) -> list[dict]:
        """Return the rows of `store.LABEL_SCHEMA` that the claims on a photo of this image add."""
        rows = self._add_imports(photo, image_id)
        for key, claim in self._new_reviews(photo, image_id):
            self._reviews[key] += 1
            rows.append(_row(claim, image_id, claim.labelled_at or photo.arrived_at))
        for row in rows:
            self._first_selection.setdefault(image_id, row["selection"])
        return rows

    def _new_reviews(self, photo: Photo, image_id: str) -> list[tuple[tuple, LabelClaim]]:
        """Return what reviewers say that is not written yet, each with what it is counted by, in order."""
        said: Counter[tuple] = Counter()
        last: dict[tuple, tuple] = {}
        new = []
        for claim in photo.claims:
            if claim.origin != "import":
                at = claim.labelled_at or photo.arrived_at
                key = (image_id, claim.annotator, claim.label, claim.origin, at)
                if (
                    last.get((claim.annotator, at)) == key
                ):  # the same row again, as in the next export of everything
                    continue
                last[claim.annotator, at] = key
                said[key] += 1
                if said[key] > self._reviews[key]:
                    new.append((key, claim))
        return new

    def settle(self) -> list[dict]:
        """Return the rows that replace what no source says any more, once every photo was entered."""
        rows = [row for image_id in self._doubtful for row in self._replace_imports(image_id)]
        self._doubtful.clear()
        return rows

    def _add_imports(self, photo: Photo, image_id: str) -> list[dict]:
        mine = _imports(photo)
        _, standing = self._imports.get(image_id, (None, frozenset()))
        if not mine or standing == mine.keys():
            return []
        now = mine | (self._said_now(image_id) if standing else {})
        if standing <= now.keys():
            return self._write(now, image_id)
        self._doubtful[image_id] = None
        return []

    def _replace_imports(self, image_id: str) -> list[dict]:
        now = self._said_now(image_id)
        return self._write(now, image_id) if now else []

    def _said_now(self, image_id: str) -> dict[_Said, _Import]:
        now: dict[_Said, _Import] = {}
        for photo in self._photos_of(image_id):
            now |= _imports(photo)
        return now

    def _write(self, now: dict[_Said, _Import], image_id: str) -> list[dict]:
        """Return the rows that make `now` what is in force."""
        before, standing = self._imports.get(image_id, (None, frozenset()))
        if standing == now.keys():
            return []
        at = max(moment for _, moment in now.values())
        if before is not None:
            # what was taken back must be older than what stands; what was merely added joins it
            at = max(at, before if standing <= now.keys() else before + _INSTANT)
        self._imports[image_id] = (at, frozenset(now))
        added = now.keys() - standing if at == before else now.keys()
        return [_row(now[said][0], image_id, at) for said in sorted(added)]


def _imports(photo: Photo) -> dict[_Said, _Import]:
    return {
        (claim.annotator, claim.label, claim.confidence): (claim, claim.labelled_at or photo.arrived_at)
        for claim in photo.claims
        if claim.origin == "import"
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
