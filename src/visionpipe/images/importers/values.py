"""Single values of documents as text: attributes and labels are strings, whatever they were."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any

NULLS = frozenset({"", "NaN", "nan", "NA", "N/A", "<NA>", "null", "NULL", r"\N"})
"""What programs write where there is no value."""


def as_text(value: Any) -> str | None:
    """Return a scalar as text; None for a null, a NaN, and for what is no scalar.

    >>> as_text(3), as_text(3.0), as_text(0.5), as_text(True), as_text(float("nan")), as_text([1])
    ('3', '3', '0.5', 'True', None, None)
    """
    match value:
        case str():
            return None if value in NULLS else value
        case bool() | int():
            return str(value)
        case float():
            if math.isnan(value):
                return None
            return str(int(value)) if value.is_integer() else repr(value)
        case datetime() | date():
            return value.isoformat()
        case None | dict() | list() | bytes() | tuple():
            return None
    return str(value)


def scalars(
    values: Mapping[str, Any], wanted: Iterable[str] | None, *, without: Iterable[str]
) -> dict[str, str]:
    """Return the scalars of an object as text without blanks around it: those wanted, or all but some."""
    left_out = set(without)
    names = [name for name in values if name not in left_out] if wanted is None else wanted
    found = ((name, (as_text(values.get(name)) or "").strip()) for name in names if name)
    return {name: text for name, text in found if text}


def shares(labels: list[str]) -> dict[str, float]:
    """Return each label's share of all [0, 1], in the order of first mention.

    >>> shares(["dog", "cat", "dog"])
    {'dog': 0.6666666666666666, 'cat': 0.3333333333333333}
    """
    return {label: count / len(labels) for label, count in Counter(labels).items()}
