"""The known limits of a model, each a sentence with its figures: what people stated, then what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from visionpipe.metrics.slices import LOWER
from visionpipe.reports.automation import left_to_a_person
from visionpipe.reports.card_findings import epsilon_of, is_shortcut
from visionpipe.reports.wording import counted, interval, is_number, mid_sentence, number, title_of

_FEW_IMAGES = 30  # fewer leave an interval of some 30 points
_NAMED = 5
_GUESSING = 0.5  # AUROC
_MOST = 0.5  # share
_PARTS = {  # of the examination
    "corruptions": "poorer photos",
    "adversarial": "changes made on purpose",
    "out_of_distribution": "unrelated pictures",
    "shortcuts": "shortcuts",
    "speed": "speed",
}


def known_limits(facts: Mapping[str, Any], decision: Mapping[str, Any]) -> list[str]:
    """Return what nobody who uses the model should overlook.

    Parameters
    ----------
    facts, decision
        As in `visionpipe.reports.model_card.model_card`.
    """
    evaluation, examination = facts["evaluation"], facts.get("examination") or {}
    return [
        *facts["card"].get("limitations", []),
        *_evidence(evaluation),
        *_gate(decision),
        *_weak_parts(evaluation),
        *_behaviour(evaluation, examination),
        *_data(facts),
        *_origin(decision),
        "All figures hold for photos like the test images; other cameras, light or products are untested.",
    ]


def _evidence(evaluation: Mapping[str, Any]) -> Iterator[str]:
    accuracy = evaluation["metrics"].get("accuracy") or {}
    if is_number(accuracy.get("low")):
        yield (
            f"After {counted(evaluation['n'], 'test image')} its accuracy is open between "
            f"{number(accuracy['low'])} and {number(accuracy['high'])}."
        )
    few = [
        f"{name} ({number(found['n'])})"
        for name, found in (evaluation.get("per_class") or {}).items()
        if found.get("n", _FEW_IMAGES) < _FEW_IMAGES or "too few" in str(found.get("verdict") or "")
    ]
    if few:
        yield f"Too few test images to judge by: {_listed(few)}."


def _gate(decision: Mapping[str, Any]) -> Iterator[str]:
    for check in decision["checks"]:
        if check["kind"] == "acceptance" and check["passed"] is not True:
            state = "not met" if check["passed"] is False else "not proven"
            yield f"Acceptance limit {state}: {check['detail']}."
    unjudged = [
        str(check["name"])
        for check in decision["checks"]
        if check["passed"] is None and check["kind"] == "non_inferiority"
    ]
    if unjudged:
        yield f"Whether the champion was better could not be judged for: {_listed(unjudged)}."
    wear = decision.get("wear") or {}
    if is_number(wear.get("mean_uses")) and wear["mean_uses"] > 0:
        yield (
            f"Its test images had already decided {number(wear['mean_uses'], decimals=1)} "
            f"{'comparison' if wear['mean_uses'] == 1 else 'comparisons'} on average; "
            "figures on images that are used again and again grow too good."
        )


def _weak_parts(evaluation: Mapping[str, Any]) -> Iterator[str]:
    """Name what the evaluation has proven lower, at the level that it keeps for all parts together."""
    for name, found in (evaluation.get("per_class") or {}).items():
        if found.get("verdict") == LOWER:
            yield f"Weak on class {name}: recall {interval(found.get('recall'))}."
    worst = evaluation.get("worst_slice")
    if worst and worst.get("verdict") == LOWER:
        yield f"Weakest part: {worst['name']}, accuracy {interval(worst.get('accuracy'))}."


def _behaviour(evaluation: Mapping[str, Any], examination: Mapping[str, Any]) -> Iterator[str]:
    ece = evaluation["metrics"].get("ece") or {}
    if is_number(ece.get("low")) and ece["low"] > 0:
        yield f"Its confidence is not what comes true: calibration error {interval(ece)}."
    if why := left_to_a_person(evaluation):
        yield f"{why}."
    for name, strength in (examination.get("surely_worse_from") or {}).items():
        if strength:
            by_strength = examination["corruptions"][name]
            yield (
                f"{title_of(name)} costs accuracy from strength {strength} of {len(by_strength)} on: "
                f"{interval(by_strength[strength - 1])} there."
            )
    clean = (evaluation["metrics"].get("accuracy") or {}).get("estimate")
    yield from _attacks(examination.get("adversarial") or {}, clean)
    yield from _foreign(examination)
    missing = [what for key, what in _PARTS.items() if not examination.get(key)]
    if missing:
        yield f"Not examined: {_listed(missing)} (evaluation.examination)."
    for each in examination.get("shortcuts") or []:
        if is_shortcut(each):
            yield (
                f"The label can be told from {each['name']} alone (balanced accuracy "
                f"{interval(each['balanced_accuracy'])}, guessing {number(each.get('guessing'))}): the model may rely "
                "on it."
            )


def _attacks(adversarial: Mapping[str, Any], clean: Any) -> Iterator[str]:
    """Name the attack that needs the smallest change; of equal ones, that which leaves least."""
    found = [
        (step["epsilon"], step["accuracy"]["estimate"], attack, step)
        for attack, steps in adversarial.items()
        for step in (steps if isinstance(steps, list) else [])
        if _is_lower(step.get("accuracy"), clean)
    ]
    if found:
        *_, attack, step = min(found, key=lambda each: each[:2])
        yield (
            f"It does not withstand changes made on purpose: accuracy {interval(step['accuracy'])} when "
            f"{attack.upper()} may change each pixel by {epsilon_of(step)}."
        )


def _foreign(examination: Mapping[str, Any]) -> Iterator[str]:
    shown = examination.get("out_of_distribution") or {}
    deferred = shown.get("deferred") or {}
    if is_number(deferred.get("high")) and deferred["high"] < _MOST:
        yield f"It answers most unrelated pictures by itself: {interval(deferred)} of them go to a person."
    auroc = (shown.get("max_probability") or {}).get("auroc") or {}
    if is_number(auroc.get("low")) and auroc["low"] <= _GUESSING:
        yield f"Unrelated pictures are not proven to make it less sure: AUROC {interval(auroc)}, guessing 0.5."


def _is_lower(found: Any, clean: Any) -> bool:
    """Return whether all of an interval lies below the accuracy on untouched test images."""
    return (
        isinstance(found, Mapping)
        and is_number(found.get("high"))
        and is_number(clean)
        and found["high"] < clean
    )


def _data(facts: Mapping[str, Any]) -> Iterator[str]:
    validation = facts.get("validation") or {}
    if n := validation.get("n_contradicted"):
        yield f"{counted(n, 'photo')} {'carries' if n == 1 else 'carry'} labels that contradict each other."
    yield from (f"Validation warned: {warning}" for warning in validation.get("warnings") or [])
    if notice := facts["evaluation"].get("demo_notice"):
        yield notice


def _origin(decision: Mapping[str, Any]) -> Iterator[str]:
    provenance = decision.get("provenance") or {}
    if provenance.get("git_dirty") == "true":
        yield "It was made by code that no commit holds; only the SHA-256 of the source is known."
    elif str(provenance.get("git_commit", "unknown")).startswith("unknown"):
        yield f"The commit of the code is {provenance.get('git_commit', 'unknown')}."


def _listed(names: list[str]) -> str:
    shown = ", ".join(
        mid_sentence(name) if name[:1].isupper() and " " in name else name for name in names[:_NAMED]
    )
    return shown + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
