"""COCO: an image's label is the category of its annotations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from visionpipe.errors import VisionpipeError
from visionpipe.images.importers.documents import parse_json, require
from visionpipe.images.importers.join import join_document
from visionpipe.images.importers.photo import LabelClaim, Photo
from visionpipe.images.importers.rows import Row, require_column
from visionpipe.images.importers.source import Source
from visionpipe.images.importers.values import as_text, scalars, shares

_OWN = ("id", "file_name", "width", "height", "coco_url", "flickr_url", "license", "date_captured")


def list_coco(source: Source, arrived_at: datetime) -> Iterator[Photo]:
    """Join COCO's images to files; objects of several categories on one image are so many claims."""
    return join_document(
        source,
        str(source.annotations),
        lambda data, name: parse_coco(parse_json(data, name), name, source.attributes),
        arrived_at,
    )


def parse_coco(document: Any, name: str, attributes: tuple[str, ...] | None) -> list[Row]:
    """Turn a COCO document into one row an image.

    A category's confidence is its share of the image's annotations. Columns named in `attributes`, or else all
    scalars of an image that COCO does not define, are its attributes.

    Raises
    ------
    VisionpipeError
        When it is not a COCO document.
    """
    require(document, dict, f"{name}: the document")
    for key in ("images", "annotations", "categories"):
        if not isinstance(document.get(key), list):
            raise VisionpipeError(f"{name}: is no COCO document: it has no list of `{key}`")
    categories: dict[Any, str | None] = {}
    for position, category in enumerate(document["categories"]):
        where = f"{name}: categories[{position}]"
        require(category, dict, where)
        category_id = _hashable(category.get("id"), where)
        if category_id in categories:
            raise VisionpipeError(f"{where}: another category has the id {category_id!r} as well")
        categories[category_id] = as_text(category.get("name"))
    labels: dict[Any, list[Any]] = defaultdict(list)
    for position, annotation in enumerate(document["annotations"]):
        where = f"{name}: annotations[{position}]"
        require(annotation, dict, where)
        image_id = _hashable(annotation.get("image_id"), where)
        category_id = annotation.get("category_id")
        labels[image_id].append(None if category_id is None else _hashable(category_id, where))

    rows = []
    names: dict[str, None] = {}
    image_ids = set[Any]()
    for position, image in enumerate(document["images"]):
        where = f"{name}: images[{position}]"
        require(image, dict, where)
        names |= dict.fromkeys(image)
        file_name, image_id = image.get("file_name"), _hashable(image.get("id"), where)
        if image_id in image_ids:
            raise VisionpipeError(f"{where}: another image has the id {image_id!r} as well")
        image_ids.add(image_id)
        said = labels.pop(image_id, [])
        rows.append(
            _row(
                (file_name,) if isinstance(file_name, str) and file_name else (),
                f"images[{position}]",
                said,
                categories,
                scalars(image, attributes, without=_OWN),
            )
        )
    for chosen in attributes or ():
        require_column(chosen, names, name, "attributes")
    rows += [_row((), f"annotations of image_id {key}", said, categories, {}) for key, said in labels.items()]
    return rows


def _row(
    references: tuple[str, ...],
    where: str,
    said: list[Any],
    categories: dict[Any, str | None],
    attributes: dict[str, str],
) -> Row:
    unknown = [each for each in said if each not in categories]
    known = [label for each in said if (label := categories.get(each)) is not None]
    claims = tuple(LabelClaim(label, share, "coco") for label, share in shares(known).items())
    trouble = (
        f"category_id {'null' if unknown[0] is None else unknown[0]} is not among the categories"
        if unknown
        else None
    )
    return Row(references, where, claims, attributes, trouble)


def _hashable(value: Any, where: str) -> Any:
    return require(value, (int, float, str), f"{where}: an id")
