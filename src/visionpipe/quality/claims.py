"""Expectations that say in the user's words what they expect."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from great_expectations.expectations.expectation import Expectation


def claim(text: str) -> dict[str, Any]:
    """Return the arguments that say what is expected; Data Docs print `description` as raw HTML."""
    return {"description": html.escape(text), "meta": {"claim": text}}


def not_null(column: str) -> Expectation:
    """Expect a column without nulls."""
    import great_expectations.expectations as gxe

    return gxe.ExpectColumnValuesToNotBeNull(column=column, **claim(f"{column} is always given"))


def matches(column: str, regex: str, text: str) -> Expectation:
    """Expect text that matches a regular expression."""
    import great_expectations.expectations as gxe

    return gxe.ExpectColumnValuesToMatchRegex(column=column, regex=regex, **claim(text))


def in_set(
    column: str, values: Sequence[str | bool], text: str | None = None, severity: str = "critical"
) -> Expectation:
    """Expect one of some values."""
    import great_expectations.expectations as gxe

    text = text or f"{column} is one of {', '.join(map(str, values))}"
    return gxe.ExpectColumnValuesToBeInSet(
        column=column, value_set=list(values), severity=severity, **claim(text)
    )


def contains(column: str, values: list[str], text: str) -> Expectation:
    """Expect all of some values to occur."""
    import great_expectations.expectations as gxe

    return gxe.ExpectColumnDistinctValuesToContainSet(column=column, value_set=values, **claim(text))


def between(
    column: str, low: float | None, high: float | None, text: str | None = None, severity: str = "critical"
) -> Expectation:
    """Expect numbers in a closed range."""
    import great_expectations.expectations as gxe

    text = text or range_text(column, low, high)
    return gxe.ExpectColumnValuesToBeBetween(
        column=column, min_value=low, max_value=high, severity=severity, **claim(text)
    )


def range_text(column: str, low: float | None, high: float | None) -> str:
    """Say a closed range in words.

    >>> range_text("brightness", 0, 255), range_text("width", 1, None), range_text("n", None, 2.5)
    ('brightness is within 0..255', 'width is 1 or more', 'n is 2.5 or less')
    """
    if low is None:
        return f"{column} is {high:g} or less"
    if high is None:
        return f"{column} is {low:g} or more"
    return f"{column} is within {low:g}..{high:g}"
