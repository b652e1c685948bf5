"""What the columns of a Parquet image set mean."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pyarrow as pa

from visionpipe.errors import VisionpipeError
from visionpipe.images.importers.rows import chosen_attributes, require_column
from visionpipe.images.importers.source import Source


@dataclass(frozen=True)
class Columns:
    """What the columns of a Parquet image set mean.

    Attributes
    ----------
    image : str
        Column of the images.
    is_struct : bool
        Whether an image is a struct of bytes and path, or bytes alone.
    label : str or None
        Column of the label.
    classes : list of str
        Names of the label's codes; empty where labels are text.
    attributes : list of str
        All other columns that hold scalars.
    """

    image: str
    is_struct: bool
    label: str | None
    classes: list[str]
    attributes: list[str]


def image_columns(schema: pa.Schema, source: Source, name: str) -> Columns:
    """Say which column holds images, which one labels, and what the labels' codes mean.

    Raises
    ------
    VisionpipeError
        When there is no image column, or a named column is not there or cannot hold images.
    """
    structs = [
        field.name
        for field in schema
        if pa.types.is_struct(field.type)
        and field.type.get_field_index("bytes") >= 0
        and _may_be_image(field.type.field("bytes").type)
    ]
    image = source.image_column or next(iter(structs), None)
    if image is None:
        raise VisionpipeError(
            f"{name}: no column holds images (a struct of bytes and path); there are: {', '.join(schema.names)}"
        )
    require_column(image, schema.names, name, "image_column")
    if image not in structs and not _may_be_image(schema.field(image).type):
        raise VisionpipeError(
            f"{name}: column '{image}' (option `image_column`) holds {schema.field(image).type}, not images: bytes, "
            "or a struct of bytes and path"
        )
    features = class_names(schema)
    label = source.label_column or next((each for each in (*features, "label") if each in schema.names), None)
    if label is not None:
        require_column(label, schema.names, name, "label_column")
    scalar = [
        field.name
        for field in schema
        if field.name not in (image, label)
        and not pa.types.is_nested(field.type)
        and not _is_bytes(field.type)
    ]
    attributes = chosen_attributes(source, schema.names if source.attributes else scalar, name)
    return Columns(image, image in structs, label, features.get(label or "", []), attributes)


def class_names(schema: pa.Schema) -> dict[str, list[str]]:
    """Return the names behind the codes of each `ClassLabel` column, from Hugging Face's schema metadata."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {
            column: [str(name) for name in feature["names"]]
            for column, feature in features.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" and column in schema.names
        }
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}


def _may_be_image(kind: pa.DataType) -> bool:
    return _is_bytes(kind) or pa.types.is_null(kind)  # null: all images lie beside the file


def _is_bytes(kind: pa.DataType) -> bool:
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)
