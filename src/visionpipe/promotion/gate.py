"""The promotion gate: a challenger takes over only when it is proven better and nothing is proven worse.

A pure function of labels, probabilities and what the models learned from: no file, registry or clock.
Shapes: N test images, K classes, B resamples. alpha = (1 - level) / 2: 2.5 % by default.

- Each check passes, fails or is open. A failed one rejects; an open one that blocks leaves the evidence
  insufficient; else the challenger is promoted. Promotion needs every check, so a model that is no better gets
  in no more often than by the gain check alone (an intersection-union test: no correction is needed).
- Gain: passes when the lower bound of its paired cluster bootstrap is above 0 and the swap test has p <= alpha.
  That test is exact for two equally good models, whatever the metric and the number of images, so at most alpha
  of A/A comparisons pass. Fails when the interval holds nothing above 0, or both models answer alike.
- Exact McNemar on right answers: for accuracy it must show the gain as well; for balanced accuracy and macro-F1
  it must not show a loss. AUROC ranks, it decides nothing: there it is only listed.
- Non-inferiority per class (recall) and slice (accuracy), Holm-corrected over all that have enough images. Fails
  when the loss exceeds the margin and is proven to be one (at most alpha for a blameless challenger, however
  many slices). Passes when a loss beyond the margin is excluded (Tango). In between it blocks only where an
  equally good challenger would have passed with 95 % power; else it is "too few images to judge": listed.
- Acceptance: passes when the confidence bound meets the limit, fails when not even the estimate does.
- A test image that either model learned from, or an input that makes no sense, rejects before anything is judged.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from visionpipe.metrics.calibration import probability_problems
from visionpipe.metrics.classification import (
    accuracy,
    auroc,
    balanced_accuracy,
    classification_metrics,
    macro_f1,
)
from visionpipe.promotion.parameters import AcceptanceLimit, PromotionParameters
from visionpipe.stats.intervals import effective_size
from visionpipe.stats.paired import (
    cluster_swap_test,
    compare_slices,
    mcnemar_exact,
    mcnemar_from_counts,
    paired_cluster_bootstrap,
)

Kind = Literal["gain", "non_inferiority", "acceptance", "leak", "sanity"]
POWER = 0.8  # with which `images_needed` would decide, if the estimates are true
MOST_IMAGES = 10_000_000  # a larger need means that there is nothing to find
MOST_NAMED = 10  # ids of leaked images in a sentence
MOST_LISTED = 30  # classes and slices that are too small to judge
WORDS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro-F1",
    "auroc": "AUROC",
}


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing the gate looked at, with the numbers that decided it."""

    name: str
    kind: Kind
    value: float | None = None
    low: float | None = None
    high: float | None = None
    limit: float | None = None
    p_value: float | None = None
    passed: bool | None
    """None: open, the evidence does not decide it."""
    detail: str
    blocking: bool = True
    """Whether the check stands in the way while it is open."""
    images_needed: int | None = None
    """Test images, in all, that would probably decide an open check."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """The verdict of the gate with everything it rests on."""

    outcome: Literal["promote", "reject", "insufficient_evidence"]
    reason: str
    """One sentence for a manager."""
    checks: list[Check]
    n_test_images: int
    images_needed: int | None
    champion_version: str | None
    metric: str

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-safe mapping: plain Python types, NaN and infinity as None."""
        return _json_safe(asdict(self))


