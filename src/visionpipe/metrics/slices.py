"""Where is the model weaker? Accuracy and recall within parts of the test images, each with its own verdict.

Shapes: N images, M images of a slice. A slice is

- "lower than the rest" when that is proven: the upper bound of its difference to the rest (two exact intervals,
  combined as by Newcombe 1998) lies below 0, at a confidence that is corrected for the number of slices looked at
  (Bonferroni), so that with no weak slice at all a false alarm among all of them has a chance of (1 - level) / 2;
- else "too few images to judge" when its interval reaches further from the estimate than the wanted precision;
- else "no shortfall found".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from visionpipe.stats.intervals import Interval, clustered_proportion

TOO_FEW = "too few images to judge"
LOWER = "lower than the rest"
NO_SHORTFALL = "no shortfall found"


@dataclass(frozen=True)
class Slice:
    """Some of the test images, and the images that they are compared with."""

    name: str
    """Such as ``camera is north``."""
    inside_N: NDArray[np.bool_]
    among_N: NDArray[np.bool_] | None = None
    """The rest is taken from these; None: from all images."""
    metric: str = "accuracy"
    """Or ``recall[CLASS]``: accuracy within the images of a class."""

    @property
    def rest_N(self) -> NDArray[np.bool_]:
        """What the slice is compared with."""
        return ~self.inside_N if self.among_N is None else self.among_N & ~self.inside_N


@dataclass(frozen=True)
class JudgedSlice:
    """The share of right answers in a slice, with its verdict."""

    name: str
    metric: str
    n: int
    share: Interval
    """At the plain confidence; a slice without images has NaN as its estimate."""
    verdict: str
    """`TOO_FEW`, `LOWER` or `NO_SHORTFALL`."""
    is_all: bool = False
    """Whether there is no rest."""

    def as_dict(self) -> dict[str, object]:
        """Return a flat JSON-safe mapping."""
        interval = self.share.as_dict()
        return {"name": self.name, "n": self.n, "metric": self.metric, **interval, "verdict": self.verdict}


@dataclass(frozen=True)
class Attribute:
    """A column of the test images, cut into the values that occur often enough."""

    name: str
    values: list[str]
    codes_N: NDArray[np.int64]
    """Position in `values`; -1 for a missing or a rare value."""
    n_rare: int
    """Values that were left out as too rare."""

    def slices(self) -> list[Slice]:
        """Return a slice for each value."""
        return [Slice(f"{self.name} is {value}", self.codes_N == k) for k, value in enumerate(self.values)]


def cut(name: str, values_N: ArrayLike, least: int = 1) -> Attribute:
    """Return the values of a column that at least ``least`` images have, in the order of their text.

    Examples
    --------
    >>> cut("site", ["B", "A", "B", None], least=2)
    Attribute(name='site', values=['B'], codes_N=array([ 0, -1,  0, -1]), n_rare=1)
    """
    objects_N = np.asarray(values_N, dtype=object)
    known_N = np.array([value is not None for value in objects_N], dtype=bool)
    values, codes_M = np.unique(objects_N[known_N].astype(str), return_inverse=True)
    often = np.bincount(codes_M, minlength=len(values)) >= least
    place = np.where(often, np.cumsum(often) - 1, -1)
    codes_N = np.full(len(objects_N), -1, dtype=np.int64)
    codes_N[known_N] = place[codes_M]
    return Attribute(name, values[often].tolist(), codes_N, int((~often).sum()))


def slices_of_classes(labels_N: NDArray[np.int64], classes: Sequence[str]) -> list[Slice]:
    """Return a slice for the images of each class: its accuracy is the recall of the class."""
    return [Slice(name, labels_N == k, metric=f"recall[{name}]") for k, name in enumerate(classes)]


def pairs_of_attributes(
    attributes: Sequence[Attribute],
    labels_N: NDArray[np.int64],
    classes: Sequence[str],
    *,
    least: int,
    most: int,
) -> tuple[list[Slice], int]:
    """Return the slices that two attributes make together, and each class within the values of each attribute.

    A class within a value is compared with the other images of the class.

    Parameters
    ----------
    labels_N, classes
        Class codes, 0 to K - 1, and the K names.
    least
        Images that a pair needs, >= 1.
    most
        The largest so many pairs are returned.

    Returns
    -------
    list of Slice, int
        The pairs, largest first, and how many there are in all. A pair that holds the same images as one of its two
        parts tells nothing new and is left out.
    """
    label = Attribute("", list(classes), labels_N, 0)
    pairs = [*combinations(attributes, 2), *((attribute, label) for attribute in attributes)]
    found = []
    for p, (first, second) in enumerate(pairs):
        both_N = (first.codes_N >= 0) & (second.codes_N >= 0)
        joint_M = first.codes_N[both_N] * len(second.values) + second.codes_N[both_N]
        alone = [np.bincount(each.codes_N[each.codes_N >= 0]) for each in (first, second)]
        for code, n in zip(*np.unique(joint_M, return_counts=True), strict=True):
            i, j = divmod(int(code), len(second.values))
            if n >= least and n not in (alone[0][i], alone[1][j]):
                found.append((-int(n), p, i, j))
    return [_pair(*pairs[p], i, j, label) for _, p, i, j in sorted(found)[:most]], len(found)


def _pair(first: Attribute, second: Attribute, i: int, j: int, label: Attribute) -> Slice:
    where, other_N = f"{first.name} is {first.values[i]}", second.codes_N == j
    inside_N = (first.codes_N == i) & other_N
    if second is label:
        return Slice(where, inside_N, other_N, f"recall[{label.values[j]}]")
    return Slice(f"{where} and {second.name} is {second.values[j]}", inside_N)


def judge_slices(
    slices: Sequence[Slice],
    correct_N: ArrayLike,
    groups_N: NDArray[np.int64],
    *,
    level: float,
    precision: float,
) -> list[JudgedSlice]:
    """Judge the slices as one family (see the module).

    Parameters
    ----------
    slices
        They may overlap, and be empty.
    correct_N
        Whether each answer is right.
    groups_N
        Images of one group are not independent evidence; integer codes, for speed.
    level
        Confidence of the intervals, 0 to 1.
    precision
        The furthest an interval may reach from its estimate for "no shortfall found", 0 to 1.
    """
    correct = np.asarray(correct_N, dtype=float)
    strict = 1 - (1 - level) / max(1, len(slices))
    judged = []
    for each in slices:
        inside_N, rest_N = each.inside_N, each.rest_N
        n, n_rest = int(inside_N.sum()), int(rest_N.sum())
        share = clustered_proportion(correct[inside_N], groups_N[inside_N], level)
        verdict = NO_SHORTFALL
        if n and n_rest and _is_lower(inside_N, rest_N, correct, groups_N, strict):
            verdict = LOWER
        elif not n or max(share.high - share.estimate, share.estimate - share.low) > precision:
            verdict = TOO_FEW
        judged.append(JudgedSlice(each.name, each.metric, n, share, verdict, is_all=n_rest == 0))
    return judged


def _is_lower(
    inside_N: NDArray[np.bool_],
    rest_N: NDArray[np.bool_],
    correct_N: NDArray[np.float64],
    groups_N: NDArray[np.int64],
    level: float,
) -> bool:
    if correct_N[inside_N].mean() >= correct_N[rest_N].mean():
        return False
    here, there = (
        clustered_proportion(correct_N[rows], groups_N[rows], level) for rows in (inside_N, rest_N)
    )
    reach = math.hypot(here.high - here.estimate, there.estimate - there.low)
    return here.estimate - there.estimate + reach < 0


def worst_slice(judged: Sequence[JudgedSlice]) -> JudgedSlice | None:
    """Return the slice with the lowest upper bound of its accuracy; of equal ones the largest, None without any.

    The upper bound is what the slice can be at best: a handful of images with some mistakes has a low estimate and a
    high upper bound, so that it is named only where even luck does not explain it.
    """
    named = [each for each in judged if each.metric == "accuracy" and each.n and not each.is_all]
    return min(named, key=lambda each: (each.share.high, -each.n, each.name), default=None)
