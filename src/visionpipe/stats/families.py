"""Classes and slices judged together: non-inferiority and loss, each family corrected by Holm.

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
    tango_z,
)

JUDGEABLE_POWER = 0.95  # with which a member must be able to acquit an equally good challenger


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

    def reach(self, margin: float) -> float:
        """Return by how many standard errors an equally good challenger would clear the margin."""
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

    def reach(self, margin: float) -> float:
        """As `Difference`: with as many disagreements, evenly split."""
        even = (self.b + self.c) / 2
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
    judgeable: bool
    """Whether an equally good challenger would have passed with 95 % power: else no verdict is due."""


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
    alpha = (1 - level) / 2
    p_inferior = np.array([member.p_inferior(margin) for member in members])
    steps = len(members) - np.argsort(np.argsort(p_inferior, kind="stable"))  # Holm divides alpha by these
    enough = -ndtri(alpha / max(1, len(members))) - ndtri(1 - JUDGEABLE_POWER)
    adjusted = zip(holm(p_inferior), holm([member.p_worse() for member in members]), steps, strict=True)
    return [
        JudgedDifference(
            member.difference,
            *member.interval(1 - 2 * alpha / step),
            p_inferior=float(inferior),
            p_worse=float(worse),
            judgeable=bool(member.reach(margin) >= enough),
        )
        for member, (inferior, worse, step) in zip(members, adjusted, strict=True)
    ]


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
    return [
        ProportionDifference(
            *effective_disagreements(champion_N[rows], challenger_N[rows], clusters_N[rows], level)
        )
        for rows in slices
    ]