@dataclass(frozen=True, kw_only=True)
class _TestSet:
    labels_N: NDArray[np.int64]
    classes: list[str]
    image_ids_N: NDArray[Any]
    group_ids_N: NDArray[Any]
    challenger_NK: NDArray[np.float64]
    champion_NK: NDArray[np.float64] | None
    slices: dict[str, NDArray[Any]]


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
    """
    try:
        test = _TestSet(
            labels_N=np.asarray(labels_N),
            classes=[str(name) for name in classes],
            image_ids_N=np.asarray(image_ids_N),
            group_ids_N=np.asarray(group_ids_N),
            challenger_NK=np.asarray(challenger_probabilities_NK, dtype=float),
            champion_NK=_floats_or_none(champion_probabilities_NK),
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
            checks += _gain(test, test.champion_NK, parameters, champion_version)
            checks += _non_inferiority(test, test.champion_NK, parameters)
        checks += _acceptance(test, parameters)
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


def _problems(test: _TestSet, parameters: PromotionParameters) -> list[str]:
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
    if missing := int(np.sum(pd.isna(test.group_ids_N))):
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
    found += [f"no column {name!r} to slice by" for name in parameters.slices if name not in test.slices]
    try:
        parameters.limits(test.classes)
    except ValueError as error:
        found.append(str(error))
    return found


def _sanity(problem: str) -> Check:
    return Check(name="test table", kind="sanity", passed=False, detail=problem)


def _leaks(test: _TestSet, who: str, ids: Collection[str], groups: Collection[str]) -> list[Check]:
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


def _enough_images(test: _TestSet, parameters: PromotionParameters) -> Check:
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


def _gain(
    test: _TestSet, champion_NK: NDArray[np.float64], parameters: PromotionParameters, version: str | None
) -> list[Check]:
    n_images, alpha = len(test.labels_N), (1 - parameters.level) / 2
    models, metric = (champion_NK, test.challenger_NK), parameters.metric
    champion_N, challenger_N = (probabilities.argmax(axis=1) for probabilities in models)
    alike = np.array_equal(champion_N, challenger_N)
    if metric == "auroc":
        alike = np.allclose(*models, rtol=0, atol=1e-7)
    words, incumbent = WORDS[metric], "the champion" + (f" (version {version})" if version else "")
    if alike:
        detail = f"the challenger gives the same predictions as {incumbent} on all {n_images} test images"
        check = Check(name=f"gain in {words}", kind="gain", value=0.0, limit=0.0, passed=False, detail=detail)
        return [check]

    champion, challenger = (_score(metric, test.labels_N, p, len(test.classes)) for p in models)
    gain = paired_cluster_bootstrap(
        champion,
        challenger,
        test.group_ids_N,
        resamples=parameters.resamples,
        level=parameters.level,
        seed=parameters.seed,
    )
    p_value = cluster_swap_test(
        _swapped_gain(metric, test, champion_NK),
        test.group_ids_N,
        permutations=parameters.resamples,
        seed=parameters.seed,
    )
    proven, refuted = gain.low > 0 and p_value <= alpha, gain.high <= 0
    spread = (gain.high - gain.low) / (2 * _z(alpha))
    z = abs(gain.estimate) / spread if spread > 0 else math.nan
    z = min(z, _z(p_value)) if gain.estimate > 0 else z
    gained = Check(
        name=f"gain in {words}",
        kind="gain",
        value=gain.estimate,
        low=gain.low,
        high=gain.high,
        limit=0.0,
        p_value=p_value,
        passed=False if refuted else (True if proven else None),
        detail=f"{words} changes by {100 * gain.estimate:+.1f} points against {incumbent}, "
        f"{100 * parameters.level:g} % interval {100 * gain.low:+.1f} to {100 * gain.high:+.1f}",
        images_needed=_images_needed(n_images, z, alpha),
    )
    return [gained, _mcnemar(test, champion_N, challenger_N, metric, alpha)]


def _score(
    metric: str, labels_N: NDArray[np.int64], probabilities_NK: NDArray[np.float64], n_classes: int
) -> Callable[[NDArray[np.float64]], Any]:
    if metric == "auroc":
        return partial(auroc, labels_N, probabilities_NK)
    predicted_N = probabilities_NK.argmax(axis=1)
    if metric == "accuracy":
        return partial(accuracy, labels_N, predicted_N)
    return partial(
        balanced_accuracy if metric == "balanced_accuracy" else macro_f1, labels_N, predicted_N, n_classes
    )


def _swapped_gain(
    metric: str, test: _TestSet, champion_NK: NDArray[np.float64]
) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """Return the gain when some answers are exchanged: both models in one list, weights say whose answer counts."""
    answers = [test.challenger_NK, champion_NK]
    if metric == "auroc":  # ranks, so that exchanged scores are on one scale (Venkatraman and Begg 1996)
        answers = [pd.DataFrame(scores_NK).rank().to_numpy() for scores_NK in answers]
    both = _score(metric, np.tile(test.labels_N, 2), np.concatenate(answers), len(test.classes))
    return lambda swapped_BN: (
        both(np.hstack([1 - swapped_BN, swapped_BN])) - both(np.hstack([swapped_BN, 1 - swapped_BN]))
    )


def _mcnemar(
    test: _TestSet, champion_N: NDArray[np.int64], challenger_N: NDArray[np.int64], metric: str, alpha: float
) -> Check:
    right = [champion_N == test.labels_N, challenger_N == test.labels_N]
    counted, n_images = mcnemar_exact(*right), len(champion_N)
    difference_N = right[1].astype(float) - right[0]
    share = effective_size(difference_N, test.group_ids_N, 1 - 2 * alpha) / n_images
    # groups of several images count by their effective number; without such groups these are the counts
    found = mcnemar_from_counts(counted.b * share, counted.c * share)
    supported = found.p_greater <= alpha if metric == "accuracy" else metric != "auroc"
    contradicted = metric != "auroc" and found.p_less <= alpha
    return Check(
        name="right answers (exact McNemar)",
        kind="gain",
        value=float(difference_N.mean()),
        limit=0.0,
        p_value=found.p_value,
        passed=False if contradicted else (True if supported else None),
        detail=f"only the challenger is right on {counted.c} test images, only the champion on {counted.b}",
        blocking=metric != "auroc",
        images_needed=_images_needed(n_images, _z(found.p_greater), alpha),
    )


def _non_inferiority(
    test: _TestSet, champion_NK: NDArray[np.float64], parameters: PromotionParameters
) -> list[Check]:
    margin, alpha = parameters.non_inferiority_margin, (1 - parameters.level) / 2
    members = {
        f"recall of class {name}": np.flatnonzero(test.labels_N == k) for k, name in enumerate(test.classes)
    }
    for column, values_N in test.slices.items():
        codes_N, values = pd.factorize(values_N, sort=True)
        members |= {
            f"accuracy where {column} is {v}": np.flatnonzero(codes_N == k) for k, v in enumerate(values)
        }
    judged = {name: rows for name, rows in members.items() if len(rows) >= parameters.min_slice_images}
    right = [p.argmax(axis=1) == test.labels_N for p in (champion_NK, test.challenger_NK)]
    found = compare_slices(
        *right, test.group_ids_N, list(judged.values()), margin=margin, level=parameters.level
    )
    checks = []
    for (name, rows), comparison in zip(judged.items(), found, strict=True):
        loss = comparison.test
        detail = f"{name} changes by {100 * loss.difference:+.1f} points on {len(rows)} images"
        passed = True if loss.p_value <= alpha else None
        if loss.difference < -margin and comparison.p_worse <= alpha:
            passed, detail = False, f"{detail}, a proven loss"
        elif passed is None and comparison.judgeable:
            detail += f", and a loss of more than {100 * margin:g} points can't be excluded"
        elif passed is None:
            detail = f"too few images to judge: {detail}"
        checks.append(
            Check(
                name=name,
                kind="non_inferiority",
                value=loss.difference,
                low=loss.low,
                high=loss.high,
                limit=-margin,
                p_value=comparison.p_worse if passed is False else loss.p_value,
                passed=passed,
                detail=detail,
                blocking=passed is not None or comparison.judgeable,
                images_needed=_images_needed(len(test.labels_N), _z(loss.p_value), alpha),
            )
        )
    small = {name: len(rows) for name, rows in members.items() if name not in judged}
    listed = {name: f"{n} of the {parameters.min_slice_images} needed" for name, n in small.items()}
    if len(small) > MOST_LISTED:
        listed = dict(list(listed.items())[:MOST_LISTED])
        listed[f"{len(small) - MOST_LISTED} more slices"] = (
            f"fewer than {parameters.min_slice_images} in each"
        )
    return checks + [
        Check(
            name=name,
            kind="non_inferiority",
            limit=-margin,
            passed=None,
            detail=f"too few images to judge: {why}",
            blocking=False,
        )
        for name, why in listed.items()
    ]


def _acceptance(test: _TestSet, parameters: PromotionParameters) -> list[Check]:
    limits = parameters.limits(test.classes)
    if not limits:
        return []
    metrics: Any = classification_metrics(
        test.labels_N,
        test.challenger_NK,
        test.classes,
        test.group_ids_N,
        resamples=parameters.resamples,
        level=parameters.level,
        seed=parameters.seed,
        only={limit.metric for limit in limits},
    )
    return [
        _met(limit, text, metrics[limit.name], len(test.labels_N), (1 - parameters.level) / 2)
        for limit, text in zip(limits, parameters.acceptance, strict=True)
    ]


def _met(limit: AcceptanceLimit, text: str, entry: dict[str, Any], n_images: int, alpha: float) -> Check:
    value, bound = entry["estimate"], entry["low" if limit.higher_is_better else "high"]
    passed, images_needed = None, None
    if value is None or bound is None:
        detail = f"{text}: can't be judged, {entry.get('reason', 'too few images to know its spread')}"
    else:
        detail = f"{text}: {value:.3f}, and {bound:.3f} at its confidence bound"
        passed = True if limit.is_met_by(bound) else (None if limit.is_met_by(value) else False)
        z = abs(value - limit.limit) / max(abs(value - bound), 1e-12) * _z(alpha)
        images_needed = _images_needed(n_images, z, alpha)
    return Check(
        name=text,
        kind="acceptance",
        value=value,
        low=entry["low"],
        high=entry["high"],
        limit=limit.limit,
        passed=passed,
        detail=detail,
        images_needed=images_needed,
    )


def _z(p_value: float) -> float:
    return -float(ndtri(p_value))


def _images_needed(n_images: int, z: float, alpha: float) -> int | None:
    """Return how many images would turn an effect of z standard errors into proof; None if that is hopeless."""
    if not z > 0:
        return None
    needed = n_images * ((_z(alpha) + _z(1 - POWER)) / z) ** 2
    return max(n_images + 1, math.ceil(needed)) if needed <= MOST_IMAGES else None


def _floats_or_none(values: ArrayLike | None) -> NDArray[np.float64] | None:
    return None if values is None else np.asarray(values, dtype=float)


def _names(values: ArrayLike) -> NDArray[Any]:
    return np.array([str(value) if pd.notna(value) else None for value in values], dtype=object)


def _json_safe(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _json_safe(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json_safe(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
