"""How a run was started: the options that change its configuration, to be typed again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

_TRAINED_BY = ("training", "evaluation")
_MOST_CHARACTERS = 4_000


def run_options(env: str | None, runtime_params: Mapping[str, Any] | None) -> str:
    """Return the options of `kedro run` that change its configuration, to be typed as they stand.

    Examples
    --------
    >>> run_options("gpu", {"training": {"epochs": 3, "compile": True}})
    '--env gpu --params training.epochs=3,training.compile=true'
    """
    options = ["--env", env] if env else []
    if given := [f"{key}={_typed(value)}" for key, value in _leaves(runtime_params or {})]:
        options += ["--params", ",".join(given)]
    return shlex.join(options)


def local_settings(parameters: Mapping[str, Any]) -> str:
    """Return what conf/local says of training and evaluation as JSON, which is YAML, too; empty where it says nothing.

    Parameters
    ----------
    parameters
        Of conf/local alone, which no commit holds. More than MLflow takes as a tag is not told.

    Examples
    --------
    >>> local_settings({"training": {"views": ["identity"]}, "promotion": {"mode": "propose"}})
    '{"training": {"views": ["identity"]}}'
    """
    told = {name: _public(parameters[name]) for name in _TRAINED_BY if parameters.get(name)}
    text = json.dumps(told, default=str) if told else ""
    return text if len(text) <= _MOST_CHARACTERS else ""


def _leaves(parameters: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in parameters.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _typed(value: Any) -> str:
    """Write a value so that YAML, as Kedro reads options, gives the same one; no password of a URL is written."""
    import yaml

    public = _public(value)
    if isinstance(public, str) and public and yaml.safe_load(public) == public:
        return public
    return json.dumps(public, default=str)


def _public(value: Any) -> Any:
    """Return a value without the passwords of URLs, however deep they lie in it."""
    from visionpipe.errors import redacted

    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, Mapping):
        return {key: _public(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_public(inner) for inner in value]
    return value
