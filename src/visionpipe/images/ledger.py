"""Decides, image by image and in the order of arrival, what is stored and what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from sys import intern

import numpy as np
import pandas as pd

from visionpipe.images.duplicates import DESCRIPTOR_LENGTH, LOOK_SIDE_PX, Link, NearDuplicates
from visionpipe.images.importers import Photo
from visionpipe.images.inspect import Inspection, Refusal
from visionpipe.images.label_log import LabelLog
from visionpipe.images.parameters import IngestionParameters
from visionpipe.images.splits import GroupSplitter
from visionpipe.images.store import StoredLooks, as_tuples


class Ledger:
    """Places new images among those stored.

    Parameters
    ----------
    store_index : DataFrame
        What is stored already, oldest first.
    looks : StoredLooks
        What the stored images look like.
    labels : LabelLog
        What is said of them.
    parameters : IngestionParameters
        Split rules.
    """

    def __init__(
        self,
        store_index: pd.DataFrame,
        looks: StoredLooks,
        labels: LabelLog,
        parameters: IngestionParameters,
    ) -> None:
        self._labels = labels
        self._splitter = GroupSplitter(parameters.split)
        self._stored: set[str] = set()
        self._of_refused: dict[str, list[Link]] = {}
        self._group_by = parameters.split.group_by
        columns = ["image_id", "duplicate_of", "attributes", "further_attributes"]
        for image_id, links, attributes, further in as_tuples(store_index[columns]):
            selection = labels.first_selection(image_id, default=None)
            linked = [other for other, _ in links]
            said = [{name: value} for name, value in further]
            self._splitter.assign(intern(image_id), linked, dict(attributes), selection, said)
            self._stored.add(intern(image_id))
        self._store_index, self._looks = store_index, looks
        self._duplicates: NearDuplicates | None = None
        self._find_near = parameters.near_duplicates

    def close(self) -> None:
        """Give back what the search for near-duplicates holds."""
        if self._duplicates:
            self._duplicates.close()

    @property
    def has_images(self) -> bool:
        """Whether anything is stored."""
        return bool(self._stored)

    def find_duplicates(self, seen: Sequence[Inspection | Refusal]) -> dict[str, list[Link]]:
        """Find the earlier near-duplicates of the images that are new among these, in their order."""
        new = {
            one.image_id: one
            for one in seen
            if isinstance(one, Inspection) and one.image_id not in self._stored
        }
        if not new or not self._find_near:
            return {}
        if self._duplicates is None:
            descriptors = self._looks.descriptors(self._store_index)
            self._duplicates = NearDuplicates(
                map(intern, self._store_index["image_id"]), descriptors, self._read
            )
        pixels = np.frombuffer(b"".join(one.thumbnail for one in new.values()), np.uint8)
        looks_NSS = pixels.reshape(len(new), LOOK_SIDE_PX, LOOK_SIDE_PX)
        numbers = np.frombuffer(b"".join(one.descriptor for one in new.values()), np.int8)
        found = self._duplicates.find(list(new), looks_NSS, numbers.reshape(len(new), DESCRIPTOR_LENGTH))
        return dict(zip(new, found, strict=True))

    def _read(self, numbers: np.ndarray) -> np.ndarray:
        return self._looks.read(self._store_index.iloc[numbers])

    def _stored_ones(self, links: Sequence[Link]) -> list[Link]:
        """Follow links to images that were refused on to those that they are copies of: only these are in a group."""
        found: dict[str, Link] = {}
        for link in links:
            if link.image_id in self._stored:
                found.setdefault(link.image_id, link)
            for further in self._of_refused.get(link.image_id, []):
                kind = "near" if further.kind == link.kind else "flipped"
                found.setdefault(further.image_id, Link(further.image_id, kind))
        return list(found.values())

    def enter(
        self, photo: Photo, data: bytes, seen: Inspection | Refusal, links: dict[str, list[Link]]
    ) -> tuple[tuple[str, str | None] | None, list[dict], list[dict]]:
        """Place one photo.

        Returns
        -------
        tuple
            Why it is refused, as (reason, detail), or None; the rows to append to the image store, none if its
            image is there already and nothing new was said of its group; and those to append to the label history.
        """
        if isinstance(seen, Refusal):
            return (seen.reason, seen.detail), [], []
        if not photo.claims:
            return ("no_label", "no label was given: no class folder, no row of a table"), [], []
        images = []
        further = photo.further_attributes
        if seen.image_id in self._stored:
            conflict, values = self._splitter.tie(seen.image_id, [photo.attributes, *further])
            if conflict:
                return ("group_spans_splits", conflict), [], []
        else:
            known = self._stored_ones(links.get(seen.image_id, []))
            selection = self._labels.first_selection(seen.image_id, default=photo.claims[0].selection)
            linked = [link.image_id for link in known]
            place = self._splitter.assign(seen.image_id, linked, photo.attributes, selection, further)
            if place.conflict:
                self._of_refused[seen.image_id] = known
                return ("group_spans_splits", place.conflict), [], []
            self._stored.add(seen.image_id)
            images.append(image_row(photo, data, seen, known, place.split))
            own = self._splitter.group_values([photo.attributes])
            values = [value for value in self._splitter.group_values(further) if value not in own]
        if values:
            pairs = [{"name": self._group_by, "value": value} for value in values]
            images.append({**image_row(photo, data, seen), "image": None, "attributes": pairs})
        return None, images, self._labels.enter(photo, seen.image_id)


def image_row(
    photo: Photo, data: bytes, seen: Inspection, links: Sequence[Link] = (), split: str | None = None
) -> dict:
    """Make a row of `store.IMAGE_SCHEMA`."""
    return {
        **vars(seen),
        "image": {"bytes": data, "path": photo.path},
        "source": photo.source,
        "arrived_at": photo.arrived_at,
        "duplicate_of": [link._asdict() for link in links],
        "attributes": [{"name": name, "value": value} for name, value in photo.attributes.items()],
        "first_split": split,
    }
