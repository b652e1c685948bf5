"""Classes and slices judged together: non-inferiority and loss, each family corrected by Holm.

Few images cannot exclude a small loss. So each member has the loss that it can exclude: the margin, or what an equally
good challenger would clear with `PLANNED_POWER`. That is planned from the champion alone: its error rate e, and errors
of the challenger that correlate with its own by one half, so that the two disagree on e(1 - e) of the images. A
challenger that disagrees more has a wider interval, and is held up rather than waved through.

Shapes: N images, M members of a family. A positive difference favours the challenger.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from visionpipe.stats.paired import (
    effective_disagreements,
    holm,
    mcnemar_from_counts,
    non_inferiority,
    planned_disagreement,
    tango_z,
)

PLANNED_POWER = 0.95  # with which a member must be able to acquit an equally good challenger
MOST_HELD_UP = (
    0.5  # equally good challengers that a family may hold up by chance, however many members it has
)
_LARGEST_LOSS = 0.999


class Difference(Protocol):
    """What a family asks of the difference between two models, whatever it is a difference of."""

    @property
    def difference(self) -> float:
        """Challenger minus champion."""
        ...

    def p_inferior(self, margin: float) -> float:
        """Return the p-value of the hypothesis that the true difference is -margin or less."""
        ...

    def p_worse(self) -> float:
        """Return the p-value of the hypothesis that the challenger is no worse."""
        ...

    def interval(self, confidence: float) -> tuple[float, float]:
        """Return the two-sided interval."""
        ...

    def planned_reach(self, margin: float) -> float:
        """Return by how many planned standard errors an equally good challenger would clear the margin."""
        ...


@dataclass(frozen=True)
class ProportionDifference:
    """Difference of two proportions on the same images (Tango's score test, exact McNemar)."""

    b: float
    """Images only the champion got right; effective numbers where images are clustered."""
    c: float
    """Images only the challenger got right."""
    n: float
    """All images, > 0."""
    planned: float
    """Disagreements that are planned for (`planned_disagreement`)."""

    @property
    def difference(self) -> float:
        """Challenger minus champion, -1 to 1."""
        return (self.c - self.b) / self.n

    def p_inferior(self, margin: float) -> float:
        """As `Difference`."""
        return non_inferiority(self.b, self.c, self.n, margin).p_value

    def p_worse(self) -> float:
        """As `Difference`."""
        return mcnemar_from_counts(self.b, self.c).p_less

    def interval(self, confidence: float) -> tuple[float, float]:
        """As `Difference`."""
        found = non_inferiority(self.b, self.c, self.n, 0.5, confidence)  # the margin is the p-value's alone
        return found.low, found.high

    def planned_reach(self, margin: float) -> float:
        """As `Difference`: with the planned disagreements, evenly split."""
        even = self.planned / 2
        return tango_z(even, even, self.n, -margin)


@dataclass(frozen=True)
class JudgedDifference:
    """What can be said of one member of a family that is corrected together."""

    difference: float
    low: float
    """The interval has the confidence at which Holm's procedure judged this member."""
    high: float
    p_inferior: float
    """Adjusted: small when a loss beyond the margin is excluded."""
    p_worse: float
    """Adjusted: small when the challenger is proven to be worse."""
    excludable: float
    """The loss that so many images can be expected to exclude: the margin, or more where they are few."""
    held_up: bool
    """Whether not even that loss is excluded: then the member stands in the way."""


def compare_family(members: Sequence[Difference], *, margin: float, level: float) -> list[JudgedDifference]:
    """Test every member for non-inferiority and for loss, each corrected by Holm at ``(1 - level) / 2``.

    Parameters
    ----------
    members
        M differences.
    margin
        The loss that would be accepted, 0 < margin < 1.
    level
        Confidence of a two-sided interval of a family of one.
    """
    alpha, n_members = (1 - level) / 2, max(1, len(members))
    p_inferior = np.array([member.p_inferior(margin) for member in members])
    steps = len(members) - np.argsort(np.argsort(p_inferior, kind="stable"))  # Holm divides alpha by these
    chance = min(1 - PLANNED_POWER, MOST_HELD_UP / n_members)
    enough = -float(ndtri(alpha / n_members)) - float(ndtri(chance))
    excludable = [_excludable(member, margin, enough) for member in members]
    adjusted = zip(
        members, excludable, holm(p_inferior), holm([m.p_worse() for m in members]), steps, strict=True
    )
    return [
        JudgedDifference(
            member.difference,
            *member.interval(1 - 2 * alpha / step),
            p_inferior=float(inferior),
            p_worse=float(worse),
            excludable=loss,
            held_up=bool(inferior > alpha and member.p_inferior(loss) > alpha / n_members),
        )
        for member, loss, inferior, worse, step in adjusted
    ]


def _excludable(member: Difference, margin: float, enough: float) -> float:
    """Return the smallest loss, from the margin on, that a blameless challenger would clear by so many errors."""
    if member.planned_reach(margin) >= enough:
        return margin
    low, high = margin, _LARGEST_LOSS
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (low, middle) if member.planned_reach(middle) >= enough else (middle, high)
    return high


def slice_differences(
    champion_correct_N: ArrayLike,
    challenger_correct_N: ArrayLike,
    cluster_ids_N: ArrayLike,
    slices: Sequence[NDArray[np.int64]],
    *,
    level: float,
) -> list[ProportionDifference]:
    """Return the difference in accuracy on each slice, for `compare_family`.

    Parameters
    ----------
    champion_correct_N, challenger_correct_N
        Booleans of the same N images.
    cluster_ids_N
        Clustered disagreements count by their effective number (`effective_disagreements`).
    slices
        Row indices of each slice, none empty; slices may overlap.
    level
        Confidence at which effective numbers are taken.
    """
    champion_N, challenger_N = (np.asarray(c, dtype=bool) for c in (champion_correct_N, challenger_correct_N))
    clusters_N = np.asarray(cluster_ids_N)
    found = []
    for rows in slices:
        b, c, n = effective_disagreements(champion_N[rows], challenger_N[rows], clusters_N[rows], level)
        found.append(ProportionDifference(b, c, n, planned=n * planned_disagreement(champion_N[rows])))
    return found
