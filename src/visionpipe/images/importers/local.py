"""Photos in a folder of this machine."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from visionpipe.errors import VisionpipeError
from visionpipe.images.importers.photo import ReadFile
from visionpipe.images.importers.places import (
    IGNORED_NAMES,
    ListedFile,
    in_folder_order,
    is_ignored_folder,
    printable,
    require_document_size,
)

_MOST_WAYS = 100
"""Ways through links to one folder: linked folders that hold links themselves could lead to it in 2**N."""


@dataclass(frozen=True)
class LocalFolder:
    """A folder of this machine."""

    root: str
    can_list: bool = True

    @property
    def name(self) -> str:
        """The folder's path."""
        return printable(self.root)

    def files(self) -> list[ListedFile]:
        """List everything that is no folder; linked folders are followed, but never in a circle.

        What lies in a folder that is linked from several others is listed once for each: its labels may contradict
        each other.

        Raises
        ------
        VisionpipeError
            When a folder cannot be listed, or links lead to one in more than 100 ways.
        """
        paths = sorted(_paths_below(self.root), key=in_folder_order)
        return [self._listed(path) for path in paths]

    def find(self, references: Iterable[str]) -> dict[str, ListedFile]:
        """Return those of the references that are files."""
        return {each: self._listed(each) for each in references if Path(self.root, each).is_file()}

    def document(self, path: str) -> bytes:
        """Read a document."""
        file = Path(self.root, path)
        try:
            if not file.is_file():
                raise VisionpipeError(f"{file}: no such file")
            require_document_size(str(file), file.stat().st_size)
            return file.read_bytes()
        except OSError as error:
            raise VisionpipeError(f"{file}: cannot be read: {error.strerror}") from error

    def _listed(self, path: str) -> ListedFile:
        full = os.path.join(self.root, path)  # noqa: PTH118 - a string takes a third of a Path's memory
        try:
            status = os.stat(full)  # noqa: PTH116 - making a Path takes longer than asking
        except OSError:  # a broken link, or gone since it was listed: reading it will say so, in quarantine
            return ListedFile(printable(path), 0, 0, ReadFile(full))
        return ListedFile(printable(path), status.st_size, status.st_mtime_ns, ReadFile(full))


def _paths_below(root: str) -> Iterator[str]:
    def fail(error: OSError) -> NoReturn:
        raise VisionpipeError(f"{error.filename}: this folder cannot be listed: {error.strerror}") from error

    # of each folder on the way, where it is in truth, and where the folders that led there are
    walked = {root: frozenset([Path(root).resolve(), *Path(root).resolve().parents])}
    ways: Counter[Path] = Counter()
    for folder, subfolders, names in os.walk(root, followlinks=True, onerror=fail):
        above = walked.pop(folder)
        places = {name: Path(folder, name).resolve() for name in subfolders if not is_ignored_folder(name)}
        subfolders[:] = [name for name, place in places.items() if place not in above]
        ways.update(places[name] for name in subfolders)
        if crowded := [name for name in subfolders if ways[places[name]] > _MOST_WAYS]:
            raise VisionpipeError(
                f"{printable(str(places[crowded[0]]))}: links lead to this folder in more than {_MOST_WAYS} ways, as "
                f"{printable(folder)}/{printable(crowded[0])}: remove some of them"
            )
        for name in subfolders:
            inside = os.path.join(folder, name)  # noqa: PTH118 - as os.walk names it
            walked[inside] = above | {places[name], *places[name].parents}
        relative = os.path.relpath(folder, root)
        prefix = "" if relative == "." else relative.replace(os.sep, "/") + "/"
        yield from (prefix + name for name in names if name not in IGNORED_NAMES)
