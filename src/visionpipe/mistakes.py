"""What is wrong with a section of the configuration, in plain words."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, get_args

from visionpipe.errors import meant

if TYPE_CHECKING:
    from pydantic import BaseModel

_QUOTED_CHARACTERS = 60
_OF_A_KEY = "[key]"  # pydantic's last word on where an error is
_SWITCHES = " (YAML reads yes, no, on and off so)"
_MOST_MEANT = 3  # keys of one name in several sections
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


def mistakes(
    model: type[BaseModel], given: object, *, called: str, known_keys: Collection[str] = ()
) -> list[str]:
    """Say what is wrong with a section of the configuration, one plain line a mistake.

    Parameters
    ----------
    model : type
        What reads the section. With `hide_input_in_errors` no value is quoted: it may be a password.
    given : object
        The section as it was read, mostly a dictionary.
    called : str
        The section's name, e.g. `training`.
    known_keys : collection of str
        Keys of all sections (`keys_of`), among which a mistyped one is looked for.

    Returns
    -------
    list of str
        `training.epochs: must be a whole number or 'auto', not 'many'`; none where the model reads it.
    """
    quote = not model.model_config.get("hide_input_in_errors")
    own_first = sorted(known_keys, key=lambda key: not key.startswith(f"{called}."))
    found: dict[tuple[str, str], list[str]] = {}
    for each in _errors(model, given):
        path = _path(each, given)
        name = ".".join(map(str, (called, *path)))
        if each["loc"][-1:] == (_OF_A_KEY,):
            name, key = (
                ".".join(map(str, (called, *each["loc"][:-2]))),
                _quoted(each["input"]) if quote else "a key",
            )
            hint = _SWITCHES if isinstance(each["input"], bool) else ""
            found[f"{name}: {key} must be text; put quotes around it{hint}", ""] = []
            continue
        phrase = _wanted(each)
        if phrase is None:
            found[_other(each, name, path, _section(model, path), own_first), ""] = []
        else:  # each member of a union says what it wants
            value = f", not {_quoted(each['input'])}" if quote else ""
            found.setdefault((name, value), []).append(phrase)
    return [
        f"{text}: must be {' or '.join(dict.fromkeys(phrases))}{value}" if phrases else text
        for (text, value), phrases in found.items()
    ]


def keys_of(model: type[BaseModel], called: str) -> Iterator[str]:
    """Name every key of a section and of the sections in it: `training.epochs`, `training.loss.mix_share`."""
    for name, field in model.model_fields.items():
        yield f"{called}.{name}"
        if hasattr(field.annotation, "model_fields"):
            yield from keys_of(field.annotation, f"{called}.{name}")


def meant_key(name: str, known: Collection[str], known_keys: Collection[str]) -> str:
    """Return what `meant` does, with the whole name of a key that stands in another section.

    Examples
    --------
    >>> meant_key("view", ["views"], ["training.views", "training.loss.tau"])
    "did you mean 'views'?"
    >>> meant_key("tau", ["views"], ["training.views", "training.loss.tau"])
    "did you mean 'training.loss.tau'?"
    >>> meant_key("training.views", ["training"], [])
    'in a file it is written `training: {views: …}`'
    """
    if "." in name:
        return f"in a file it is written `{': {'.join(name.split('.'))}: …{'}' * name.count('.')}`"
    elsewhere: dict[str, list[str]] = {}
    for key in known_keys:
        elsewhere.setdefault(key.rpartition(".")[2], []).append(key)
    close = next(iter(get_close_matches(name, [*known, *elsewhere], n=1)), None)
    if close is None or close in known:
        return meant(name, known)
    return f"did you mean {' or '.join(map(repr, elsewhere[close][:_MOST_MEANT]))}?"


def _errors(model: type[BaseModel], given: object) -> Iterator[Mapping[str, Any]]:
    """Yield pydantic's errors; it reads true as the number 1, which it doesn't when it is strict.

    Only of JSON is it strict about numbers and still takes a list for a tuple. In JSON all keys are text.
    """
    from pydantic import ValidationError

    text = json.dumps(given, default=str, skipkeys=True, ensure_ascii=False)
    as_json = text.encode(errors="replace")  # what is no Unicode is no JSON
    for read, of_switches in (
        (lambda: model.model_validate(given), False),
        (lambda: model.model_validate_json(as_json, strict=True), True),
    ):
        try:
            read()
        except ValidationError as error:
            for each in error.errors(include_url=False):
                of_a_key = each["type"] == "extra_forbidden" or each["loc"][-1:] == (_OF_A_KEY,)
                if (isinstance(each["input"], bool) and not of_a_key) is of_switches:
                    yield each


def _other(
    each: Mapping[str, Any],
    name: str,
    path: Sequence[Any],
    section: type[BaseModel],
    known_keys: Collection[str],
) -> str:
    """Say what is wrong where it is not the value alone."""
    known = list(section.model_fields)
    if each["type"] == "missing":
        return f"{name}: is missing"
    if each["type"] == "extra_forbidden":
        return f"{name}: unknown key; {meant_key(str(path[-1]), known, known_keys)}"
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
