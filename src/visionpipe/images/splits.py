"""Sticky splits: an image never changes split, and no group spans two.

Images arrive one after another. Each is tied to the earlier images that it is a near-duplicate of, and to those of
the same value in the user's group column; a further file of the same bytes ties its image to what is said of it. What
is tied together is one group, and a group's split is a hash of its oldest member. The assignment is a fold over
arrivals: replaying the append-only store gives the same answer for every image, however much came later.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from visionpipe.images.parameters import SplitParameters


@dataclass(frozen=True)
class Membership:
    """Where an image belongs. `conflict` says why it is kept out; then it has no split."""

    group_id: str
    split: str | None
    conflict: str | None = None


class GroupSplitter:
    """Assigns images to groups and splits in the order they arrive.

    Parameters
    ----------
    parameters : SplitParameters
        Shares, salt, group column and holdouts.
    """

    def __init__(self, parameters: SplitParameters) -> None:
        self._parameters = parameters
        self._parent: dict[str, str] = {}  # union-find; the root of a group is its oldest member
        self._first_of_value: dict[str, str] = {}  # of the user's group column
        self._split_of_group: dict[str, str] = {}
        self._position: dict[str, int] = {}

    def assign(
        self,
        image_id: str,
        duplicate_of: Iterable[str],
        attributes: Mapping[str, str],
        selection: str | None = None,
        further: Iterable[Mapping[str, str]] = (),
    ) -> Membership:
        """Place the next arrival.

        Parameters
        ----------
        image_id : str
            SHA-256 of the bytes; each image is assigned once.
        duplicate_of : iterable of str
            Earlier images that it is a near-duplicate of; those that were never assigned tie to nothing.
        attributes : mapping
            The user's columns of this image.
        selection : str or None
            `"uncertain"`: labelled because the model was unsure. Such a sample is biased, so it only trains.
        further : iterable of mapping
            What else is said of it: by other rows that name it, or by other files of the same bytes. It is tied to
            what these say as well.

        Returns
        -------
        Membership
            With a `conflict` when the image belongs into two splits: through its groups, a holdout, or its selection.
        """
        said = [attributes, *further]
        values = self.group_values(said)
        tied = [other for other in duplicate_of if other in self._parent]
        tied += [self._first_of_value[value] for value in values if value in self._first_of_value]
        groups = sorted({self._root(other) for other in tied}, key=self._position.__getitem__)
        claims = {f"a near-duplicate or its group is in {self._split_of_group[group]}" for group in groups}
        forced = self._forced_splits(said, selection)
        splits = {self._split_of_group[group] for group in groups} | set(forced)
        if len(splits) > 1:
            return Membership(image_id, None, "; ".join(sorted(claims | set(forced.values()))))
        if groups:
            oldest, *younger = groups
            for group in younger:
                self._parent[group] = oldest
        else:
            oldest = image_id
            self._position[oldest] = len(self._position)
            self._split_of_group[oldest] = next(iter(forced), None) or self._hashed_split(image_id)
        self._parent[image_id] = oldest
        for value in values:
            self._first_of_value.setdefault(value, image_id)
        return Membership(oldest, self._split_of_group[oldest])

    def tie(self, image_id: str, said: Sequence[Mapping[str, str]]) -> tuple[str | None, list[str]]:
        """Place a further file of an image that was assigned, like a near-duplicate of it.

        A replay that knows `said` when it assigns the image comes to the same groups and splits: had it meant another
        split for any image, it would have been a conflict here.

        Parameters
        ----------
        said : sequence of mapping
            The user's columns of the file, one mapping a row that names it.

        Returns
        -------
        tuple
            Why the file is kept out, or None; and the values of the group column that are new to the image's group.
        """
        if image_id not in self._parent:  # itself kept out under the present rules
            return None, []
        group = self._root(image_id)
        others = [
            value
            for value in self.group_values(said)
            if value not in self._first_of_value or self._root(self._first_of_value[value]) != group
        ]
        place = self.assign(image_id, [image_id], {}, further=said)
        return place.conflict, [] if place.conflict else others

    def group_values(self, said: Iterable[Mapping[str, str]]) -> list[str]:
        """Return the values of the user's group column, each once."""
        group_by = self._parameters.group_by
        if group_by is None:
            return []
        return list(dict.fromkeys(value for each in said if (value := each.get(group_by))))

    def group_of(self, group_id: str) -> str:
        """Return the oldest member of a group, after all the merges so far."""
        return self._root(group_id)

    def _forced_splits(self, said: Sequence[Mapping[str, str]], selection: str | None) -> dict[str, str]:
        """Return the splits that an image must be in, and why."""
        held_out = [
            f"{column} {attributes[column]} is held out for test"
            for attributes in said
            for column, values in self._parameters.holdout.items()
            if attributes.get(column) in values
        ]
        forced = {"test": held_out[0]} if held_out else {}
        if selection == "uncertain":
            forced["train"] = "labelled because a model was unsure, so fit for train only"
        return forced

    def _hashed_split(self, image_id: str) -> str:
        digest = hashlib.sha256(f"{self._parameters.seed}:{image_id}".encode()).digest()
        position = int.from_bytes(digest[:8], "big") / 2**64
        if position < self._parameters.test:
            return "test"
        if position < self._parameters.test + self._parameters.validation:
            return "validation"
        return "train"

    def _root(self, group: str) -> str:
        while self._parent[group] != group:
            self._parent[group] = self._parent[self._parent[group]]
            group = self._parent[group]
        return group


def assign_all(
    arrivals: Iterable[tuple[str, Iterable[str], Mapping[str, str], str | None, Iterable[Mapping[str, str]]]],
    parameters: SplitParameters,
) -> list[Membership]:
    """Replay arrivals `(image_id, duplicate_of, attributes, selection, further)`, oldest first.

    Returns
    -------
    list of Membership
        One an arrival, in order, with the group each belongs to after all of them.
    """
    splitter = GroupSplitter(parameters)
    placed = [splitter.assign(*arrival) for arrival in arrivals]
    return [
        place if place.conflict else Membership(splitter.group_of(place.group_id), place.split)
        for place in placed
    ]
