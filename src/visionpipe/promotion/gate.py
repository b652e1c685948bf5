"""The promotion gate: a challenger takes over only when it is proven better and nothing is proven worse.

A pure function of labels, probabilities and what the models learned from: no file, registry or clock.
Shapes: N test images, K classes.

- Each check passes, fails or is open. A failed one rejects; an open one that blocks leaves the evidence
  insufficient; else the challenger is promoted. Promotion needs every check, so a model that is no better gets
  in no more often than by the gain check alone (an intersection-union test: no correction is needed).
- What each asks for: gain and acceptance in `visionpipe.promotion.checks`, no loss in `.regressions`.
- A test image that either model learned from, or an input that makes no sense, rejects before anything is judged.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from visionpipe.metrics.calibration import probability_problems
from visionpipe.promotion.checks import (
    ScoredImages,
    acceptance_checks,
    gain_checks,
)
from visionpipe.promotion.decision import Check, Decision
from visionpipe.promotion.parameters import PromotionParameters
from visionpipe.promotion.regressions import regression_checks

MOST_NAMED = 10  # ids of leaked images in a sentence


def judge(
    *,
    labels_N: ArrayLike,
    classes: Sequence[str],
    image_ids_N: ArrayLike,
    group_ids_N: ArrayLike,
    challenger_probabilities_NK: ArrayLike,
    champion_probabilities_NK: ArrayLike | None,
    slices: Mapping[str, ArrayLike],
    champion_seen_ids: Collection[str],
    challenger_seen_ids: Collection[str],
    champion_seen_groups: Collection[str],
    challenger_seen_groups: Collection[str],
    parameters: PromotionParameters,
    champion_version: str | None,
    challenger_decided_N: ArrayLike | None = None,
    champion_decided_N: ArrayLike | None = None,
) -> Decision:
    """Decide whether the challenger takes over; never raises on what the models or the tables hold.

    Parameters
    ----------
    labels_N, classes
        Class codes (0 to K - 1) of the test images, and the K class names.
    image_ids_N, group_ids_N
        Of the test images; images of a group count as one piece of evidence.
    challenger_probabilities_NK, champion_probabilities_NK
        Rows that sum to 1, both in the columns of ``classes``: 0 for a class the model does not know. None when
        there is no champion, and acceptance limits alone decide.
    slices
        Attribute columns of the test images by name; a missing value belongs to no slice. Must hold the columns
        that ``parameters.slices`` names.
    champion_seen_ids, challenger_seen_ids, champion_seen_groups, challenger_seen_groups
        What each model learned or was tuned from.
    parameters
        Metric, confidence, margins and limits.
    champion_version
        For the words of the verdict.
    challenger_decided_N, champion_decided_N
        Class codes that each model's decision rule gives; None: the likeliest class.
    """
    try:
        test = ScoredImages(
            labels_N=np.asarray(labels_N),
            classes=[str(name) for name in classes],
            image_ids_N=np.asarray(image_ids_N),
            group_ids_N=np.asarray(group_ids_N),
            challenger_NK=np.asarray(challenger_probabilities_NK, dtype=float),
            champion_NK=_floats_or_none(champion_probabilities_NK),
            challenger_N=_decided(challenger_decided_N, challenger_probabilities_NK),
            champion_N=None
            if champion_probabilities_NK is None
            else _decided(champion_decided_N, champion_probabilities_NK),
            slices={name: _names(values) for name, values in slices.items()},
        )
        problems = _problems(test, parameters)
    except (TypeError, ValueError) as error:
        return _decide([_sanity(f"the test table can't be read: {error}")], 0, parameters, champion_version)
    n_images = len(test.image_ids_N)
    if problems:
        return _decide([_sanity("; ".join(problems))], n_images, parameters, champion_version)
    test = replace(test, labels_N=test.labels_N.astype(np.int64))
    checks = [
        *_leaks(test, "champion", champion_seen_ids, champion_seen_groups),
        *_leaks(test, "challenger", challenger_seen_ids, challenger_seen_groups),
        _enough_images(test, parameters),
    ]
    if all(check.passed for check in checks):
        if test.champion_NK is not None:
            checks += gain_checks(test, test.champion_NK, parameters, champion_version)
            checks += regression_checks(test, parameters)
        checks += acceptance_checks(test, parameters)
    return _decide(checks, n_images, parameters, champion_version)


def _decide(
    checks: list[Check], n_images: int, parameters: PromotionParameters, champion_version: str | None
) -> Decision:
    failed = [check for check in checks if check.passed is False]
    open_checks = [check for check in checks if check.passed is None and check.blocking]
    gains = [check for check in checks if check.kind == "gain"]
    checks = [check if check.passed is None else replace(check, images_needed=None) for check in checks]
    images_needed = None
    if failed:
        outcome, reason = "reject", f"Not promoted: {failed[0].detail}"
        if len(failed) > 1:
            reason += f" (and {len(failed) - 1} more failed check{'s' if len(failed) > 2 else ''})"
    elif open_checks:
        outcome, reason = "insufficient_evidence", f"Not proven: {open_checks[0].detail}"
        needed = [check.images_needed for check in open_checks]
        if None not in needed:
            images_needed = max(needed)
            reason += f"; about {images_needed:,} test images would decide it"
    elif gains:
        outcome, reason = "promote", f"Proven better: {gains[0].detail}, and nothing is proven worse"
    else:
        limits = "every acceptance limit is met at its confidence bound"
        limits = limits if parameters.acceptance else "there is no champion and no acceptance limit is set"
        outcome, reason = "promote", f"Fit to be the first champion: {limits} ({n_images} test images)"
    return Decision(
        outcome=outcome,
        reason=f"{reason}.",
        checks=checks,
        n_test_images=n_images,
        images_needed=images_needed,
        champion_version=champion_version,
        metric=parameters.metric,
    )


def _problems(test: ScoredImages, parameters: PromotionParameters) -> list[str]:
    """Return what makes the test table unfit to judge anything, in words."""
    n_images, n_classes = len(test.image_ids_N), len(test.classes)
    lengths = {"labels": test.labels_N, "group ids": test.group_ids_N}
    lengths |= {f"values of slice {name!r}": values for name, values in test.slices.items()}
    found = [
        f"{what} of shape {values.shape} for {n_images} images"
        for what, values in lengths.items()
        if values.shape != (n_images,)
    ]
    if len(set(test.classes)) < n_classes:
        found.append("two classes have the same name")
    if missing := sum(map(_is_missing, test.group_ids_N.flat)):
        found.append(f"{missing} test images have no group id")
    if n_images:
        if not np.issubdtype(test.labels_N.dtype, np.integer):
            found.append(f"labels are {test.labels_N.dtype}, integer class codes are needed")
        elif test.labels_N.min() < 0 or test.labels_N.max() >= n_classes:
            found.append(f"label codes outside of 0 to {n_classes - 1}")
    if twice := n_images - len(set(test.image_ids_N.tolist())):
        found.append(f"{twice} test images occur more than once")
    for who, probabilities_NK in (("challenger", test.challenger_NK), ("champion", test.champion_NK)):
        if probabilities_NK is not None and n_images:
            problems = probability_problems(probabilities_NK, n_images, n_classes)
            found += [f"the {who}'s probabilities: {problem}" for problem in problems]
    for who, decided_N in (("challenger", test.challenger_N), ("champion", test.champion_N)):
        if decided_N is not None and decided_N.shape != (n_images,):
            found.append(f"the {who}'s decisions: shape {decided_N.shape} instead of ({n_images},)")
        elif decided_N is not None and not np.isin(decided_N, np.arange(n_classes)).all():
            found.append(f"the {who} decided on class codes outside of 0 to {n_classes - 1}")
    found += [f"no column {name!r} to slice by" for name in parameters.slices if name not in test.slices]
    try:
        parameters.limits(test.classes)
    except ValueError as error:
        found.append(str(error))
    return found


def _sanity(problem: str) -> Check:
    return Check(name="test table", kind="sanity", passed=False, detail=problem)


def _leaks(test: ScoredImages, who: str, ids: Collection[str], groups: Collection[str]) -> list[Check]:
    checks = []
    for what, values_N, seen in (
        ("test images", test.image_ids_N, ids),
        ("test groups", test.group_ids_N, groups),
    ):
        known = sorted(set(values_N.tolist()) & set(seen), key=str)
        named = ", ".join(map(str, known[:MOST_NAMED])) + (", ..." if len(known) > MOST_NAMED else "")
        detail = f"the {who} has learned from {len(known)} of the {what}: {named}"
        checks.append(
            Check(
                name=f"{what} new to the {who}",
                kind="leak",
                value=float(len(known)),
                limit=0.0,
                passed=not known,
                detail=detail if known else f"the {who} has learned from none of the {what}",
            )
        )
    return checks


def _enough_images(test: ScoredImages, parameters: PromotionParameters) -> Check:
    n_images, minimum = len(test.image_ids_N), parameters.min_test_images
    n_labelled = len(np.unique(test.labels_N))
    detail = f"{n_images} test images of {n_labelled} {'class' if n_labelled == 1 else 'classes'}"
    if n_images < minimum:
        detail += f", at least {minimum} images are needed (promotion.min_test_images)"
    elif n_labelled < 2:
        detail += ", at least two classes are needed"
    return Check(
        name="enough test images",
        kind="sanity",
        value=float(n_images),
        limit=float(minimum),
        passed=True if n_images >= minimum and n_labelled >= 2 else None,
        detail=detail,
        images_needed=minimum if n_images < minimum else None,
    )


def _floats_or_none(values: ArrayLike | None) -> NDArray[np.float64] | None:
    return None if values is None else np.asarray(values, dtype=float)


def _decided(codes_N: ArrayLike | None, probabilities_NK: ArrayLike) -> NDArray[np.int64]:
    if codes_N is not None:
        return np.asarray(codes_N)
    return np.asarray(probabilities_NK, dtype=float).argmax(axis=-1)


def _names(values: ArrayLike) -> NDArray[Any]:
    return np.array([None if _is_missing(value) else str(value) for value in values], dtype=object)


def _is_missing(value: Any) -> bool:
    """Tell whether a table has no value here: None, NaN, NaT or pandas' NA."""
    if isinstance(value, list | np.ndarray):
        raise ValueError(f"{value!r} where one value is needed")
    try:
        return value is None or bool(value != value)
    except TypeError:  # NA is neither equal to itself nor not
        return True
