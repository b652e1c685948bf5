"""CVAT for images 1.1: an image's label is its tag, or the label of what is drawn on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from visionpipe.errors import VisionpipeError
from visionpipe.images.importers.documents import parse_xml
from visionpipe.images.importers.join import join_document
from visionpipe.images.importers.photo import LabelClaim, Photo
from visionpipe.images.importers.rows import Row, require_column
from visionpipe.images.importers.source import Source
from visionpipe.images.importers.values import NULLS, shares

_SHAPES = {"box", "polygon", "polyline", "points", "cuboid", "ellipse", "mask", "skeleton"}


def list_cvat(source: Source, arrived_at: datetime) -> Iterator[Photo]:
    """Join CVAT's images to files; tags of several labels on one image are so many claims."""
    return join_document(
        source,
        str(source.annotations),
        lambda data, name: parse_cvat(data, name, source.attributes),
        arrived_at,
    )


@dataclass
class _Image:
    """What one `<image>` holds."""

    name: str
    tags: list[str] = field(default_factory=list)
    shapes: list[str] = field(default_factory=list)
    attributes: dict[str, str] = field(default_factory=dict)


@dataclass
class _Reader:
    """Takes up the elements of a document as they go by."""

    document: str
    images: list[_Image] = field(default_factory=list)
    stack: list[str] = field(default_factory=list)
    attribute: str = ""

    def start(self, element: str, values: dict[str, str]) -> None:
        if not self.stack and element != "annotations":
            raise VisionpipeError(f"{self.document}: is no CVAT document: it begins with <{element}>")
        if element == "track":
            raise VisionpipeError(
                f"{self.document}: is CVAT for video; export the task as `CVAT for images 1.1`"
            )
        if element == "image" and self.stack == ["annotations"]:
            self.images.append(_Image(values.get("name", "")))
            if values.get("subset"):
                self.images[-1].attributes["subset"] = values["subset"]
        elif self.stack == ["annotations", "image"] and values.get("label") not in (None, *NULLS):
            if element == "tag":
                self.images[-1].tags.append(values["label"])
            elif element in _SHAPES:
                self.images[-1].shapes.append(values["label"])
        self.attribute = values.get("name", "")
        self.stack.append(element)

    def end(self, element: str, text: str) -> None:
        # what is said of a drawn object is not said of the image
        if (
            self.stack == ["annotations", "image", "tag", "attribute"]
            and text not in NULLS
            and self.attribute
        ):
            self.images[-1].attributes.setdefault(self.attribute, text)
        self.stack.pop()


def parse_cvat(data: bytes, name: str, attributes: tuple[str, ...] | None) -> Iterator[Row]:
    """Turn a document of CVAT for images 1.1 into one row an image.

    Tags label images; where a document has none at all, the labels of boxes and other shapes do. A label's
    confidence is its share of the image's. Attributes of tags are attributes.

    Raises
    ------
    VisionpipeError
        When it is malformed, has a document type declaration, or is not CVAT for images.
    """
    reader = _Reader(name)
    parse_xml(data, name, start=reader.start, end=reader.end)
    available = dict.fromkeys(each for image in reader.images for each in image.attributes)
    for chosen in attributes or ():
        require_column(chosen, available, name, "attributes")
    has_tags = any(image.tags for image in reader.images)
    for position, image in enumerate(reader.images):
        said = shares(image.tags if has_tags else image.shapes)
        kept = available if attributes is None else attributes
        yield Row(
            references=(image.name,) if image.name else (),
            where=f"image {position + 1}",
            claims=tuple(LabelClaim(label, share, "cvat") for label, share in said.items()),
            attributes={each: image.attributes[each] for each in kept if each in image.attributes},
        )
