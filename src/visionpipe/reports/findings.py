"""What to show first: the commonest confusions, the classes worth drawing, the weakest slices, failed checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from visionpipe.reports.wording import is_number, level


def most_mistaken(confusion_KK: Sequence[Sequence[int]], at_most: int) -> list[int]:
    """Return at most `at_most` class indices, ascending: those with the most mistakes to or from them.

    >>> most_mistaken([[5, 0, 0], [0, 3, 2], [0, 1, 4]], at_most=2)
    [1, 2]
    """
    k = len(confusion_KK)
    given_K = [sum(row) for row in confusion_KK]
    taken_K = [sum(row[i] for row in confusion_KK) for i in range(k)]
    mistakes_K = [given_K[i] + taken_K[i] - 2 * confusion_KK[i][i] for i in range(k)]
    return sorted(sorted(range(k), key=lambda i: (-mistakes_K[i], i))[:at_most])


def commonest_confusions(
    confusion_KK: Sequence[Sequence[int]], classes: Sequence[str], at_most: int = 10
) -> list[dict[str, Any]]:
    """Return the largest off-diagonal cells as `true`, `predicted`, `count` and `share` of the true class."""
    pairs = [
        {"true": classes[i], "predicted": classes[j], "count": count, "share": count / sum(row)}
        for i, row in enumerate(confusion_KK)
        for j, count in enumerate(row)
        if i != j and count
    ]
    return sorted(pairs, key=lambda pair: (-pair["count"], -pair["share"]))[:at_most]


def dearest_mistakes(
    costs_KK: Sequence[Sequence[float]],
    confusion_KK: Sequence[Sequence[int]],
    classes: Sequence[str],
    at_most: int = 20,
) -> list[dict[str, Any]]:
    """Return pairs of classes as `true`, `given`, `cost` (of one image), `count` and `total`, the largest total first.

    Left out are right answers that cost nothing, and mistakes that cost 1 and did not occur.

    >>> dearest_mistakes([[0, 10], [1, 0]], [[5, 0], [2, 3]], ["bad", "good"])  # doctest: +NORMALIZE_WHITESPACE
    [{'true': 'good', 'given': 'bad', 'cost': 1, 'count': 2, 'total': 2},
     {'true': 'bad', 'given': 'good', 'cost': 10, 'count': 0, 'total': 0}]
    """
    pairs = [
        {"true": classes[i], "given": classes[j], "cost": cost, "count": count, "total": cost * count}
        for i, row in enumerate(costs_KK)
        for j, given in enumerate(row)
        for cost, count in [(int(given) if given == int(given) else given, confusion_KK[i][j])]
        if cost != (i != j) or (cost and count)
    ]
    return sorted(pairs, key=lambda pair: (-pair["total"], -pair["cost"]))[:at_most]


def slices_lowest_first(values: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the values of a slice by accuracy, lowest first; those without an estimate come last."""

    def accuracy(found: Mapping[str, Any]) -> float:
        estimate = (found.get("accuracy") or {}).get("estimate")
        return float(estimate) if is_number(estimate) else 2.0

    return sorted(values.items(), key=lambda item: (accuracy(item[1]), str(item[0])))


def class_names(data: Mapping[str, Mapping[str, int]], classes: Sequence[str]) -> list[str]:
    """Return the model's classes, then those that only the data knows: a table leaves no image out."""
    return list(dict.fromkeys([*classes, *(name for counts in data.values() for name in counts)]))


def is_difference(check: Mapping[str, Any]) -> bool:
    """Return whether a check of the gate compares challenger and champion, so that zero means "the same"."""
    kind = str(check["kind"]).lower()
    return "gain" in kind or "inferior" in kind or "forget" in kind


def is_count(check: Mapping[str, Any]) -> bool:
    """Return whether the value of a check of the gate is a count, of images or of comparisons."""
    return check["kind"] in {"leak", "sanity", "wear"}


def level_of_the_gate(wear: Mapping[str, Any] | None) -> str | None:
    r"""Return the confidence of the gate's intervals of gain and limits; None where nothing was judged by wear.

    >>> level_of_the_gate({"spent": 0.0112})
    '97.76\xa0%'
    """
    spent = (wear or {}).get("spent")
    return level([{"level": round(1 - 2 * spent, 4)}]) if spent else None


def blocking_first(check: Mapping[str, Any]) -> tuple[bool, int, bool]:
    """Sort key for checks: the gain, then what failed, what is open, what passed; formalities last in each."""
    state = {False: 0, None: 1 if check["blocking"] else 2, True: 3}[check["passed"]]
    return "gain" not in str(check["kind"]).lower(), state, is_count(check)
