"""The sections of a model card that say how good a model is, where it is weaker, and what the gate found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from visionpipe.metrics.slices import LOWER
from visionpipe.reports.card_blocks import Block, Cell, Facts, Section, Table, Text, Tone, measured, plain
from visionpipe.reports.findings import level_of_the_gate
from visionpipe.reports.wording import (
    NOTHING,
    counted,
    fact,
    interval,
    is_number,
    level,
    meaning_of,
    metric_in_words,
    number,
    percent,
    title_of,
)

MOST_SLICES = 20
OUTCOMES: dict[str, tuple[Tone, str]] = {
    "promote": ("good", "promote"),
    "reject": ("bad", "reject"),
    "insufficient_evidence": ("wait", "not enough evidence"),
}
_UNIT_RANGE = {
    *("accuracy", "balanced_accuracy", "macro_f1", "auroc", "average_precision"),
    *("ece", "classwise_ece"),
}
_RESULTS: dict[bool | None, tuple[Tone, str]] = {
    True: ("good", "met"),
    False: ("bad", "not met"),
    None: ("wait", "open"),
}


def how_good(evaluation: Mapping[str, Any]) -> Section:
    """Return every metric with its interval and its meaning, and recall and precision of each class."""
    metrics = {name: found for name, found in evaluation["metrics"].items() if isinstance(found, Mapping)}
    rows = [
        [
            Cell(title_of(name)),
            measured(found) if name in _UNIT_RANGE else plain(found),
            Cell(meaning_of(name, evaluation["classes"]) or NOTHING),
        ]
        for name, found in metrics.items()
        if "[" not in name
    ]
    blocks: list[Block] = [
        Text(
            f"Measured on {counted(evaluation['n'], 'test image')} that the model never learned from; in brackets "
            f"the {level(metrics.values())} confidence interval."
        ),
        Table("Metrics", ["Metric", "Value (interval)", "What it says"], rows),
    ]
    if evaluation.get("per_class"):
        blocks.append(_per_class(evaluation["per_class"]))
    if deferral := (evaluation.get("selective") or {}).get("deferral"):
        blocks.append(
            Text(
                f"Photos of which it is less than {percent(deferral.get('threshold'))} sure are left to a person. "
                f"It answers {interval(deferral.get('coverage'))} of all, and is right in "
                f"{interval(deferral.get('accuracy'))} of these."
            )
        )
    if costs := evaluation.get("costs"):
        blocks.append(
            Text(
                "Its labels are those of least expected cost (training.calibration.costs): they cost "
                f"{interval(costs['achieved'])} an image, where the likeliest class would have cost "
                f"{interval(costs['likeliest'])}."
            )
        )
    return Section("How good it is", blocks)


def _per_class(per_class: Mapping[str, Mapping[str, Any]]) -> Table:
    rows = [
        [
            Cell(str(name)),
            Cell(number(found.get("n"))),
            measured(found.get("recall")),
            measured(found.get("precision")),
            *([_verdict(found)] if any(each.get("verdict") for each in per_class.values()) else []),
        ]
        for name, found in per_class.items()
    ]
    head = ["Class", "Test images", "Recall", "Precision", "Verdict"]
    return Table("Recall and precision of each class", head[: len(rows[0])], rows)


def _verdict(found: Mapping[str, Any]) -> Cell:
    verdict = str(found.get("verdict") or "judged")
    return Cell(verdict, "wait" if "too few" in verdict else "bad" if verdict.startswith("lower") else None)


def slices_of(evaluation: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every slice as `column = value` with what was found in it."""
    for column, values in (evaluation.get("slices") or {}).items():
        for value, found in values.items():
            yield f"{title_of(column)} = {value}", found


def where_weaker(evaluation: Mapping[str, Any]) -> Section:
    """Return the slices, lowest accuracy first, then pairs of them."""
    found = [
        (name, "accuracy", each.get("n"), each.get("accuracy"), each) for name, each in slices_of(evaluation)
    ]
    found += [
        (str(each.get("name")), str(each.get("metric", "accuracy")), each.get("n"), each, each)
        for each in evaluation.get("slice_pairs") or []
    ]
    if not found:
        text = "No attribute column holds enough test images to be judged by itself."
        return Section("Where it is weaker", [Text(text)])

    def lowest_first(row: tuple) -> tuple[bool, float, str]:
        estimate = (row[3] or {}).get("estimate")
        too_few = "too few" in str(row[4].get("verdict") or "")
        return too_few, estimate if is_number(estimate) else 2.0, row[0]

    found.sort(key=lowest_first)
    blocks: list[Block] = []
    if worst := evaluation.get("worst_slice"):
        blocks.append(
            Text(
                f"{'Weakest' if worst.get('verdict') == LOWER else 'No part is proven lower than the rest; lowest'}"
                f", by the upper end of its interval: {worst['name']}, accuracy "
                f"{interval(worst.get('accuracy'))} on {counted(worst.get('n'), 'test image')}."
            )
        )
    rows = [
        [Cell(name), Cell(metric_in_words(metric)), Cell(number(n)), measured(value), _verdict(each)]
        for name, metric, n, value, each in found[:MOST_SLICES]
    ]
    head = ["Part of the test images", "Metric", "Images", "Value (interval)", "Verdict"]
    blocks.append(Table("Parts of the test images, weakest first", head, rows))
    if len(found) > MOST_SLICES:
        blocks.append(Text(f"The evaluation lists {len(found) - MOST_SLICES:,} more."))
    return Section("Where it is weaker", blocks)


