"""Look at a collection of photos and guess how it says what is on them."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from visionpipe.counting import counted
from visionpipe.errors import VisionpipeError
from visionpipe.images.importers.opening import open_place
from visionpipe.images.importers.places import ListedFile, Place, is_image_name
from visionpipe.images.label_documents import DOCUMENT_SUFFIXES, LabelDocument, examine

_SPLITS = {"train", "training", "val", "valid", "validation", "dev", "test", "testing"}
_MAX_DOCUMENTS = 20
"""Documents that are opened: a folder with more holds one beside each photo, which says nothing of the layout."""


@dataclass(frozen=True)
class Layout:
    """How a collection is labelled.

    Attributes
    ----------
    description : str
        In a few words.
    sources : dict
        Name of the source -> its options, as the catalog holds them.
    notes : list of str
        What a user should know of the guess.
    undecided : str or None
        Why the guess must not be used as it is, and which option decides.
    """

    description: str
    sources: dict[str, dict[str, Any]]
    notes: list[str] = field(default_factory=list)
    undecided: str | None = None


def guess_layout(
    path: str,
    *,
    name: str | None = None,
    table: str | None = None,
    path_column: str | None = None,
    label_column: str | None = None,
    annotator_column: str | None = None,
    confidence_column: str | None = None,
) -> Layout:
    """Guess the importer of a folder, a URL, or a single document, and its options.

    Parameters
    ----------
    path : str
        Folder or URL of the photos; or the table or document that labels the photos beside it.
    name : str, optional
        Name of the source; default: the folder's.
    table : str, optional
        The document that labels them, where several could: table, COCO, CVAT or Label Studio export.
    path_column, label_column : str, optional
        The table's columns, where they cannot be guessed.
    annotator_column, confidence_column : str, optional
        Its columns of who labelled and how sure it is, which are not guessed.

    Raises
    ------
    VisionpipeError
        When there is nothing to look at, `table` cannot be used, or columns are named and no table labels the photos.
    """
    if not path.strip():  # which would mean the working directory
        raise VisionpipeError("PATH is empty: name the folder or the URL of the photos")
    path = _absolute(path)
    if path.lower().endswith(DOCUMENT_SUFFIXES) and not Path(path).is_dir():
        path, _, document = path.rpartition("/")
        path, table = path or "/", table or document
    name = name or _slug(path)
    place = open_place(path)
    files = place.files() if place.can_list or table is None else []
    if not files and place.can_list:
        raise VisionpipeError(f"{place.name} holds no file at all")
    images = [file for file in files if is_image_name(file.path)]

    columns = {
        "path_column": path_column,
        "label_column": label_column,
        "annotator_column": annotator_column,
        "confidence_column": confidence_column,
    }
    asked = {option: column for option, column in columns.items() if column is not None}
    if table is not None:
        found = examine(place, table, images, asked)
        if found is None:
            raise VisionpipeError(
                f"{table}: is neither a table nor an export of COCO, CVAT or Label Studio: choose another --table"
            )
        documents, notes = [found], []
    else:
        documents, notes = _documents(place, files, images, asked)
    for option in asked:
        if not any(option in document.options for document in documents):
            raise VisionpipeError(
                f"--{option.replace('_', '-')}: no document that labels these photos has such columns; name a "
                "table with --table"
            )
    if documents:
        layout = _labelled_by(documents, name, path)
        return Layout(layout.description, layout.sources, layout.notes + notes, layout.undecided)
    if not images:
        kinds = Counter(os.path.splitext(file.path)[1] or "no extension" for file in files).most_common(3)  # noqa: PTH122
        seen = ", ".join(f"{count} {kind}" for kind, count in kinds)
        raise VisionpipeError(
            f"{place.name} holds {counted(len(files), 'file')} ({seen}), but no image and no image table"
        )
    return _folders(images, name, path, notes)


def _documents(
    place: Place, files: list[ListedFile], images: list[ListedFile], asked: dict[str, str]
) -> tuple[list[LabelDocument], list[str]]:
    """Open what could label the images: documents of the folder itself and of those in it."""
    paths = [f.path for f in files if f.path.lower().endswith(DOCUMENT_SUFFIXES) and f.path.count("/") <= 1]
    shards = [path for path in paths if path.lower().endswith((".parquet", ".pq"))]
    if len(paths) - len(shards) > _MAX_DOCUMENTS:
        return [], [f"{len(paths)} documents lie beside the images and were not opened; --table names one"]
    found, notes, refusals = [], [], []
    for path in [*(each for each in paths if each not in shards), *shards[:_MAX_DOCUMENTS]]:
        try:
            document = examine(place, path, images, asked)
        except VisionpipeError as error:
            notes.append(str(error))
            refusals.append(error)
        else:
            found += [document] if document else []
    if refusals and not found and asked:  # what is asked for by name must not be passed over
        raise refusals[0]
    if any(each.importer == "image_parquet" for each in found):
        parquet = [each for each in found if each.importer == "image_parquet"]
        found = [each for each in found if each.importer != "image_parquet"] + parquet[:1]
    return found, notes


def _labelled_by(documents: list[LabelDocument], name: str, path: str) -> Layout:
    first = documents[0]
    undecided = first.undecided
    if len(documents) > 1:
        seen = ", ".join(f"{each.path} ({each.description})" for each in documents)
        undecided = f"several documents could label these images: {seen}; choose one with --table"
    return Layout(
        description=f"{first.description} {first.path}"
        if first.importer != "image_parquet"
        else first.description,
        sources={name: {"importer": first.importer, "path": path, **first.options}},
        undecided=undecided,
    )


def _folders(images: list[ListedFile], name: str, path: str, notes: list[str]) -> Layout:
    """Recognise class folders, also below `train/` and `test/` or one folder down."""
    paths = [file.path for file in images]
    inner = path
    while len(tops := _tops(paths)) == 1 and len(_tops(_below(paths, tops[0]))) > 1:
        paths, inner = _below(paths, tops[0]), f"{inner.rstrip('/')}/{tops[0]}"
    splits = [top for top in tops if top.lower() in _SPLITS]
    if classed := [top for top in splits if _tops(_below(paths, top))]:
        sources = {
            f"{name}_{_slug(top)}": {"importer": "folder", "path": f"{inner.rstrip('/')}/{top}"}
            for top in classed
        }
        notes = [*notes, *_left_out(paths, [top for top in tops if top not in classed])]
        note = f"the folders {', '.join(classed)} are read as one collection: visionpipe makes its own, sticky, splits"
        return Layout(f"class folders below {', '.join(classed)}", sources, [*notes, note])
    source = {name: {"importer": "folder", "path": inner}}
    are_splits = len(splits) > 1  # one alone may be a class: a train is a vehicle, too
    if len(tops) > 1 and not are_splits:
        where = "" if inner == path else f" in {inner.removeprefix(path).strip('/')}"
        return Layout(f"class folders{where}", source, notes)
    description, where, lie = "images without labels", "", ""
    if are_splits:
        description, where = (
            "images in splits without class folders",
            f" in {', '.join(tops)}, which are no classes,",
        )
    elif tops:
        lie = f" (all lie in {tops[0]}, and a classifier needs two classes)"
    undecided = (
        f"{counted(len(images), 'image')}{where} and nothing that labels them{lie}: put them into one folder a "
        "class, or name a document with --table (CSV, TSV, Parquet, COCO, CVAT, Label Studio)"
    )
    source[name]["labelled"] = False
    return Layout(description, source, notes, undecided)


def _left_out(paths: list[str], tops: list[str]) -> list[str]:
    counts = ", ".join(f"{top} ({counted(len(_below(paths, top)), 'image')})" for top in tops)
    return [f"no class folders lie in, and nothing is read of: {counts}"] if tops else []


def _tops(paths: Iterable[str]) -> list[str]:
    return sorted({path.split("/")[0] for path in paths if "/" in path})


def _below(paths: list[str], top: str) -> list[str]:
    return [path[len(top) + 1 :] for path in paths if path.startswith(f"{top}/")]


def _absolute(path: str) -> str:
    # expanduser of Path raises where there is no such user; links stay links
    return path if "://" in path else os.path.abspath(os.path.expanduser(path))  # noqa: PTH100, PTH111


def _slug(path: str) -> str:
    """Make a name of a path's last part.

    >>> _slug("/data/My photos (1)/"), _slug("s3://bucket")
    ('my_photos_1', 'bucket')
    """
    last = path.split("?")[0].rstrip("/").rpartition("/")[2]
    return re.sub(r"\W+", "_", last).strip("_").lower() or "photos"
