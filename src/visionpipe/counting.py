"""Counts with their nouns: one image, two images."""

from __future__ import annotations

from typing import Any


def counted(n: int, noun: str) -> str:
    """Return a count with its noun, singular or plural.

    >>> counted(1, "image"), counted(2624, "class"), counted(0, "image") + " without a label"
    ('1 image', '2,624 classes', '0 images without a label')
    """
    return f"{n:,} {noun_for(n, noun)}"


def noun_for(n: Any, noun: str) -> str:
    """Return a noun as it stands after a count."""
    return noun if n == 1 else f"{noun}es" if noun.endswith("s") else f"{noun}s"
