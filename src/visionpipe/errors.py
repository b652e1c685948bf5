"""The one exception that users are meant to read, and how it quotes others."""

from __future__ import annotations

import errno
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, get_args

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

FULL = {errno.ENOSPC, errno.EDQUOT}
"""What the operating system says of a disk without room."""
_SECRET = re.compile(
    r"([?&][\w.-]{0,64}(?:password|passwd|pwd|token|secret|api_?key)=)[^&\s]*"
    r"|((?:password|passwd|pwd|token|secret|api_?key)(?:=|%3d))"
    r"(?:\{(?:[^}]|\}\}){0,256}\}|%7b(?:(?!%7d).|%7d%7d){0,256}%7d|.*?)(?=[&;\s]|%3b|$)",
    re.IGNORECASE,
)
"""In a query its value ends at &; in ODBC's words at ; also percent-encoded, and in braces it may hold that itself.

Nobody's password is longer than 256 characters, and without an end each brace would be followed to the end of the text.
"""
_OBEYED = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_QUOTED_CHARACTERS = 60
_LISTED = 30  # names, of which a reader still finds the right one
_WANTED = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "text",
    "list": "a list",
    "tuple": "a list",
    "set": "a list",
    "dict": "a section of keys and values",
    "mapping": "a section of keys and values",
    "model": "a section of keys and values",
    "datetime": "a time, such as 2026-01-05T08:00",
    "date": "a date, such as 2026-01-05",
}
"""What is wanted, by the first word of pydantic's name for the error, where `_BOUNDS` does not tell."""
_BOUNDS = {
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "finite_number": "finite",
    "literal_error": "{expected}",
    "enum": "{expected}",
    "none_required": "null",
    "string_too_short": "text of at least {min_length} characters",
    "string_too_long": "text of at most {max_length} characters",
}


class VisionpipeError(Exception):
    """Something the user can mend: its text names the thing, what is wrong with it and what to do.

    The command line prints it as one line and exits with status 1; nothing else is printed.
    """


def first_line(error: BaseException) -> str:
    r"""Return the first line of an error's text without passwords (`redacted`), or its kind if it has none.

    Examples
    --------
    >>> first_line(ValueError("no such column\nTraceback ...")), first_line(MemoryError())
    ('no such column', 'MemoryError')
    >>> first_line(OSError("API request to http://joe:secret@host/api failed"))
    'API request to http://***@host/api failed'
    """
    return redacted((str(error).splitlines() or [""])[0]) or type(error).__name__


def last_line(error: BaseException) -> str:
    r"""Return the last line of an error's text without passwords: the cause, where several files failed.

    Examples
    --------
    >>> last_line(OSError("The following failures occurred:\n[Errno 28] No space left on device\n"))
    '[Errno 28] No space left on device'
    """
    return redacted((str(error).strip().splitlines() or [""])[-1]) or type(error).__name__


def redacted(text: str) -> str:
    """Return a URI, or a text with URIs in it, without users and passwords: fit for a log.

    Examples
    --------
    >>> redacted("postgresql://joe:secret@db/mlflow")
    'postgresql://***@db/mlflow'
    >>> redacted("postgresql://db/mlflow?user=joe&password=secret")
    'postgresql://db/mlflow?user=joe&password=***'
    >>> redacted("mssql+pyodbc:///?odbc_connect=UID%3Djoe%3BPWD%3Dsecret%3BSERVER%3Ddb")
    'mssql+pyodbc:///?odbc_connect=UID%3Djoe%3BPWD%3D***%3BSERVER%3Ddb'
    """
    return _SECRET.sub(r"\1\2***", "\n".join(map(_without_user, text.split("\n"))))


def _without_user(line: str) -> str:
    # up to the last @: a password may hold characters that end the host for urllib, and not for SQLAlchemy
    before, at, after = line.rpartition("@")
    if not at or not (found := re.search(r"(?<!sqlite)://", before)):
        return line
    return f"{before[: found.end()]}***@{after}"


def visible(text: str) -> str:
    r"""Return a name that others chose with escapes for what a terminal or a log would obey and not show.

    These are control characters, line breaks among them, and what turns the direction of text; joiners and soft
    hyphens, which words of several scripts and emoji are written with, stay.

    Examples
    --------
    >>> visible("cat\x1b[2J\n12:00 INFO"), visible("a\u202egnp.exe"), visible("हिन्\u200dदी") == "हिन्\u200dदी"
    ('cat\\x1b[2J\\n12:00 INFO', 'a\\u202egnp.exe', True)
    """
    return text if text.isprintable() else _OBEYED.sub(lambda found: ascii(found[0])[1:-1], text)


