"""No class and no slice may pay for the gain: non-inferiority, Holm-corrected within classes and within slices.

This is the guard against forgetting: each class that both models know is judged, and so is the accuracy on the classes
that the champion knew, when others have come up since. What only one of them knows: `.class_changes`.

A class is judged on Youden's J = recall + specificity - 1, so that a champion which calls everything by its name is
not protected for its recall (docs/decisions/0002); a slice on accuracy. A member

- fails when its loss exceeds the margin and is proven to be a loss (at most alpha for a blameless challenger,
  however many members the family has);
- passes when a loss beyond the margin is excluded;
- in between blocks while not even the loss is excluded that so few images can exclude (`visionpipe.stats.families`);
  else it is "too few images to judge", and listed with the loss that is possible.

The accuracy on the classes that the champion knew is a family of its own, and blocks as long as it is open.

alpha = (1 - level) / 2: 2.5 % by default. Shapes: N test images, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from visionpipe.counting import noun_for
from visionpipe.metrics.slices import cut
from visionpipe.promotion.checks import ScoredImages, images_needed, z_of
from visionpipe.promotion.decision import Check
from visionpipe.promotion.parameters import PromotionParameters
from visionpipe.stats.families import JudgedDifference, compare_family, slice_differences
from visionpipe.stats.youden import youden_difference

MOST_LISTED = 30  # classes and slices that are too small to judge


def regression_checks(
    test: ScoredImages, slices: Mapping[str, NDArray[np.int64]], parameters: PromotionParameters
) -> list[Check]:
    """Return for each class and slice whether the challenger loses there; those too small are only listed.

    Parameters
    ----------
    test
        The test images and what both models decided on each.
    slices
        Rows of each slice (`slice_rows`).
    parameters
        Margin, confidence and the smallest slice that is judged.
    """
    assert test.champion_N is not None
    right = [test.champion_N == test.labels_N, test.challenger_N == test.labels_N]
    classes, small_classes = _large_enough(_class_rows(test), parameters)
    slices, small_slices = _large_enough(slices, parameters)
    called = [
        [
            models_N == test.classes.index(name)
            for models_N in (test.champion_N, test.challenger_N, test.labels_N)
        ]
        for name in classes
    ]
    known_M = np.flatnonzero(np.isin(test.labels_N, [test.classes.index(c) for c in test.champion_classes]))
    # not a slice among others: without it a new class could pay for all that is lost on the old ones
    old = {"the champion knew the class": known_M} if 0 < len(known_M) < len(test.labels_N) else {}
    level, groups_N = parameters.level, test.group_ids_N
    of_classes = [youden_difference(*each, groups_N, level=level) for each in called]
    of_slices, of_old = (
        slice_differences(*right, groups_N, list(members.values()), level=level) for members in (slices, old)
    )
    margin = parameters.non_inferiority_margin
    checks = [
        _check(f"{what} {name}", len(rows), found, len(test.labels_N), parameters, always=members is old)
        for what, members, differences in (
            ("accuracy where", old, of_old),
            ("Youden's J of class", classes, of_classes),
            ("accuracy where", slices, of_slices),
        )
        for (name, rows), found in zip(
            members.items(), compare_family(differences, margin=margin, level=level), strict=True
        )
    ]
    if not len(known_M):
        checks.append(_nothing_known(parameters))
    small = {f"Youden's J of class {name}": n for name, n in small_classes.items()}
    return checks + list(
        _too_small(small | {f"accuracy where {name}": n for name, n in small_slices.items()}, parameters)
    )


def slice_rows(test: ScoredImages, parameters: PromotionParameters) -> dict[str, NDArray[np.int64]]:
    """Return the test images of each value of each attribute column, and of the pairs that are asked for.

    Returns
    -------
    dict
        Row indices by the words that name the slice: "site is Linz", "site is Linz and camera is new".
    """
    labels_N = np.array(test.classes, dtype=object)[test.labels_N]
    columns = {
        name: _values(name, values_N) for name, values_N in (test.slices | {"label": labels_N}).items()
    }
    members = {name: rows for column in test.slices for name, rows in columns[column].items()}
    for first, second in parameters.slice_pairs:
        for one, rows_one in columns[first].items():
            for other, rows_other in columns[second].items():
                both = np.intersect1d(rows_one, rows_other, assume_unique=True)
                if len(both):
                    members[f"{one} and {other}"] = both
    return members


def empty_slices(test: ScoredImages, parameters: PromotionParameters) -> list[Check]:
    """Return an open check for each column to slice by in which no test image has a value."""
    columns = dict.fromkeys([*parameters.slices, *(name for pair in parameters.slice_pairs for name in pair)])
    return [
        Check(
            name=f"slices of {column}",
            kind="sanity",
            value=0.0,
            passed=None,
            detail=f"no test image has a value of {column!r}, by whose values the challenger is to be judged",
        )
        for column in columns
        if column in test.slices and not any(value is not None for value in test.slices[column])
    ]


def _values(column: str, values_N: NDArray[np.object_]) -> dict[str, NDArray[np.int64]]:
    found = cut(column, values_N)
    return {
        f"{column} is {value}": np.flatnonzero(found.codes_N == k) for k, value in enumerate(found.values)
    }


def _class_rows(test: ScoredImages) -> dict[str, NDArray[np.int64]]:
    """Return the rows of each class both models know; of two classes the rarer alone, for both have the same J."""
    known = set(test.champion_classes) & set(test.challenger_classes)
    rows = {name: np.flatnonzero(test.labels_N == k) for k, name in enumerate(test.classes) if name in known}
    if len(rows) == len(test.classes) == 2:
        rarer = min(rows, key=lambda name: len(rows[name]))
        rows = {rarer: rows[rarer]}
    return rows


def _large_enough(
    members: Mapping[str, NDArray[np.int64]], parameters: PromotionParameters
) -> tuple[dict[str, NDArray[np.int64]], dict[str, int]]:
    """Split into the members that can be judged and the sizes of the others."""
    judged = {name: rows for name, rows in members.items() if len(rows) >= parameters.min_slice_images}
    return judged, {name: len(rows) for name, rows in members.items() if name not in judged}


def _check(
    name: str,
    n_rows: int,
    found: JudgedDifference,
    n_images: int,
    parameters: PromotionParameters,
    *,
    always: bool,
) -> Check:
    margin, alpha = parameters.non_inferiority_margin, parameters.alpha
    detail = f"{name} changes by {100 * found.difference:+.1f} points on {n_rows} images"
    passed, held_up = True if found.p_inferior <= alpha else None, found.held_up or always
    loss = margin if always else found.excludable
    if found.difference < -margin and found.p_worse <= alpha:
        passed, detail = False, f"{detail}, a proven loss"
    elif passed is None and held_up:
        detail += f", and a loss of more than {100 * loss:.2g} points can't be excluded"
    elif passed is None:
        possible = max(margin, -found.low)
        detail = (
            f"too few images to judge: {detail}, and a loss of up to {100 * possible:.2g} points is possible"
        )
    return Check(
        name=name,
        kind="non_inferiority",
        value=found.difference,
        low=found.low,
        high=found.high,
        limit=-margin,
        p_value=found.p_worse if passed is False else found.p_inferior,
        passed=passed,
        detail=detail,
        blocking=passed is not None or held_up,
        images_needed=images_needed(n_images, z_of(found.p_inferior), alpha),
    )


def _nothing_known(parameters: PromotionParameters) -> Check:
    return Check(
        name="accuracy where the champion knew the class",
        kind="non_inferiority",
        limit=-parameters.non_inferiority_margin,
        passed=None,
        detail="no test image is of a class that the champion knows, so nothing shows what would be lost",
    )


def _too_small(small: dict[str, int], parameters: PromotionParameters) -> Iterator[Check]:
    listed = {name: f"{n} of the {parameters.min_slice_images} needed" for name, n in small.items()}
    if len(small) > MOST_LISTED:
        listed = dict(list(listed.items())[:MOST_LISTED])
        rest = len(small) - MOST_LISTED
        listed[f"{rest} more {noun_for(rest, 'slice')}"] = f"fewer than {parameters.min_slice_images} in each"
    for name, why in listed.items():
        yield Check(
            name=name,
            kind="non_inferiority",
            limit=-parameters.non_inferiority_margin,
            passed=None,
            detail=f"too few images to judge: {why}",
            blocking=False,
        )
