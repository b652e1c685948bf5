"""Join what a document says of images to the image files, with every file and every row accounted for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from visionpipe.errors import visible
from visionpipe.images.importers.claims import ClaimMaker, folder_labels_of
from visionpipe.images.importers.join_report import JoinReport
from visionpipe.images.importers.opening import place_of, read_document
from visionpipe.images.importers.photo import Photo, ReadNothing
from visionpipe.images.importers.places import ListedFile, Place, is_image_name
from visionpipe.images.importers.references import Files, resolve, spellings
from visionpipe.images.importers.rows import Row
from visionpipe.images.importers.source import Source
from visionpipe.images.importers.urls import names_of, shown


def join_document(
    source: Source, document: str, parse: Callable[[bytes, str], Iterable[Row]], arrived_at: datetime
) -> Iterator[Photo]:
    """Read a document, in the source's place or by its own URL, and `join` its rows to the files.

    `parse` takes its bytes, and its name as it may be shown.
    """
    place = place_of(source)
    name = shown(document)
    rows = parse(read_document(place, document, source.storage_options), name)
    return join(source, place, name, rows, arrived_at)


def join(
    source: Source, place: Place, document: str, rows: Iterable[Row], arrived_at: datetime
) -> Iterator[Photo]:
    """Give each file the claims and attributes of the rows that name it.

    Parameters
    ----------
    source : Source
        Where the photos belong, and `folder_labels`.
    place : Place
        Where the files lie.
    document : str
        Name of the document, relative to the place if it lies there; it is no photo itself.
    rows : iterable of Row
        What the document says, in its order.
    arrived_at : datetime
        Arrival time of the photos [UTC].

    Yields
    ------
    Photo
        The files in the order of their paths, then the rows without a file, refused as `no_image` or
        `ambiguous_image`. A file without a row has no claims.
    """
    report = JoinReport(source.name, document)
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        report.n_rows += 1
        key = _common_name(row.references[0], place) if row.references else ""
        groups[key or f"{document}#{row.where}"].append(row)
    if not place.can_list:  # it is asked by URL, and so is what it does not have
        groups = _renamed(groups, names_of(groups))
    wanted = {
        key: tuple(dict.fromkeys(r for row in group for r in row.references)) for key, group in groups.items()
    }
    asked = {} if place.can_list else place.find(given[0] for given in wanted.values() if given)
    files = _files(place, document) if place.can_list else list(asked.values())
    resolved = resolve(
        {key: given for key, given in wanted.items() if given}, Files(files), place.name, asked
    )

    rows_of: dict[str, list[Row]] = defaultdict(list)
    for key, file in resolved.items():
        if isinstance(file, ListedFile):
            rows_of[file.path] += groups[key]
    folder_labels = folder_labels_of(source.folder_labels, [file.path for file in files], rows_of)
    claims_of = ClaimMaker(folder_labels)
    for file in files:
        yield report.seen(
            _photo(source, file, rows_of.get(file.path), claims_of, arrived_at), file.path in rows_of
        )
    taken = {file.path for file in files}
    for key, group in groups.items():
        if not isinstance(failed := resolved.get(key, ("no_image", "names no image")), ListedFile):
            while key in taken:
                key += "#"
            taken.add(key)
            where = f"{document} {group[0].where}"
            yield report.missing(_missing(source, key, group, where, failed, arrived_at), len(group))
    report.respelled = claims_of.names.respelled
    report.log()


def _common_name(reference: str, place: Place) -> str:
    """Return what all rows of one image call it: its path, or the URL of one on a web server.

    Hosts and queries tell images apart (`/photo?id=1`). Two URLs of one image are two photos of the same bytes.
    """
    is_url = "://" in reference and not place.can_list
    if is_url and ("?" in reference or not reference.startswith(place.name.rstrip("/") + "/")):
        return reference
    return spellings(reference, place.name)[-1]


def _renamed(groups: dict[str, list[Row]], names: dict[str, str]) -> dict[str, list[Row]]:
    renamed: dict[str, list[Row]] = defaultdict(list)
    for key, group in groups.items():
        renamed[names[key]] += group  # no row is lost, whatever the names are
    return renamed


def _files(place: Place, document: str) -> list[ListedFile]:
    itself = spellings(document, place.name)[-1]
    return [file for file in place.files() if file.path != itself]


def _photo(
    source: Source, file: ListedFile, rows: list[Row] | None, claims_of: ClaimMaker, arrived_at: datetime
) -> Photo:
    attributes: dict[str, str] = {}
    for row in rows or ():
        for name, value in row.attributes.items():
            attributes.setdefault(name, value)
    further = [
        others
        for row in rows or ()
        if (others := {name: value for name, value in row.attributes.items() if attributes[name] != value})
    ]
    trouble = next((visible(f"{row.where}: {row.trouble}") for row in rows or () if row.trouble), None)
    said_by_folder = source.folder_labels or rows is not None
    return file.photo(
        source.name,
        arrived_at,
        claims=claims_of(file.path if said_by_folder and is_image_name(file.path) else None, rows or ()),
        attributes=attributes,
        further_attributes=tuple(further),
        refusal=("bad_row", trouble) if trouble else None,
    )


def _missing(
    source: Source, key: str, group: list[Row], where: str, failed: tuple[str, str], arrived_at: datetime
) -> Photo:
    detail = visible(f"{where}: {failed[1]}")
    attributes = {name: value for row in reversed(group) for name, value in row.attributes.items()}
    return Photo(source.name, key, 0, 0, ReadNothing(detail), arrived_at, (), attributes, (failed[0], detail))
