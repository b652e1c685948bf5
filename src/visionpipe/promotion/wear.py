"""Test images wear out: each comparison on them spends a share of the error rate that they may cause in all.

Whoever may try again and again on the same images is lucky once. So the images carry an error rate alpha for a
planned number of comparisons, and the k-th of them is judged at

    alpha_k = 0.7 * alpha * k^-2 / (1^-2 + 2^-2 + ... + planned^-2)

(alpha spending, Lan and DeMets 1983). The sum is 0.7 alpha: with at most this probability does a model that is no
better get in over the planned comparisons, if what is tried depends on earlier verdicts alone. The rest is kept for
makers who also read the numbers and build each try on the best so far: in simulation they need it, and not more, for
up to 12 comparisons (tests/published/test_wear.py); for many more no such schedule holds. Fresh images carry no use,
so they bring k down.

Pure functions of sets of image ids.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

MOST_PLANNED = 12
RESERVE = 0.3  # of alpha, for those who climb by the numbers


@dataclass(frozen=True)
class Comparison:
    """An earlier time at which test images told two models apart."""

    at: datetime | str
    """When; UTC."""
    champion_version: str | None
    """Whom the challenger met; None when there was no champion and the limits alone decided."""
    image_ids: frozenset[str] | None
    """The test images; None when that can no longer be read: then it counts for every image."""
    outcome: str
    """`promote`, `reject` or `insufficient_evidence`."""


@dataclass(frozen=True, kw_only=True)
class Wear:
    """How often the present test images have decided before, and what this comparison may therefore spend."""

    n_images: int
    n_fresh: int
    """Images that no earlier comparison used."""
    mean_uses: float
    """Earlier uses of an image, on average."""
    most_uses: int
    """Earlier uses of the image that was used most."""
    comparison: int
    """k: this is the k-th comparison on these images; 1 when all are fresh."""
    planned: int
    alpha: float
    """One-sided error rate of all planned comparisons together."""
    spent: float
    """What this comparison may spend of it: alpha_k; 0 when the images are worn out."""
    fresh_needed: int | None
    """Fresh images that would allow this comparison; 0 when it is allowed, None when none would: too many earlier
    comparisons can't be read any more, and count for every image."""

    @property
    def worn_out(self) -> bool:
        """Whether the planned comparisons are used up."""
        return self.comparison > self.planned

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-safe mapping."""
        return {**asdict(self), "worn_out": self.worn_out}


def spent_alpha(comparison: int, planned: int, alpha: float) -> float:
    """Return the error rate of the k-th of the planned comparisons; 0 beyond them.

    Examples
    --------
    >>> [round(spent_alpha(k, 3, 0.025), 4) for k in (1, 2, 3, 4)]
    [0.0129, 0.0032, 0.0014, 0.0]
    """
    if comparison > planned:
        return 0.0
    return (1 - RESERVE) * alpha * comparison**-2 / math.fsum(j**-2 for j in range(1, planned + 1))


def wear_of(image_ids: Collection[str], earlier: Iterable[Comparison], *, planned: int, alpha: float) -> Wear:
    """Count the earlier uses of the present test images.

    Parameters
    ----------
    image_ids
        The present test images.
    earlier
        Every earlier comparison, on whichever images.
    planned
        Comparisons that the images may decide, >= 1.
    alpha
        One-sided error rate of all of them together.
    """
    present = set(image_ids)
    unreadable, uses = 0, Counter(dict.fromkeys(present, 0))
    for comparison in earlier:
        if comparison.image_ids is None:
            unreadable += 1
        else:
            uses.update(present & comparison.image_ids)
    counts = [unreadable + n for n in uses.values()]
    total = sum(counts)
    # whole numbers: a mean of exactly 2 must not be rounded up to 3
    comparison = 1 + -(-total // len(present)) if present else 1 + unreadable
    return Wear(
        n_images=len(present),
        n_fresh=counts.count(0),
        mean_uses=total / len(present) if present else float(unreadable),
        most_uses=max(counts, default=unreadable),
        comparison=comparison,
        planned=planned,
        alpha=alpha,
        spent=spent_alpha(comparison, planned, alpha),
        fresh_needed=_fresh_needed(total, len(present), planned, unreadable) if comparison > planned else 0,
    )


def _fresh_needed(total_uses: int, n_images: int, planned: int, unreadable: int) -> int | None:
    """Return how many images, used in the unreadable comparisons alone, bring the mean use down to planned - 1."""
    if planned == 1:  # not one use is allowed: a new set of the same size
        return None if unreadable else n_images
    spare = planned - 1 - unreadable
    return -(-(total_uses - (planned - 1) * n_images) // spare) if spare > 0 else None
