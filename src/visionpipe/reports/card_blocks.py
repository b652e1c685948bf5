"""What a model card is made of: sections of a few kinds of blocks, which HTML and Markdown both can show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from visionpipe.reports.wording import interval, is_number

Tone = Literal["good", "bad", "wait", "info"]


@dataclass(frozen=True)
class Cell:
    """One entry of a table."""

    text: str
    tone: Tone | None = None
    """Shown as a coloured mark in HTML; the text says the same."""
    share: Mapping[str, Any] | None = None
    """An interval between 0 and 1 that HTML draws under the text."""


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str
    missing: bool = False
    """Whether it says that something ought to be stated and is not."""
    kind: Literal["text"] = "text"


@dataclass(frozen=True)
class Bullets:
    """A list of sentences, perhaps under a title of its own."""

    items: Sequence[str]
    title: str = ""
    kind: Literal["bullets"] = "bullets"


@dataclass(frozen=True)
class Facts:
    """Names with what is known of them."""

    values: Mapping[str, str]
    title: str = ""
    kind: Literal["facts"] = "facts"


@dataclass(frozen=True)
class Table:
    """Rows of cells, the first of each its name."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    foot: Sequence[Cell] = ()
    show_title: bool = False
    kind: Literal["table"] = "table"


@dataclass(frozen=True)
class Code:
    """Text to be typed as it stands."""

    text: str
    title: str = ""
    kind: Literal["code"] = "code"


Block = Text | Bullets | Facts | Table | Code


@dataclass(frozen=True)
class Section:
    """A part of the card."""

    title: str
    blocks: Sequence[Block]


def measured(found: Mapping[str, Any] | None) -> Cell:
    """Return a metric between 0 and 1, with its interval drawn, or why there is none."""
    if not found or not is_number(found.get("estimate")):
        reason = (found or {}).get("reason")
        return Cell("not judged" + (f": {reason}" if reason else ""))
    return Cell(interval(found), share=found)


def plain(found: Mapping[str, Any] | None) -> Cell:
    """Return a metric of any range with its interval, or why there is none."""
    return Cell(measured(found).text)
