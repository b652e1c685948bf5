"""What is looked at before anything is judged: whether the test table makes sense, and whether it may decide.

Nothing of this depends on how good a model is, so a comparison that ends here has not used the test images.
Shapes: N test images, K classes.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from visionpipe.counting import counted, noun_for
from visionpipe.metrics.calibration import probability_problems
from visionpipe.promotion.checks import ScoredImages
from visionpipe.promotion.decision import Check
from visionpipe.promotion.parameters import PromotionParameters
from visionpipe.promotion.wear import Wear

MOST_NAMED = 3  # ids of leaked images in a sentence
_ID_CHARACTERS = 12
_REMEDY = {
    "champion": "the splits have changed since it was trained, or images have moved between them; set ingestion.split "
    "and ingestion.near_duplicates as they were, or start anew under another model_name (conf/local/globals.yml)",
    "challenger": "it was trained on other splits than these; train again",
}


def problems(test: ScoredImages, parameters: PromotionParameters) -> list[str]:
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
    for what, ids_N in (("image id", test.image_ids_N), ("group id", test.group_ids_N)):
        if missing := sum(value is None for value in ids_N.flat):
            found.append(f"{counted(missing, 'test image')} without {what}")
    if n_images:
        if not np.issubdtype(test.labels_N.dtype, np.integer):
            found.append(f"labels are {test.labels_N.dtype}, integer class codes are needed")
        elif test.labels_N.min() < 0 or test.labels_N.max() >= n_classes:
            found.append(f"label codes outside of 0 to {n_classes - 1}")
    known_ids = [image_id for image_id in test.image_ids_N.tolist() if image_id is not None]
    if twice := len(known_ids) - len(set(known_ids)):
        found.append(f"{counted(twice, 'test image')} more than once in the table")
    for who, probabilities_NK in (("challenger", test.challenger_NK), ("champion", test.champion_NK)):
        if probabilities_NK is not None and n_images:
            problems = probability_problems(probabilities_NK, n_images, n_classes)
            found += [f"the {who}'s probabilities: {problem}" for problem in problems]
    for who, decided_N in (("challenger", test.challenger_N), ("champion", test.champion_N)):
        if decided_N is not None and decided_N.shape != (n_images,):
            found.append(f"the {who}'s decisions: shape {decided_N.shape} instead of ({n_images},)")
        elif decided_N is not None and not np.isin(decided_N, np.arange(n_classes)).all():
            found.append(f"the {who} decided on class codes outside of 0 to {n_classes - 1}")
    found += parameters.unknown_columns(test.slices)
    try:
        parameters.limits(test.classes)
    except ValueError as error:
        found.append(str(error))
    return found


def leaks(
    test: ScoredImages, who: str, ids: Collection[str] | None, groups: Collection[str] | None
) -> list[Check]:
    """Return whether a model has learned from test images, or from others of their groups; ids are texts."""
    checks = []
    for what, values_N, seen in (
        ("test images", test.image_ids_N, ids),
        ("test groups", test.group_ids_N, groups),
    ):
        if seen is None:
            detail = f"nobody knows from which images the {who} has learned, so these {what} can't test it"
            checks.append(Check(name=f"{what} new to the {who}", kind="leak", passed=False, detail=detail))
            continue
        known = sorted(set(values_N.tolist()) & set(map(str, seen)))
        named = ", ".join(map(_short, known[:MOST_NAMED])) + (", ..." if len(known) > MOST_NAMED else "")
        detail = f"the {who} has learned from {len(known)} of the {what} ({named}): {_REMEDY[who]}"
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


def _short(identity: str) -> str:
    return identity if len(identity) <= _ID_CHARACTERS else f"{identity[:_ID_CHARACTERS]}…"


def enough_images(test: ScoredImages, parameters: PromotionParameters) -> Check:
    """Return whether there are enough test images, of two classes at least."""
    n_images, minimum = len(test.image_ids_N), parameters.min_test_images
    n_labelled = len(np.unique(test.labels_N))
    detail = f"{counted(n_images, 'test image')} of {counted(n_labelled, 'class')}"
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


def enough_left(wear: Wear) -> Check:
    """Say how often the test images have decided; what they may still spend is nothing when they are worn out."""
    n, k = wear.n_images, wear.comparison
    if k == 1:
        detail = f"no earlier comparison used any of the {n:,} test images"
    else:
        detail = (
            f"an image of the {n:,} has been used in {wear.mean_uses:.3g} earlier "
            f"{noun_for(wear.mean_uses, 'comparison')} on average (at most {wear.most_uses}), "
            f"{wear.n_fresh:,} are fresh"
        )
    if wear.worn_out:
        remedy = (
            "restore the lists of the earlier test images (comparison/test_images-*.json of their MLflow runs)"
            if wear.fresh_needed is None
            else f"bring in {wear.fresh_needed:,} fresh test images"
        )
        used_up = f"{wear.planned} comparisons are planned"
        if wear.comparison <= wear.planned:
            used_up = f"earlier comparisons have spent {100 * wear.spent_before:.2g} % of the {100 * wear.alpha:.2g} %"
            used_up += " that all may err with"
        detail = f"the test images are worn out: {detail}, and {used_up}; {remedy}"
    else:
        detail += f"; comparison {k} of {wear.planned} planned may err with {100 * wear.spent:.2g} % of the "
        detail += f"{100 * wear.alpha:.2g} % that they share"
    return Check(
        name="use of the test images",
        kind="wear",
        value=float(k),
        limit=float(wear.planned),
        passed=None if wear.worn_out else True,
        detail=detail,
    )


def known(names: Collection[str] | None, classes: Sequence[str]) -> list[str]:
    """Return those of the classes that a model can give; None: all."""
    given = None if names is None else set(map(str, names))
    return [str(name) for name in classes if given is None or str(name) in given]


def floats_or_none(values: ArrayLike | None) -> NDArray[np.float64] | None:
    """Return numbers as an array of floats."""
    return None if values is None else np.asarray(values, dtype=float)


def decided(codes_N: ArrayLike | None, probabilities_NK: ArrayLike) -> NDArray[np.int64]:
    """Return the class codes that were decided on, or of the likeliest classes."""
    if codes_N is not None:
        return np.asarray(codes_N)
    return np.asarray(probabilities_NK, dtype=float).argmax(axis=-1)


def texts(ids_N: ArrayLike) -> NDArray[Any]:
    """Return ids as texts of the same shape, so that 3 and "3" are one; None where there is none."""
    ids = np.asarray(ids_N)
    if ids.dtype != object:
        ids = ids.astype(object)
    found = np.empty(ids.shape, dtype=object)
    for place, value in np.ndenumerate(ids):
        found[place] = None if _is_missing(value) else str(value)
    return found


def names(values: ArrayLike) -> NDArray[Any]:
    """Return the values of an attribute as text, None where there is none."""
    return np.array([None if _is_missing(value) else str(value) for value in values], dtype=object)


def _is_missing(value: Any) -> bool:
    """Tell whether a table has no value here: None, NaN, NaT or pandas' NA."""
    if isinstance(value, list | np.ndarray):
        raise ValueError(f"{value!r} where one value is needed")
    try:
        return value is None or bool(value != value)
    except TypeError:  # NA is neither equal to itself nor not
        return True
