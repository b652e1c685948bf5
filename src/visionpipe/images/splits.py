"""Sticky splits: an image never changes split, and no group spans two.

Images arrive one after another. Each carries keys (its perceptual hash, the user's group value); images that share
a key are one group, and a group's split is a hash of its oldest member. The assignment is a fold over arrivals:
replaying the append-only store gives the same answer for every image, however much came later.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
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
        self._parent: dict[str, str] = {}  # union-find over the oldest members of groups
        self._group_of_key: dict[tuple[str, str], str] = {}
        self._split_of_group: dict[str, str] = {}
        self._position: dict[str, int] = {}

    def assign(
        self,
        image_id: str,
        perceptual_hash: str,
        attributes: Mapping[str, str],
        selection: str | None = None,
    ) -> Membership:
        """Place the next arrival.

        Parameters
        ----------
        image_id : str
            SHA-256 of the bytes; each image is assigned once.
        perceptual_hash : str
            Images with the same hash are near-duplicates.
        attributes : mapping
            The user's columns of this image.
        selection : str or None
            `"uncertain"`: labelled because the model was unsure. Such a sample is biased, so it only trains.

        Returns
        -------
        Membership
            With a `conflict` when the image belongs into two splits: through its groups, a holdout, or its selection.
        """
        keys = [("perceptual_hash", perceptual_hash)]
        group_by = self._parameters.group_by
        if group_by is not None and attributes.get(group_by):
            keys.append((group_by, attributes[group_by]))
        groups = sorted(
            {self._root(self._group_of_key[key]) for key in keys if key in self._group_of_key},
            key=self._position.__getitem__,
        )
        claims = {f"a near-duplicate or its group is in {self._split_of_group[group]}" for group in groups}
        forced = self._forced_splits(attributes, selection)
        splits = {self._split_of_group[group] for group in groups} | set(forced)
        if len(splits) > 1:
            return Membership(image_id, None, "; ".join(sorted(claims | set(forced.values()))))
        if groups:
            oldest, *younger = groups
            for group in younger:
                self._parent[group] = oldest
        else:
            oldest = image_id
            self._parent[oldest] = oldest
            self._position[oldest] = len(self._position)
            self._split_of_group[oldest] = next(iter(forced), None) or self._hashed_split(image_id)
        for key in keys:
            self._group_of_key[key] = oldest
        return Membership(oldest, self._split_of_group[oldest])

    def group_of(self, group_id: str) -> str:
        """Return the oldest member of a group, after all the merges so far."""
        return self._root(group_id)

    def _forced_splits(self, attributes: Mapping[str, str], selection: str | None) -> dict[str, str]:
        """Return the splits that an image must be in, and why."""
        held_out = [
            f"{column} {attributes[column]} is held out for test"
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
    arrivals: Iterable[tuple[str, str, Mapping[str, str], str | None]], parameters: SplitParameters
) -> list[Membership]:
    """Replay arrivals `(image_id, perceptual_hash, attributes, selection)`, oldest first.

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