def meant(name: str, known: Collection[str], *, most: int = 1) -> str:
    """Return a hint for a mistyped name: what was probably meant, at `most` so many, or else all that is known.

    Examples
    --------
    >>> meant("defectiv", ["defective", "functional"]), meant("zebra", ["defective", "functional"])
    ("did you mean 'defective'?", 'known: defective, functional')
    """
    close = get_close_matches(name, known, n=most)
    if close:
        return f"did you mean {' or '.join(map(repr, close))}?"
    return (
        f"known: {', '.join(known)}"
        if len(known) <= _LISTED
        else f"none of {len(known):,} known names is like it"
    )


def mistakes(error: ValidationError, model: type[BaseModel], given: object, *, called: str) -> list[str]:
    """Say what pydantic found wrong with a section of the configuration, one plain line a mistake.

    Parameters
    ----------
    error : pydantic.ValidationError
        Of `model`, when it read `given`.
    model : type
        With `hide_input_in_errors` no value is quoted: it may be a password.
    given : object
        The section as it was read, mostly a dictionary.
    called : str
        The section's name, e.g. `training`.

    Returns
    -------
    list of str
        `training.epochs: must be a whole number or 'auto', not 'many'`
    """
    quote = not model.model_config.get("hide_input_in_errors")
    found: dict[tuple[str, str], list[str]] = {}
    for each in error.errors(include_url=False):
        path = _path(each, given)
        name = ".".join(map(str, (called, *path)))
        phrase = _wanted(each)
        if phrase is None:
            found[_other(each, name, path, _section(model, path)), ""] = []
        else:  # each member of a union says what it wants
            value = f", not {_quoted(each['input'])}" if quote else ""
            found.setdefault((name, value), []).append(phrase)
    return [
        f"{text}: must be {' or '.join(dict.fromkeys(phrases))}{value}" if phrases else text
        for (text, value), phrases in found.items()
    ]


def _other(each: Mapping[str, Any], name: str, path: Sequence[Any], section: type[BaseModel]) -> str:
    """Say what is wrong where it is not the value alone."""
    known = list(section.model_fields)
    if each["type"] == "missing":
        return f"{name}: is missing"
    if each["type"] == "extra_forbidden":
        return f"{name}: unknown key; {meant(str(path[-1]), known)}"
    if each["type"] in {"too_short", "too_long"}:
        bound, key = ("at least", "min_length") if each["type"] == "too_short" else ("at most", "max_length")
        n, there = each["ctx"][key], each["ctx"]["actual_length"]
        return f"{name}: must have {bound} {n} {'entry' if n == 1 else 'entries'}, and has {there}"
    text = str(each.get("ctx", {}).get("error", each["msg"]))
    word = (re.match(r"\w+", text) or [""])[0]
    if path and word == path[-1]:  # it begins with the key itself
        return name.removesuffix(word) + text
    return f"{name}.{text}" if word in known else f"{name}: {text}"


def _wanted(each: Mapping[str, Any]) -> str | None:
    """Say what should have been there; None for errors of another kind."""
    kind, context = each["type"], each.get("ctx", {})
    if kind in _BOUNDS:
        return _BOUNDS[kind].format(**{name: _number(bound) for name, bound in context.items()})
    if kind.split("_")[0] in _WANTED:
        return _WANTED[kind.split("_")[0]]
    text = str(each["msg"])
    return text.removeprefix("Input should be ") if text.startswith("Input should be ") else None


def _number(bound: object) -> object:
    if isinstance(bound, int):
        return f"{bound:,}"
    return f"{bound:g}" if isinstance(bound, float) else bound


def _path(each: Mapping[str, Any], given: object) -> tuple[Any, ...]:
    """Leave out of pydantic's location what is no key: it also names the members of unions."""
    path: list[Any] = []
    for part in each["loc"]:
        if (isinstance(given, Mapping) and part in given) or (
            isinstance(given, list | tuple) and isinstance(part, int) and part < len(given)
        ):
            given = given[part]
            path.append(part)
    return (*path, each["loc"][-1]) if each["type"] == "missing" else tuple(path)


def _section(model: type[BaseModel], path: Sequence[Any]) -> type[BaseModel]:
    """Return the model that is nested at a path, or around its end."""
    for part in path:
        if part in model.model_fields:
            nested = next(_models(model.model_fields[part].annotation), None)
            if nested is None:
                break
            model = nested
    return model


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if hasattr(annotation, "model_fields"):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def _quoted(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]  # as YAML writes them
    if isinstance(value, Mapping):
        return "a section"
    if isinstance(value, list | tuple | set):
        return "a list"
    text = repr(value)
    return text if len(text) <= _QUOTED_CHARACTERS else f"{text[:_QUOTED_CHARACTERS]}…"
