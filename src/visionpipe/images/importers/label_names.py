"""Spellings of one label: `T-Shirt`, `t shirt` and `t_shirt` are one class."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable

from visionpipe.errors import visible


@functools.lru_cache(maxsize=65536)
def plain(label: str) -> str:
    """Return what is left of a label without case, the kind of its separators and the way its accents are written.

    >>> plain("T-Shirt") == plain(" t_shirt") == plain("t  shirt"), plain("-1") == plain("1")
    (True, False)
    >>> plain("cafe\u0301") == plain("caf\u00e9")
    True
    """
    return re.sub(r"[\s_-]+", " ", _composed(label).casefold())


def composed(label: str) -> str:
    """Return a label as it is shown: without blanks around it, each letter with its accent one character, `visible`."""
    return visible(_composed(label))


def _composed(label: str) -> str:
    return unicodedata.normalize(
        "NFC", label.strip()
    )  # macOS writes a letter and its accent as two characters


class LabelNames:
    """Gives every label the spelling that was seen first.

    Parameters
    ----------
    preferred : iterable of str
        Spellings that go before all others: the names of class folders. Each of them stays as it is, also beside
        another that differs only in case: folders `a` and `A` are two classes.

    Examples
    --------
    >>> names = LabelNames(["t-shirt"])
    >>> names.unify("T-Shirt"), names.unify("Dress"), names.unify("dress"), names.respelled
    ('t-shirt', 'Dress', 'Dress', {'T-Shirt': 't-shirt', 'dress': 'Dress'})
    >>> names = LabelNames(["a", "A"])
    >>> names.unify("A"), names.unify("a")
    ('A', 'a')
    """

    def __init__(self, preferred: Iterable[str] = ()) -> None:
        self._preferred = frozenset(preferred := list(preferred))
        self._spelling: dict[str, str] = {}
        self.respelled: dict[str, str] = {}
        for label in preferred:
            self._spelling.setdefault(plain(label), label)

    def unify(self, label: str) -> str:
        """Return the label's one spelling."""
        key, label = plain(label), composed(label)
        if label in self._preferred:
            return label
        spelling = self._spelling.setdefault(key, label)
        if spelling != label:
            self.respelled[label] = spelling
        return spelling
