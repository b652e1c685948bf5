"""Recognise a document that labels images: a table, a COCO, CVAT or Label Studio export, a Parquet image set."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from visionpipe.errors import VisionpipeError
from visionpipe.images.importers.documents import parse_json, parse_xml
from visionpipe.images.importers.label_names import plain
from visionpipe.images.importers.opening import read_document
from visionpipe.images.importers.parquet_schema import image_columns
from visionpipe.images.importers.places import ListedFile, Place
from visionpipe.images.importers.references import Files, resolve
from visionpipe.images.importers.rows import require_column
from visionpipe.images.importers.source import Source
from visionpipe.images.importers.table import Column, parse_table

DOCUMENT_SUFFIXES = (".csv", ".tsv", ".parquet", ".pq", ".json", ".xml")
_LABEL_NAMES = ("label", "labels", "class", "class_name", "category", "target", "diagnosis", "species", "y")
_PATH_NAMES = (
    "path",
    "image",
    "file_name",
    "filename",
    "file",
    "image_path",
    "image_id",
    "url",
    "name",
    "id",
)
_SAMPLE = 1000
"""Values of a column that are tried as paths."""


@dataclass(frozen=True)
class LabelDocument:
    """A document that could label the images.

    Attributes
    ----------
    path : str
        Where it lies, relative to the images.
    importer : str
        What reads it.
    description : str
        What it is, in a word or two.
    options : dict
        The importer's options.
    undecided : str or None
        Which option must be given, and why.
    """

    path: str
    importer: str
    description: str
    options: dict[str, Any]
    undecided: str | None = None


def examine(
    place: Place,
    path: str,
    images: list[ListedFile],
    asked: Mapping[str, str],
) -> LabelDocument | None:
    """Open a document; None when it labels nothing.

    Parameters
    ----------
    asked : mapping
        Columns that are named: option of the importer, such as `label_column` -> column.

    Raises
    ------
    VisionpipeError
        When it cannot be read, or lacks a column that is asked for.
    """
    lower = path.lower()
    if lower.endswith((".parquet", ".pq")):
        name = posixpath.basename(path) if "://" in path or path.startswith("/") else path
        found = place.find([name]).get(name)
        if found is not None and _has_images(found, path):
            options = {name: asked[name] for name in asked.keys() & {"label_column"}}
            return LabelDocument(path, "image_parquet", "images inside Parquet", options)
    data = read_document(place, path, {})
    if lower.endswith(".json"):
        return _examine_json(data, path)
    if lower.endswith(".xml"):
        return _examine_xml(data, path)
    columns = parse_table(data, path).columns
    for option, column in asked.items():
        require_column(column, columns, path, option)
    free = {key: values for key, values in columns.items() if key not in asked.values()}
    named = asked.get("path_column") or _path_column(free, images, place)
    if named is None:
        return None
    free.pop(named, None)
    label, undecided = asked.get("label_column") or _label_column(free, images), None
    options = {"table": path, "path_column": named, **asked}
    if label is None:
        others = ", ".join(free) or "none"
        undecided = f"{path}: which column holds the label? Say so with --label-column (there are: {others})"
    else:
        options["label_column"] = label
    return LabelDocument(path, "table", "table", options, undecided)


def _examine_json(data: bytes, path: str) -> LabelDocument | None:
    document = parse_json(data, path)
    if isinstance(document, dict) and {"images", "annotations", "categories"} <= set(document):
        return LabelDocument(path, "coco", "COCO annotations", {"annotations": path})
    if isinstance(document, list) and document and isinstance(document[0], dict):
        task = document[0].get("data")
        if isinstance(task, dict):
            keys = [key for key, value in task.items() if isinstance(value, str)]
            key = next((key for key in ("image", *keys) if key in task), "image")
            options = {"annotations": path, **({} if key == "image" else {"image_key": key})}
            return LabelDocument(path, "label_studio", "Label Studio export", options)
    return None


def _examine_xml(data: bytes, path: str) -> LabelDocument | None:
    elements: list[str] = []
    parse_xml(data, path, start=lambda element, _: elements.append(element), end=lambda *_: None)
    if elements[0] == "annotations" and "image" in elements:
        return LabelDocument(path, "cvat", "CVAT annotations", {"annotations": path})
    return None


def _has_images(file: ListedFile, path: str) -> bool:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(file.read.stream())
    except (pa.ArrowException, OSError, ValueError) as error:
        raise VisionpipeError(f"{path}: cannot be read as Parquet") from error
    try:
        image_columns(schema, Source(name="use", importer="image_parquet"), path)
    except VisionpipeError:
        return False
    return True


def _path_column(columns: dict[str, Column], images: list[ListedFile], place: Place) -> str | None:
    """Return the column most of whose values are images; on a server that lists nothing, the one named like it."""
    by_name = sorted(columns, key=lambda each: _rank(each, _PATH_NAMES))
    if not images:
        return by_name[0] if by_name and _rank(by_name[0], _PATH_NAMES) < len(_PATH_NAMES) else None
    best, best_share, index = None, 0.5, Files(images)
    for column in by_name:
        values = list(dict.fromkeys(value for value in columns[column] if value))[:_SAMPLE]
        found = resolve({value: (value,) for value in values}, index, place.name)
        share = sum(isinstance(file, ListedFile) for file in found.values()) / max(len(values), 1)
        if share > best_share:
            best, best_share = column, share
    return best


def _label_column(columns: dict[str, Column], images: list[ListedFile]) -> str | None:
    """Return the column named like a label, else the one whose values are the folders' names, else the only one."""
    named = sorted(columns, key=lambda each: _rank(each, _LABEL_NAMES))
    if named and _rank(named[0], _LABEL_NAMES) < len(_LABEL_NAMES):
        return named[0]
    folders = {plain(image.path.split("/")[-2]) for image in images if "/" in image.path}
    for column, values in columns.items():
        found = {plain(value) for value in values if value}
        if len(found) > 1 and found <= folders:
            return column
    return next(iter(columns)) if len(columns) == 1 else None


def _rank(column: str, names: tuple[str, ...]) -> int:
    lower = column.lower()
    return names.index(lower) if lower in names else len(names)