def the_decision(decision: Mapping[str, Any]) -> Section:
    """Return the gate's verdict: whom it met, the gain, the limits, and how worn the test images are."""
    checks = list(decision["checks"])
    champion = decision.get("champion_version")
    values = {
        "Verdict": f"{OUTCOMES[decision['outcome']][1].capitalize()}. {decision['reason']}",
        "Compared with": f"champion, version {champion}" if champion else "no champion: the first model",
        "Test images": number(decision.get("n_test_images")),
    }
    for check in checks:
        if check["kind"] == "gain" and is_number(check.get("low")):
            values[f"{check['name']}"[:1].upper() + f"{check['name']}"[1:]] = interval(check, signed=True)
    values["Test images used before"] = _wear(decision.get("wear"))
    n_passed = sum(check["passed"] is True for check in checks)
    values["Checks passed"] = f"{n_passed} of {len(checks)} (decision.json has all)"
    blocks: list[Block] = [Facts({name: text for name, text in values.items() if text != NOTHING})]
    limits = [check for check in checks if check["kind"] == "acceptance"]
    if limits:
        at = level_of_the_gate(decision.get("wear"))
        why = (
            f" It has {at} confidence, not that of the figures below: all comparisons that are planned on these test "
            "images share one risk, and a limit allows for rare mistakes that the images happen to lack."
        )
        text = "Acceptance limits, which a model must meet with the end of its interval."
        blocks.append(Text(text + (why if at else "")))
        rows = [[Cell(str(check["name"])), Cell(interval(check)), _result(check)] for check in limits]
        blocks.append(Table("Acceptance limits", ["Limit", "Value (interval)", "Result"], rows))
    else:
        blocks.append(Text("No acceptance limit was judged (promotion.acceptance)."))
    return Section("The decision to use it", blocks)


def _result(check: Mapping[str, Any]) -> Cell:
    tone, text = _RESULTS[check["passed"]]
    return Cell(text, tone)


def _wear(wear: Mapping[str, Any] | None) -> str:
    if not wear:
        return NOTHING
    mean_uses = wear.get("mean_uses")
    times = f"{number(mean_uses, decimals=1)} {'time' if mean_uses == 1 else 'times'} on average"
    used = f"{times}, {number(wear.get('n_fresh'))} of {number(wear.get('n_images'))} never"
    return (
        f"{used if mean_uses else 'never'}; comparison {number(wear.get('comparison'))} of "
        f"{number(wear.get('planned'))} planned"
    )


def elsewhere(examination: Mapping[str, Any]) -> Section | None:
    """Return how the model stands poor photos, attacks and foreign pictures; None when that was not looked at."""
    blocks: list[Block] = []
    n = (examination.get("sample") or {}).get("n")
    if corruptions := examination.get("corruptions"):
        strengths = max(map(len, corruptions.values()))
        rows = [
            [Cell(title_of(name)), *(plain(found) for found in by_strength)]
            for name, by_strength in corruptions.items()
        ]
        head = [f"Accuracy of {counted(n, 'photo')} under", *(f"Strength {i + 1}" for i in range(strengths))]
        blocks.append(Table("Accuracy on test images made poorer", head, rows))
    if adversarial := examination.get("adversarial"):
        rows = [
            [Cell(attack.upper()), Cell(epsilon_of(step)), plain(step.get("accuracy"))]
            for attack, steps in adversarial.items()
            if isinstance(steps, list)
            for step in steps
        ]
        head = [
            "Changed on purpose by",
            "Each pixel by at most",
            f"Accuracy of {counted(adversarial.get('n'), 'photo')}",
        ]
        blocks.append(Table("Accuracy under attack", head, rows))
    if shortcuts := examination.get("shortcuts"):
        rows = [
            [
                Cell(title_of(each["name"])),
                measured(each.get("balanced_accuracy")),
                Cell(number(each.get("guessing"))),
                Cell(str(each.get("verdict")), "wait" if is_shortcut(each) else None),
            ]
            for each in shortcuts
        ]
        head = ["The label told from this alone", "Balanced accuracy", "Guessing", "Verdict"]
        blocks.append(Table("What tells the label beside the object", head, rows))
    facts = {
        **_foreign(examination.get("out_of_distribution") or {}),
        **_speed(examination.get("speed") or {}),
    }
    if facts:
        blocks.append(Facts(facts))
    return Section("On poorer and foreign photos", blocks) if blocks else None


def is_shortcut(found: Mapping[str, Any]) -> bool:
    """Return whether something beside the object was found to tell the label."""
    return found.get("verdict") == "predicts the label"


def epsilon_of(step: Mapping[str, Any]) -> str:
    """Return the largest change of a pixel's value, of 255."""
    epsilon = step.get("epsilon")
    return f"{epsilon:g}/255" if is_number(epsilon) else fact(epsilon)


def _foreign(found: Mapping[str, Any]) -> dict[str, str]:
    if not found:
        return {}
    auroc = {name: (found.get(name) or {}).get("auroc") for name in ("max_probability", "energy")}
    values = {
        "Foreign pictures shown": f"{number(found.get('n'))} ({fact(found.get('origin'))})",
        "Told from its own by confidence (AUROC)": interval(auroc["max_probability"]),
        "Told from its own by energy (AUROC)": interval(auroc["energy"]),
        "Foreign pictures left to a person": interval(found.get("deferred")),
    }
    return {name: text for name, text in values.items() if text != NOTHING}


def _speed(found: Mapping[str, Any]) -> dict[str, str]:
    values = {
        "Time for one photo, half of them below": (found.get("latency_ms_p50"), " ms"),
        "Time for one photo, 95 % of them below": (found.get("latency_ms_p95"), " ms"),
        "Photos a second": (found.get("images_per_s"), ""),
        "Threads": (found.get("threads"), ""),
    }
    return {
        name: number(value, decimals=None if isinstance(value, int) else 1) + unit
        for name, (value, unit) in values.items()
        if is_number(value)
    }
