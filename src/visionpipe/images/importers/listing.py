"""List the photos of a source."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

from pydantic import BaseModel, ConfigDict, Field

from visionpipe.errors import VisionpipeError
from visionpipe.images.importers.photo import LabelClaim, Photo, ReadFile

_IGNORED_NAMES = {".DS_Store", "Thumbs.db", "desktop.ini"}


class Source(BaseModel):
    """One place that photos come from (an entry of `sources:` in the catalog)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    """Unique name; it is written beside every image."""
    importer: Literal["folder", "elpv", "reviewed"]
    """`folder`: one sub-folder a class. `elpv`: the installed `elpv-dataset`. `reviewed`: what reviewers sent back."""
    path: Path | None = None
    """Folder to read."""
    where: dict[str, Annotated[list[str], Field(min_length=1)]] = {}
    """Keep only photos whose attribute has one of these values."""
    labelled: bool = True
    """False: the photos arrive without labels (production)."""
    arrived_at: datetime | None = None
    """When these photos arrived [UTC]; default: the moment they are first read."""


def iterate_photos(source: Source, now: datetime) -> Iterator[Photo]:
    """List the photos of a source, in an order that does not depend on the file system.

    Parameters
    ----------
    source : Source
        What to read.
    now : datetime
        Arrival time of photos whose source states none [UTC].

    Raises
    ------
    VisionpipeError
        When the folder does not exist or cannot be listed, a package extra is missing, or `where` names an
        attribute that no photo has.
    """
    arrived_at = source.arrived_at or now
    if arrived_at.tzinfo is None:
        arrived_at = arrived_at.replace(tzinfo=UTC)
    attributes: set[str] = set()
    n_photos = 0
    for photo in _IMPORTERS[source.importer](source, arrived_at):
        n_photos += 1
        attributes.update(photo.attributes)
        if all(photo.attributes.get(column) in values for column, values in source.where.items()):
            yield photo
    absent = sorted(set(source.where) - attributes)
    if absent and n_photos:
        raise VisionpipeError(
            f"source {source.name}: where: none of {n_photos} photos has an attribute '{absent[0]}'; there are: "
            f"{', '.join(sorted(attributes)) or 'none'}"
        )


def _folder(source: Source, arrived_at: datetime) -> Iterator[Photo]:
    """One sub-folder a class; files beside the class folders have no label and are named in quarantine."""
    root = _folder_of(source)
    for path in sorted(_files_below(root)):
        relative = path.relative_to(root)
        try:
            status = path.stat()
        except OSError:  # a broken link, or gone since it was listed: reading it will say so, in quarantine
            n_bytes = mtime_ns = 0
        else:
            n_bytes, mtime_ns = status.st_size, status.st_mtime_ns
        label = _printable(relative.parts[0]) if len(relative.parts) > 1 and source.labelled else None
        yield Photo(
            source=source.name,
            path=_printable(relative.as_posix()),
            n_bytes=n_bytes,
            mtime_ns=mtime_ns,
            read=ReadFile(path),
            arrived_at=arrived_at,
            claims=() if label is None else (LabelClaim(label),),
        )


def _files_below(root: Path) -> Iterator[Path]:
    """List everything that is no folder; linked folders are followed, but never in a circle."""

    def fail(error: OSError) -> NoReturn:
        raise VisionpipeError(f"{error.filename}: this folder cannot be listed: {error.strerror}") from error

    for folder, subfolders, names in os.walk(root, followlinks=True, onerror=fail):
        above = {Path(folder).resolve(), *Path(folder).resolve().parents}
        subfolders[:] = [name for name in subfolders if Path(folder, name).resolve() not in above]
        yield from (Path(folder, name) for name in names if name not in _IGNORED_NAMES)


def _printable(name: str) -> str:
    r"""Write the bytes of a file name that are not UTF-8 as `\xff`: no table and no report can hold them raw."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _elpv(source: Source, arrived_at: datetime) -> Iterator[Photo]:
    """ELPV: label `defective` above a defect probability of 0.5, as Deitsch et al., Solar Energy 2019, do."""
    found = importlib.util.find_spec("elpv_dataset")
    if found is None or found.origin is None:
        raise VisionpipeError(
            f"source {source.name}: the package elpv-dataset is missing; install it with "
            "`pip install elpv-dataset` (its photos are CC-BY-NC-SA)"
        )
    root = Path(found.origin).parent / "data"
    for line in (root / "labels.csv").read_text().splitlines():
        path, probability, cell_type = line.split()
        defect_probability = float(probability)
        claim = LabelClaim(
            label="defective" if defect_probability > 0.5 else "functional",
            confidence=max(defect_probability, 1 - defect_probability),
            annotator="elpv-experts",
        )
        status = (root / path).stat()
        yield Photo(
            source=source.name,
            path=path,
            n_bytes=status.st_size,
            mtime_ns=status.st_mtime_ns,
            read=ReadFile(root / path),
            arrived_at=arrived_at,
            claims=(claim,) if source.labelled else (),
            attributes={"cell_type": cell_type},
        )


def _reviewed(source: Source, arrived_at: datetime) -> Iterator[Photo]:
    """Production photos that reviewers labelled: labels from `reviews/`, bytes from `arrivals/`."""
    from visionpipe.images.store import ReadStored, read_store_index, read_tables

    root = _folder_of(source)
    reviews = read_tables(root / "reviews")
    if reviews.empty:
        return
    arrivals = read_store_index(root / "arrivals").set_index("image_id")
    for review in reviews.sort_values(["labelled_at", "image_id"]).itertuples():
        if review.image_id not in arrivals.index:
            raise VisionpipeError(
                f"reviews name image {review.image_id[:12]}…, which {root / 'arrivals'} does not hold: "
                "restore data/01_raw/arrivals before ingesting these reviews"
            )
        arrival: Any = arrivals.loc[review.image_id]
        labelled_at = review.labelled_at.to_pydatetime()
        claim = LabelClaim(
            label=review.label,
            confidence=float(review.label_confidence),
            annotator=review.annotator,
            labelled_at=labelled_at,
            origin="review",
            selection=review.selection,
        )
        yield Photo(
            source=source.name,
            # a reviewer may come back to an image: each time is an input of its own
            path=f"{review.image_id}/{review.annotator}/{labelled_at.isoformat()}",
            n_bytes=int(arrival.n_bytes),
            mtime_ns=review.labelled_at.value,
            read=ReadStored(root / "arrivals" / arrival.shard, int(arrival.row)),
            arrived_at=arrival.arrived_at.to_pydatetime(),
            claims=(claim,),
            attributes=dict(arrival.attributes),
        )


def _folder_of(source: Source) -> Path:
    if source.path is None:
        raise VisionpipeError(f"source {source.name}: importer {source.importer} needs a `path`")
    if not source.path.is_dir():
        raise VisionpipeError(f"source {source.name}: {source.path} is not a folder")
    return source.path


_IMPORTERS: dict[str, Callable[[Source, datetime], Iterator[Photo]]] = {
    "folder": _folder,
    "elpv": _elpv,
    "reviewed": _reviewed,
}
