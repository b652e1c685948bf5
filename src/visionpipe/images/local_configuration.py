"""Write a choice of photos into conf/local, and lose nothing that stands there."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import yaml

from visionpipe.atomic import new_file
from visionpipe.errors import VisionpipeError, first_line

_DATASET = "visionpipe.datasets.photos.PhotoSources"
UPRIGHT_VIEWS = ["identity", "horizontal_flip"]
"""Symmetries of most photos; those in conf/base are of the demo's cells, which have no upper side."""


def write_local_configuration(
    conf_local: Path,
    sources: dict[str, dict[str, Any]],
    group_by: str | None,
    *,
    attributes: Collection[str],
    force: bool,
) -> list[Path]:
    """Write the catalog entry `photos`, `training.views` if none are chosen, and `ingestion.split.group_by` if asked.

    Other entries and their comments stay as they are. Each file is written whole or not at all; none is written
    when one of them must not be.

    Parameters
    ----------
    conf_local : Path
        The folder of the user's own configuration.
    sources : dict
        Name of the source -> its options.
    group_by : str or None
        Attribute whose values must not span two splits.
    attributes : collection of str
        All attributes of the photos: an earlier `group_by` that is none of them cannot stay.
    force : bool
        Replace an entry that says something else.

    Returns
    -------
    list of Path
        Files that were changed.

    Raises
    ------
    VisionpipeError
        When a file is no YAML mapping, or holds another choice and `force` is not set.
    """
    new = _grouping(conf_local, group_by, attributes, force=force)
    new |= _symmetries(conf_local, new)
    file, held = _find(conf_local, "catalog", "photos", "catalog.yml")
    entry = {"type": _DATASET, "sources": _escaped(sources)}
    _require_same(held.get("photos"), entry, file, "photos", force=force)
    if entry != held.get("photos"):
        new[file] = _with_entry(_text(file), "photos", entry)
    for file, text in new.items():  # the catalog comes last: photos never stand there without their groups
        with new_file(file) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return list(new)


def _grouping(
    conf_local: Path, group_by: str | None, attributes: Collection[str], *, force: bool
) -> dict[Path, str]:
    """Return the parameter file to write and its text; nothing when it says so already."""
    file, held = _find(conf_local, "parameters", "ingestion", "parameters_ingestion.yml")
    section = dict(_mapping(held.get("ingestion") or {}, file, "ingestion"))
    split = dict(_mapping(section.get("split") or {}, file, "ingestion.split"))
    before = split.get("group_by")
    if group_by is not None:
        _require_same(before, group_by, file, "ingestion.split.group_by", force=force)
        split["group_by"] = group_by
    elif before is not None and before not in attributes:
        if not force:
            raise VisionpipeError(
                f"{file} groups by '{before}', which these photos do not have: give --group-by, or --force to "
                "group no more"
            )
        del split["group_by"]
    if split.get("group_by") == before:
        return {}
    return {file: _with_entry(_text(file), "ingestion", {**section, "split": split})}


def _symmetries(conf_local: Path, new: dict[Path, str]) -> dict[Path, str]:
    """Return the parameter file to write and its text, after what is `new` in it; nothing when views are chosen."""
    for file in _files(conf_local, "parameters"):  # Kedro reads one section from several files
        if "views" in _mapping(_load(file).get("training") or {}, file, "training"):
            return {}
    file, held = _find(conf_local, "parameters", "training", "parameters.yml")
    section = _mapping(held.get("training") or {}, file, "training")
    text = new[file] if file in new else _text(file)
    return {file: _with_entry(text, "training", {**section, "views": UPRIGHT_VIEWS})}


def _find(folder: Path, kind: str, key: str, usual: str) -> tuple[Path, dict[str, Any]]:
    """Return the file that holds a key, or the usual one: Kedro refuses a key that two files hold."""
    for file in _files(folder, kind):
        if key in (held := _load(file)):
            return file, held
    return folder / usual, _load(folder / usual)


def _files(folder: Path, kind: str) -> list[Path]:
    return sorted(
        path
        for path in (*folder.glob(f"{kind}*"), *folder.glob(f"{kind}*/**/*"))
        if path.suffix in (".yml", ".yaml") and path.is_file()
    )


def _load(file: Path) -> dict[str, Any]:
    try:
        held = yaml.safe_load(_text(file))
    except yaml.YAMLError as error:
        raise VisionpipeError(f"{file}: is no YAML: {first_line(error)}; mend it first") from error
    return {} if held is None else _mapping(held, file, "the file")


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8") if file.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise VisionpipeError(f"{file}: cannot be read: {first_line(error)}") from error


def _mapping(value: Any, file: Path, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise VisionpipeError(f"{file}: {what} is not a mapping of keys to values; mend it first")
    return value


def _require_same(held: Any, new: Any, file: Path, key: str, *, force: bool) -> None:
    if held is not None and held != new and not force:
        raise VisionpipeError(f"{file} chooses other `{key}` already; --force replaces them")


def _with_entry(text: str, key: str, value: Any) -> str:
    """Put an entry into a YAML mapping, in the place of the one it holds, or at its end."""
    entry = yaml.safe_dump({key: value}, sort_keys=False, allow_unicode=True, width=100)
    held = yaml.safe_load(text)
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    if node is None:
        return _line(text) + entry
    if node.flow_style:  # {photos: …}: one line, which cannot be cut
        return yaml.safe_dump({**held, key: value}, sort_keys=False, allow_unicode=True)
    edited = _line(text) + entry
    for name, old in node.value:
        if name.value == key:
            end = text.find("\n", _end(old))
            edited = text[: name.start_mark.index] + entry + (text[end + 1 :] if end >= 0 else "")
    try:
        kept = yaml.safe_load(edited) == {**held, key: value}
    except yaml.YAMLError:  # an anchor that something else refers to stood in what was replaced
        kept = False
    return edited if kept else yaml.safe_dump({**held, key: value}, sort_keys=False, allow_unicode=True)


def _end(node: yaml.Node) -> int:
    """Return where the last value of a node ends; a block's own mark lies behind the comments that follow it."""
    if isinstance(node, yaml.ScalarNode) or node.flow_style or not node.value:
        return node.end_mark.index
    last = node.value[-1]
    return _end(last[1] if isinstance(last, tuple) else last)


def _line(text: str) -> str:
    return text if not text or text.endswith("\n") else text + "\n"


def _escaped(value: Any) -> Any:
    """Keep a `${` in a folder's name from being read as a reference to other configuration."""
    if isinstance(value, str):
        return value.replace("${", r"\${")
    if isinstance(value, dict):
        return {key: _escaped(each) for key, each in value.items()}
    return [_escaped(each) for each in value] if isinstance(value, list | tuple) else value
