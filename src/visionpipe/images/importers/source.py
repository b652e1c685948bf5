"""What a source of photos is: an entry of `sources:` in the catalog."""

from __future__ import annotations

import os
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

ImporterName = Literal["folder", "table", "coco", "cvat", "label_studio", "image_parquet", "elpv", "reviewed"]

_EVERY = {"name", "importer", "where", "labelled", "arrived_at", "contains_people"}
_PLACE = {"path", "storage_options"}
_JOINED = {*_PLACE, "attributes", "folder_labels"}
OPTIONS: dict[str, set[str]] = {
    "folder": _PLACE,
    "table": {
        *_JOINED,
        *("table", "path_column", "label_column", "confidence_column", "annotator_column"),
    },
    "coco": {*_JOINED, "annotations"},
    "cvat": {*_JOINED, "annotations"},
    "label_studio": {*_JOINED, "annotations", "image_key", "question"},
    "image_parquet": {*_PLACE, "attributes", "image_column", "label_column"},
    "elpv": set(),
    "reviewed": {"path"},
}
"""Options that each importer uses, besides those that all do."""
_NEEDED = {
    "table": ("table", "path_column"),
    "coco": ("annotations",),
    "cvat": ("annotations",),
    "label_studio": ("annotations",),
}


def _text(value: object) -> object:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


class Source(BaseModel):
    """One place that photos come from (an entry of `sources:` in the catalog)."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: str
    """Unique name; it is written beside every image."""
    importer: ImporterName
    """`folder`: one sub-folder a class. `table`: CSV, TSV or Parquet with a path and a label. `coco`, `cvat`,
    `label_studio`: annotation exports. `image_parquet`: images inside Parquet, as Hugging Face stores them.
    `elpv`: the installed `elpv-dataset`. `reviewed`: what reviewers sent back."""
    path: Annotated[str | None, BeforeValidator(_text)] = None
    """Folder to read: a local path or any fsspec URL (`s3://…`, `gs://…`, `az://…`, `https://…`)."""
    storage_options: Annotated[dict[str, Any], Field(repr=False)] = {}
    """What fsspec needs to reach the URL (key, token, endpoint); never written to a log, and told to no web server
    but those of `path` and of the document."""

    where: dict[str, Annotated[list[str], Field(min_length=1)]] = {}
    """Keep only photos whose attribute has one of these values."""
    labelled: bool = True
    """False: the photos arrive without labels (production)."""
    arrived_at: datetime | None = None
    """When these photos arrived [UTC]; default: the moment they are first read."""
    contains_people: bool = False
    """The photos show people: ingestion asks for the `privacy` section."""

    table: Annotated[str | None, BeforeValidator(_text)] = None
    """The table, relative to `path` or absolute, or a URL."""
    path_column: str | None = None
    """Column that names the image: its relative path, its file name or its stem."""
    label_column: str | None = None
    """Column of the label."""
    confidence_column: str | None = None
    """Column with how sure the annotator is [0, 1]."""
    annotator_column: str | None = None
    """Column that names the annotator; an image may have a row for each."""
    annotations: Annotated[str | None, BeforeValidator(_text)] = None
    """The annotation document, relative to `path` or absolute, or a URL."""
    image_column: str | None = None
    """Column with the images; default: the one that is a struct of bytes and path."""
    image_key: str = "image"
    """Key of a Label Studio task's `data` that holds the image."""
    question: str | None = None
    """`from_name` of the Label Studio question that asks for the label; needed where there are several."""
    attributes: tuple[str, ...] | None = None
    """Columns to keep as attributes; default: all others."""
    folder_labels: bool | None = None
    """Whether the class folder's name is a claim beside the table's; default: where most of them agree."""

    @model_validator(mode="after")
    def _fit_the_importer(self) -> Source:
        used = OPTIONS[self.importer]
        if unused := sorted(self.model_fields_set - used - _EVERY):
            raise PydanticCustomError(
                "unused_option",
                "importer {importer} does not use {unused} (it uses: {used})",
                {
                    "importer": self.importer,
                    "unused": ", ".join(unused),
                    "used": ", ".join(sorted(used | _EVERY - {"name", "importer"})),
                },
            )
        if missing := [name for name in _NEEDED.get(self.importer, ()) if not getattr(self, name)]:
            raise PydanticCustomError(
                "missing_option",
                "importer {importer} needs {missing}",
                {"importer": self.importer, "missing": ", ".join(f"`{name}`" for name in missing)},
            )
        return self
