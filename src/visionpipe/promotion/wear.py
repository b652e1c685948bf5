"""Test images wear out: each comparison on them spends a share of the error rate that they may cause in all.

Whoever may try again and again on the same images is lucky once. So the images carry an error rate alpha for a
planned number of comparisons, and the k-th of them is judged at

    alpha_k = 0.7 * alpha * k^-2 / (1^-2 + 2^-2 + ... + planned^-2)

(alpha spending, Lan and DeMets 1983). The sum is 0.7 alpha: with at most this probability does a model that is no
better get in over the planned comparisons, if what is tried depends on earlier verdicts alone. The rest is kept for
makers who also read the numbers and build each try on the best so far: in simulation they need it, and not more, for
up to 12 comparisons (tests/published/test_wear.py); for many more no such schedule holds. Fresh images carry no use,
so they bring k down.

Comparisons at the gate are what is counted. An evaluation shows the test images as well, and spends nothing: whoever
chooses among candidates by it is outside of this promise (docs/decisions/0009).

What earlier comparisons spent is on record. Where it would exceed alpha together with alpha_k, nothing is judged
either: after a change of the plan or of alpha, or when a few images of many were in every comparison.

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
    spent: float | None = None
    """Error rate at which it was judged; None, "not on record", counts for nothing."""


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
    spent_before: float = 0.0
    """What earlier comparisons spent of it: summed for each image, on average over the images."""
    fresh_needed: int | None
    """Fresh images that would allow this comparison; 0 when it is allowed, None when none would: too many earlier
    comparisons can't be read any more, and count for every image."""

    def spendable(self, n_images: int) -> float:
        """Return what the next comparison may spend if fresh ones make these test images so many; 0 if none."""
        uses = round(self.mean_uses * self.n_images) + self.n_images  # the present comparison is a use, too
        before = (self.spent_before + self.spent) * self.n_images / n_images
        return _left(1 - (-uses // n_images), self.planned, self.alpha, before)

    @property
    def worn_out(self) -> bool:
        """Whether the planned comparisons, or what they may spend, are used up."""
        return self.spent == 0

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
    spent_by_all, spent_by_some = 0.0, 0.0  # on each image; on all images together
    for comparison in earlier:
        if comparison.image_ids is None:
            unreadable += 1
            spent_by_all += comparison.spent or 0.0
        else:
            shared = present & comparison.image_ids
            uses.update(shared)
            spent_by_some += (comparison.spent or 0.0) * len(shared)
    counts = [unreadable + n for n in uses.values()]
    n_images, total = len(present), sum(counts)
    # whole numbers: a mean of exactly 2 must not be rounded up to 3
    k = 1 + -(-total // n_images) if present else 1 + unreadable
    before = spent_by_all + spent_by_some / max(1, n_images)
    spent = _left(k, planned, alpha, before)

    def allowed(n_fresh: int) -> bool:
        n = n_images + n_fresh
        then = 1 - (-(total + unreadable * n_fresh) // n)
        return _left(then, planned, alpha, spent_by_all + spent_by_some / n) > 0

    fresh_needed: int | None = 0
    if spent == 0 and planned == 1:  # not one use is allowed: a new set of the same size
        fresh_needed = None if unreadable else n_images
    elif spent == 0:
        # within one k more images only help, so the least number is at the start of a k or where its room suffices
        starts = [_fresh_needed(total, n_images, each, unreadable) for each in range(2, planned + 1)]
        rooms = [alpha - spent_by_all - spent_alpha(each, planned, alpha) for each in range(2, planned + 1)]
        enough = [math.ceil(spent_by_some / room) - n_images for room in rooms if room > 0]
        tried = sorted({each + more for each in [*starts, *enough] if each is not None for more in (0, 1)})
        fresh_needed = next((each for each in tried if each > 0 and allowed(each)), None)
    return Wear(
        n_images=n_images,
        n_fresh=counts.count(0),
        mean_uses=total / n_images if present else float(unreadable),
        most_uses=max(counts, default=unreadable),
        comparison=k,
        planned=planned,
        alpha=alpha,
        spent=spent,
        spent_before=before,
        fresh_needed=fresh_needed,
    )


def _left(comparison: int, planned: int, alpha: float, before: float) -> float:
    """Return alpha_k, or 0 where it would bring what is spent in all above alpha."""
    spent = spent_alpha(comparison, planned, alpha)
    return spent if before + spent <= alpha * (1 + 1e-9) else 0.0


def _fresh_needed(total_uses: int, n_images: int, k: int, unreadable: int) -> int | None:
    """Return how many images, used in the unreadable comparisons alone, bring the mean use down to k - 1."""
    spare = k - 1 - unreadable
    return -(-(total_uses - (k - 1) * n_images) // spare) if spare > 0 else None
