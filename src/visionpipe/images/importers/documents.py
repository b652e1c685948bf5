"""Annotation documents as Python objects: bounded in size, and whatever is wrong with one said in one line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from visionpipe.errors import VisionpipeError, first_line

_UNUSED = ("segmentation", "bbox", "keypoints", "counts")
"""Keys of COCO that take most of its memory and say nothing about an image's class."""


def parse_json(data: bytes, name: str) -> Any:
    """Parse a JSON document, without the outlines of objects.

    Raises
    ------
    VisionpipeError
        When it is truncated, not UTF-8/16/32, or nested too deeply.
    """

    def tidy(found: dict[str, Any]) -> dict[str, Any]:
        for key in _UNUSED:
            found.pop(key, None)
        return {writable(key): writable(value) for key, value in found.items()} if has_escapes else found

    has_escapes = re.search(rb"\\u[dD][89a-fA-F]", data) is not None
    try:
        return json.loads(data, object_hook=tidy)
    except RecursionError as error:
        raise VisionpipeError(f"{name}: is no JSON document that can be read: nested too deeply") from error
    except ValueError as error:
        raise VisionpipeError(f"{name}: is no complete JSON document: {first_line(error)}") from error


def writable(value: Any) -> Any:
    r"""Write half a character (`\ud800`), which JSON allows and no file can hold, as an escape.

    >>> writable("a\ud800"), writable(["\ud83d\ude00", 3]) == ["\\ud83d\\ude00", 3]
    ('a\\ud800', True)
    """
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()
    return [writable(each) for each in value] if isinstance(value, list) else value


def parse_xml(
    data: bytes, name: str, *, start: Callable[[str, dict[str, str]], None], end: Callable[[str, str], None]
) -> None:
    """Walk through an XML document, element by element; nothing is kept.

    A document type declaration is refused: it is where entities are declared, which can grow without end or name
    other files.

    Parameters
    ----------
    start : callable
        Called with an element's name and attributes.
    end : callable
        Called with an element's name and the text right before its end.

    Raises
    ------
    VisionpipeError
        When it is malformed or has a document type declaration.
    """
    from xml.parsers import expat  # expat by itself resolves nothing outside the document

    parser = expat.ParserCreate()
    text: list[str] = []

    def refuse(*_: object) -> None:
        raise VisionpipeError(
            f"{name}: has a document type declaration (DOCTYPE), which is refused: remove it"
        )

    def started(element: str, attributes: dict[str, str]) -> None:
        text.clear()
        start(element, attributes)

    def ended(element: str) -> None:
        end(element, "".join(text).strip())
        text.clear()

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = started
    parser.EndElementHandler = ended
    parser.CharacterDataHandler = text.append
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, LookupError, ValueError) as error:
        # LookupError: an encoding that nobody knows; ValueError: one of many bytes
        raise VisionpipeError(f"{name}: is no complete XML document: {first_line(error)}") from error


def require(value: Any, kind: type | tuple[type, ...], where: str) -> Any:
    """Return the value, or say what it should have been.

    >>> require([], dict, "labels.json: images[3]")
    Traceback (most recent call last):
    visionpipe.errors.VisionpipeError: labels.json: images[3] is a list, not an object
    """
    if not isinstance(value, kind) or (isinstance(value, bool) and bool not in _kinds(kind)):
        names = dict.fromkeys(_JSON_NAMES.get(each, each.__name__) for each in _kinds(kind))
        wanted = " or ".join(names)
        raise VisionpipeError(
            f"{where} is {_JSON_NAMES.get(type(value), type(value).__name__)}, not {wanted}"
        )
    return value


_JSON_NAMES = {
    dict: "an object",
    list: "a list",
    str: "text",
    int: "a number",
    float: "a number",
    bool: "true/false",
    type(None): "null",
}


def _kinds(kind: type | tuple[type, ...]) -> tuple[type, ...]:
    return kind if isinstance(kind, tuple) else (kind,)
