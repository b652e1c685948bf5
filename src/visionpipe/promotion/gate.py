"""The promotion gate: a challenger takes over only when it is proven better and nothing is proven worse.

A pure function of labels, probabilities and what the models learned from: no file, registry or clock.
Shapes: N test images, K classes.

- Each check passes, fails or is open. A failed one rejects; an open one that blocks leaves the evidence
  insufficient; else the challenger is promoted. Promotion needs every check, so a model that is no better gets
  in no more often than by the gain check alone (an intersection-union test: no correction is needed).
- What each asks for: a gain in `visionpipe.promotion.checks`, no loss in `.regressions`, classes that come and go in
  `.class_changes`, the user's limits in `.acceptance`.
- A test image that either model learned from, or an input that makes no sense, rejects before anything is judged.
- On test images that have decided before, gain and limits are judged at a smaller error rate, at last not at all
  (`.wear`). What guards classes and slices keeps its own: a stricter proof of loss would protect less.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from visionpipe.promotion.acceptance import acceptance_checks
from visionpipe.promotion.admission import (
    decided,
    enough_images,
    enough_left,
    floats_or_none,
    known,
    leaks,
    names,
    problems,
    texts,
)
from visionpipe.promotion.checks import ScoredImages, answer_alike, gain_checks
from visionpipe.promotion.class_changes import class_changes
from visionpipe.promotion.decision import Check, Decision
from visionpipe.promotion.parameters import PromotionParameters
from visionpipe.promotion.regressions import empty_slices, regression_checks, slice_rows
from visionpipe.promotion.wear import Wear
from visionpipe.reports import wording

_NAMED_CHECKS = 5  # in the reason; the table of checks has all


def judge(
    *,
    labels_N: ArrayLike,
    classes: Sequence[str],
    image_ids_N: ArrayLike,
    group_ids_N: ArrayLike,
    challenger_probabilities_NK: ArrayLike,
    champion_probabilities_NK: ArrayLike | None,
    slices: Mapping[str, ArrayLike] | None,
    champion_seen_ids: Collection[str] | None,
    challenger_seen_ids: Collection[str] | None,
    champion_seen_groups: Collection[str] | None,
    challenger_seen_groups: Collection[str] | None,
    parameters: PromotionParameters,
    champion_version: str | None,
    challenger_decided_N: ArrayLike | None = None,
    champion_decided_N: ArrayLike | None = None,
    champion_classes: Collection[str] | None = None,
    challenger_classes: Collection[str] | None = None,
    wear: Wear | None = None,
    latency_ms_p95: Any = None,
) -> Decision:
    """Decide whether the challenger takes over; never raises on what the models or the tables hold.

    Parameters
    ----------
    labels_N, classes
        Class codes (0 to K - 1) of the test images, and the K class names.
    image_ids_N, group_ids_N
        Of the test images, compared as text; images of a group count as one piece of evidence.
    challenger_probabilities_NK, champion_probabilities_NK
        Rows that sum to 1, both in the columns of ``classes``: 0 for a class the model does not know. None when
        there is no champion, and acceptance limits alone decide.
    slices
        Attribute columns of the test images by name, None for none; a missing value belongs to no slice. Must hold
        the columns that ``parameters.slices`` names.
    champion_seen_ids, challenger_seen_ids, champion_seen_groups, challenger_seen_groups
        What each model learned or was tuned from; None, "nobody knows", rejects.
    parameters
        Metric, confidence, margins and limits.
    champion_version
        For the words of the verdict.
    challenger_decided_N, champion_decided_N
        Class codes that each model's decision rule gives; None: the likeliest class.
    champion_classes, challenger_classes
        Those of ``classes`` that each model can give; None: all.
    wear
        How often the test images have decided before. None: they are judged as if they were fresh.
    latency_ms_p95
        95th percentile of the challenger's time for one image [milliseconds], or a tuple of it and its upper
        confidence bound, where a limit asks for it.
    """
    try:
        test = ScoredImages(
            labels_N=np.asarray(labels_N),
            classes=[str(name) for name in classes],
            image_ids_N=texts(image_ids_N),
            group_ids_N=texts(group_ids_N),
            challenger_NK=np.asarray(challenger_probabilities_NK, dtype=float),
            champion_NK=floats_or_none(champion_probabilities_NK),
            challenger_N=decided(challenger_decided_N, challenger_probabilities_NK),
            champion_N=None
            if champion_probabilities_NK is None
            else decided(champion_decided_N, champion_probabilities_NK),
            slices={str(name): names(values) for name, values in (slices or {}).items()},
            champion_classes=known(champion_classes, classes),
            challenger_classes=known(challenger_classes, classes),
        )
        found = problems(test, parameters)
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        return _decide([_sanity(f"the test table can't be read: {error}")], 0, parameters, champion_version)
    n_images = len(test.image_ids_N)
    if found:
        return _decide([_sanity("; ".join(found))], n_images, parameters, champion_version)
    test = replace(test, labels_N=test.labels_N.astype(np.int64), group_ids_N=test.group_ids_N.astype(str))
    has_champion = test.champion_NK is not None
    checks = [
        *(leaks(test, "champion", champion_seen_ids, champion_seen_groups) if has_champion else []),
        *leaks(test, "challenger", challenger_seen_ids, challenger_seen_groups),
        enough_images(test, parameters),
        *empty_slices(test, parameters),
        *([enough_left(wear)] if wear is not None else []),
    ]
    looked = all(check.passed for check in checks)
    if looked:
        alpha = parameters.alpha if wear is None else wear.spent
        rows = slice_rows(test, parameters)
        if test.champion_NK is not None:
            checks += gain_checks(test, test.champion_NK, parameters, champion_version, alpha, wear)
            checks += class_changes(test, parameters)
            checks += regression_checks(test, rows, parameters)
        checks += acceptance_checks(test, rows, parameters, alpha, latency_ms_p95, wear)
    decision = _decide(checks, n_images, parameters, champion_version)
    # the same answers once more tell nothing that was not known
    return replace(decision, looked=looked and not answer_alike(test, parameters.metric), wear=wear)


def refuse(name: str, detail: str, *, n_images: int, champion_version: str | None, metric: str) -> Decision:
    """Return the verdict on a comparison that cannot be made: a rejection, and never a promotion.

    Parameters
    ----------
    name
        What was looked at, such as "champion can be read".
    detail
        What is wrong with it and what to do, as the middle of a sentence.
    n_images
        Test images there are.
    champion_version, metric
        As in `Decision`.
    """
    check = Check(name=name, kind="sanity", passed=False, detail=detail.rstrip("."))
    return Decision(
        outcome="reject",
        reason=f"Not promoted: {check.detail}.",
        checks=[check],
        n_test_images=n_images,
        images_needed=None,
        champion_version=champion_version,
        metric=metric,
    )


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
        if others := [check.name for check in open_checks[1:]]:
            more = f" and {len(others) - _NAMED_CHECKS} more" if len(others) > _NAMED_CHECKS else ""
            reason += f"; also open: {', '.join(others[:_NAMED_CHECKS])}{more}"
        needed = [check.images_needed for check in open_checks]
        if None not in needed:
            images_needed = max(needed)
            reason += f"; {wording.images_needed(images_needed)} test images would decide it"
    elif gains:
        outcome, reason = "promote", f"Proven better: {gains[0].detail}, and nothing is proven worse"
        if n_unguarded := sum(check.kind == "non_inferiority" and check.passed is None for check in checks):
            few = "class or slice has" if n_unguarded == 1 else "classes and slices have"
            reason += f"; {n_unguarded} {few} too few images to judge"
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


def _sanity(problem: str) -> Check:
    return Check(name="test table", kind="sanity", passed=False, detail=problem)
