"""Which keys of which files dvc.yaml names as the parameters of a stage."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from visionpipe.errors import VisionpipeError

if TYPE_CHECKING:
    from visionpipe.lineage.kedro_project import ProjectConfiguration

_ABSENT = object()


def stage_params(inputs: list[str], configuration: ProjectConfiguration) -> list[dict[str, list[str] | None]]:
    """Return the parameters that a stage reads, and the catalog entries that choose its photos."""
    wanted: dict[str, list[str] | None] = {}
    for name in inputs:
        if name == "parameters":
            wanted |= dict.fromkeys(configuration.parameter_files)
            for path, content in configuration.parameter_files.items():
                _require_json(content, path)
        elif name.startswith("params:"):
            key = name.removeprefix("params:")
            if not _add(wanted, configuration.parameter_files, key.split(".")):
                raise VisionpipeError(f"{name} is an input of a node, but no parameters file has {key}")
        elif sources := configuration.catalog.get(name, {}).get("sources"):
            for parts in _public_keys(name, sources):
                _add(wanted, configuration.catalog_files, parts)
    return [{path: sorted(keys) if keys else None} for path, keys in sorted(wanted.items())]


def _public_keys(name: str, sources: dict[str, dict[str, Any]]) -> list[list[str]]:
    """Return the keys of a catalog entry that dvc.lock may hold: the credentials of a source are not among them.

    >>> _public_keys("photos", {"mine": {"importer": "folder", "path": "/p"}})
    [['photos']]
    >>> _public_keys("photos", {"far": {"path": "s3://b", "storage_options": {"secret": "x"}}})
    [['photos', 'sources', 'far', 'path']]
    """
    if not any("storage_options" in source for source in sources.values()):
        return [[name]]
    return [
        [name, "sources", source, option]
        for source, options in sources.items()
        for option in options
        if option != "storage_options"
    ]


def _add(wanted: dict[str, list[str] | None], files: dict[str, dict[str, Any]], parts: list[str]) -> bool:
    """Add a key to `wanted` for each file that has it; return whether one has."""
    found = False
    for path, content in files.items():
        value: Any = content
        for part in parts:
            value = value.get(part, _ABSENT) if isinstance(value, dict) else _ABSENT
        if value is _ABSENT:
            continue
        found, key = True, ".".join(parts)
        _require_json(value, f"{path}: {key}")
        keys = wanted.setdefault(path, [])
        if keys is not None and key not in keys:  # None: the whole file already
            keys.append(key)
    return found


def _require_json(value: Any, called: str) -> None:
    try:
        json.dumps(value)
    except TypeError as error:
        raise VisionpipeError(
            f"{called} holds what DVC can't hash ({error}); put quotes around a date"
        ) from error
