"""Label Studio's JSON export: each annotator's choice is a claim."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from visionpipe.errors import VisionpipeError
from visionpipe.images.importers.documents import parse_json, require
from visionpipe.images.importers.join import join_document
from visionpipe.images.importers.photo import LabelClaim, Photo
from visionpipe.images.importers.rows import Row, require_column
from visionpipe.images.importers.source import Source
from visionpipe.images.importers.urls import shown
from visionpipe.images.importers.values import as_text, scalars


def list_label_studio(source: Source, arrived_at: datetime) -> Iterator[Photo]:
    """Join Label Studio's tasks to files; predictions and cancelled annotations are no labels."""
    return join_document(
        source,
        str(source.annotations),
        lambda data, name: parse_label_studio(parse_json(data, name), source),
        arrived_at,
    )


def parse_label_studio(document: Any, source: Source) -> list[Row]:
    """Turn an export into one row a task.

    Raises
    ------
    VisionpipeError
        When it is not Label Studio's JSON export, no task has the image's key, or several questions were asked and
        `question` does not say which one asks for the label.
    """
    name = shown(str(source.annotations))
    tasks = require(document, list, f"{name}: the document")
    for position, task in enumerate(tasks):
        require(task, dict, f"{name}: task {position + 1}")
        if not isinstance(task.get("data"), dict):
            raise VisionpipeError(
                f"{name}: task {position + 1} has no `data`: export from Label Studio as JSON (not JSON-MIN or CSV)"
            )
    keys = dict.fromkeys(key for task in tasks for key in task["data"])
    for option, column in [
        ("image_key", source.image_key),
        *(("attributes", each) for each in source.attributes or ()),
    ]:
        if tasks:
            require_column(column, keys, name, option)
    question = _question(tasks, source, name)
    return [
        _row(task, f"task {as_text(task.get('id')) or position + 1}", question, source)
        for position, task in enumerate(tasks)
    ]


def _row(task: dict[str, Any], where: str, question: str | None, source: Source) -> Row:
    claims, trouble = [], None
    for annotation, result in _results(task):
        if result.get("from_name") != question:
            continue
        try:
            labelled_at = _time(annotation.get("updated_at") or annotation.get("created_at"))
        except (ValueError, OverflowError):
            trouble = "an annotation's updated_at or created_at is no time"
            continue
        claims += [
            LabelClaim(label, annotator=_annotator(annotation.get("completed_by")), labelled_at=labelled_at)
            for each in result["value"]["choices"]
            if (label := as_text(each)) is not None
        ]
    image = task["data"].get(source.image_key)
    return Row(
        references=image_references(image) if isinstance(image, str) else (),
        where=where,
        claims=tuple(claims),
        attributes=scalars(task["data"], source.attributes, without=[source.image_key]),
        trouble=trouble,
    )


def image_references(url: str) -> tuple[str, ...]:
    """Return the names under which a task's image may lie on disk.

    Examples
    --------
    >>> image_references("/data/local-files/?d=photos/cat%201.jpg")
    ('photos/cat 1.jpg',)
    >>> image_references("/data/upload/3/ab12cd34-cat.jpg")
    ('ab12cd34-cat.jpg', 'cat.jpg')
    """
    if "/data/local-files/" in url:
        query = urllib.parse.parse_qs(url.partition("?")[2])
        return tuple(query.get("d", []))
    if "/data/upload/" in url:
        stored = urllib.parse.unquote(url.split("?")[0].rpartition("/")[2])
        return tuple(dict.fromkeys((stored, re.sub(r"^[0-9a-f]{8}-", "", stored))))
    return (url,) if url else ()


def _question(tasks: list[dict[str, Any]], source: Source, name: str) -> str | None:
    asked = dict.fromkeys(as_text(result.get("from_name")) for task in tasks for _, result in _results(task))
    if source.question is not None:
        if asked:
            require_column(source.question, [str(each) for each in asked], name, "question")
        return source.question
    if len(asked) > 1:
        raise VisionpipeError(
            f"{name}: several questions were answered ({', '.join(map(str, asked))}): "
            "say which one asks for the label (option `question`)"
        )
    return next(iter(asked), None)


def _results(task: dict[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Go through the choices that were made, with the annotation that each belongs to."""
    annotations = task.get("annotations")
    for annotation in annotations if isinstance(annotations, list) else ():
        if not isinstance(annotation, dict) or annotation.get("was_cancelled"):
            continue
        results = annotation.get("result")
        for result in results if isinstance(results, list) else ():
            value = result.get("value") if isinstance(result, dict) else None
            if isinstance(value, dict) and isinstance(value.get("choices"), list):
                yield annotation, result


def _annotator(who: Any) -> str:
    if isinstance(who, dict):
        who = who.get("email") or who.get("id")
    return as_text(who) or "label_studio"


def _time(text: Any) -> datetime | None:
    if text is None:
        return None
    if not isinstance(text, str):
        raise ValueError("not a time")
    time = datetime.fromisoformat(text)
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
