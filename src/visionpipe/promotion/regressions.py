"""No class and no slice may pay for the gain: non-inferiority, Holm-corrected within classes and within slices.

A class is judged on Youden's J = recall + specificity - 1, so that a champion which calls everything by its name is
not protected for its recall (docs/decisions/0002); a slice on accuracy. A member

- fails when its loss exceeds the margin and is proven to be a loss (at most alpha for a blameless challenger,
  however many members the family has);
- passes when a loss beyond the margin is excluded;
- in between blocks only where an equally good challenger would have passed with 95 % power; else it is "too few
  images to judge", and listed.

alpha = (1 - level) / 2: 2.5 % by default. Shapes: N test images, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visionpipe.promotion.checks import ScoredImages, images_needed, z_of
from visionpipe.promotion.decision import Check
from visionpipe.promotion.parameters import PromotionParameters
from visionpipe.stats.paired import JUDGEABLE_POWER, compare_slices, holm
from visionpipe.stats.youden import youden_difference

MOST_LISTED = 30  # classes and slices that are too small to judge


@dataclass(frozen=True)
class _Comparison:
    """One member of a family: its difference, its Holm-adjusted p-values, and whether it can be judged at all."""

    difference: float
    low: float
    high: float
    p_inferior: float
    p_worse: float
    judgeable: bool


def regression_checks(test: ScoredImages, parameters: PromotionParameters) -> list[Check]:
    """Return for each class and slice whether the challenger loses there; those too small are only listed."""
    assert test.champion_N is not None
    champion_N, challenger_N = test.champion_N, test.challenger_N
    classes = _class_rows(test)
    slices = _slice_rows(test)
    checks, small = [], {}
    for members, compare in ((classes, _compare_classes), (slices, _compare_slices)):
        judged = {name: rows for name, rows in members.items() if len(rows) >= parameters.min_slice_images}
        small |= {name: len(rows) for name, rows in members.items() if name not in judged}
        compared = compare(test, champion_N, challenger_N, judged, parameters)
        checks += [
            _check(name, len(rows), found, len(test.labels_N), parameters)
            for (name, rows), found in zip(judged.items(), compared, strict=True)
        ]
    return checks + list(_too_small(small, parameters))


def _class_rows(test: ScoredImages) -> dict[str, NDArray[np.int64]]:
    """Return the rows of each class; of two classes the rarer alone, for both have the same J."""
    rows = {name: np.flatnonzero(test.labels_N == k) for k, name in enumerate(test.classes)}
    if len(rows) == 2:
        rarer = min(rows, key=lambda name: len(rows[name]))
        rows = {rarer: rows[rarer]}
    return {f"Youden's J of class {name}": of_class for name, of_class in rows.items()}


def _slice_rows(test: ScoredImages) -> dict[str, NDArray[np.int64]]:
    members = {}
    for column, values_N in test.slices.items():
        known_M = np.flatnonzero(values_N != None)  # noqa: E711 - element by element
        values, codes_M = np.unique(values_N[known_M], return_inverse=True)
        members |= {
            f"accuracy where {column} is {value}": known_M[codes_M == k] for k, value in enumerate(values)
        }
    return members


def _compare_classes(
    test: ScoredImages,
    champion_N: NDArray[np.int64],
    challenger_N: NDArray[np.int64],
    judged: dict[str, NDArray[np.int64]],
    parameters: PromotionParameters,
) -> list[_Comparison]:
    codes = [int(test.labels_N[rows[0]]) for rows in judged.values()]
    found = [
        youden_difference(
            champion_N == code,
            challenger_N == code,
            test.labels_N == code,
            test.group_ids_N,
            level=parameters.level,
        )
        for code in codes
    ]
    margin, alpha = parameters.non_inferiority_margin, (1 - parameters.level) / 2
    p_inferior = np.array([each.p_below(-margin) for each in found])
    p_worse = holm([each.p_above(0.0) for each in found])
    steps = len(found) - np.argsort(np.argsort(p_inferior, kind="stable"))  # Holm divides alpha by these
    enough = z_of(alpha / max(1, len(found))) + z_of(1 - JUDGEABLE_POWER)
    return [
        _Comparison(
            each.difference,
            *each.interval(1 - 2 * alpha / step),
            p_inferior=float(adjusted),
            p_worse=float(worse),
            judgeable=bool(margin >= enough * each.standard_error),
        )
        for each, step, adjusted, worse in zip(found, steps, holm(p_inferior), p_worse, strict=True)
    ]


def _compare_slices(
    test: ScoredImages,
    champion_N: NDArray[np.int64],
    challenger_N: NDArray[np.int64],
    judged: dict[str, NDArray[np.int64]],
    parameters: PromotionParameters,
) -> list[_Comparison]:
    found = compare_slices(
        champion_N == test.labels_N,
        challenger_N == test.labels_N,
        test.group_ids_N,
        list(judged.values()),
        margin=parameters.non_inferiority_margin,
        level=parameters.level,
    )
    return [
        _Comparison(
            each.test.difference,
            each.test.low,
            each.test.high,
            p_inferior=each.test.p_value,
            p_worse=each.p_worse,
            judgeable=each.judgeable,
        )
        for each in found
    ]


def _check(
    name: str, n_rows: int, found: _Comparison, n_images: int, parameters: PromotionParameters
) -> Check:
    margin, alpha = parameters.non_inferiority_margin, (1 - parameters.level) / 2
    detail = f"{name} changes by {100 * found.difference:+.1f} points on {n_rows} images"
    passed = True if found.p_inferior <= alpha else None
    if found.difference < -margin and found.p_worse <= alpha:
        passed, detail = False, f"{detail}, a proven loss"
    elif passed is None and found.judgeable:
        detail += f", and a loss of more than {100 * margin:g} points can't be excluded"
    elif passed is None:
        detail = f"too few images to judge: {detail}"
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
        blocking=passed is not None or found.judgeable,
        images_needed=images_needed(n_images, z_of(found.p_inferior), alpha),
    )


def _too_small(small: dict[str, int], parameters: PromotionParameters) -> Iterator[Check]:
    listed = {name: f"{n} of the {parameters.min_slice_images} needed" for name, n in small.items()}
    if len(small) > MOST_LISTED:
        listed = dict(list(listed.items())[:MOST_LISTED])
        rest = len(small) - MOST_LISTED
        listed[f"{rest} more slices"] = f"fewer than {parameters.min_slice_images} in each"
    for name, why in listed.items():
        yield Check(
            name=name,
            kind="non_inferiority",
            limit=-parameters.non_inferiority_margin,
            passed=None,
            detail=f"too few images to judge: {why}",
            blocking=False,
        )
