"""Which file a document means: by exact relative path, else by file name, else by stem, where that is unique."""

from __future__ import annotations

import posixpath
import unicodedata
import urllib.parse
from bisect import bisect_left
from collections import ChainMap, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property

from visionpipe.errors import visible
from visionpipe.images.importers.places import ListedFile, is_image_name

Unresolved = tuple[str, str]
"""Reason code and detail."""


def spellings(reference: str, place_name: str) -> tuple[str, ...]:
    r"""Return a reference as it is written and as the path that it stands for.

    Parameters
    ----------
    reference : str
        Path or URL of an image, as a table or an annotation tool writes it.
    place_name : str
        Path or URL of the place: what lies below it is written relative to it.

    Examples
    --------
    >>> spellings("./cats/../cats/1.jpg", "/photos")
    ('./cats/../cats/1.jpg', 'cats/1.jpg')
    >>> spellings("s3://bucket/cats/1%20a.jpg?X-Sig=1", "s3://bucket")
    ('s3://bucket/cats/1%20a.jpg?X-Sig=1', 'cats/1 a.jpg')
    >>> spellings("/photos/cats/1.jpg", "/photos")[1], spellings(r"cats\1.jpg", "/photos")[1]
    ('cats/1.jpg', 'cats/1.jpg')
    """
    path, root = reference, place_name.rstrip("/")
    if "://" in path:
        if path.startswith(root + "/"):
            path = path[len(root) + 1 :].split("?")[0].split("#")[0]
        else:
            path = path.partition("://")[2].partition("/")[2].split("?")[0].split("#")[0]
        path = urllib.parse.unquote(path)
    path = path.replace("\\", "/")
    if path.startswith(root + "/") and root:
        path = path[len(root) + 1 :]
    path = posixpath.normpath(path) if path else path
    path = unicodedata.normalize("NFC", visible(path))  # as the names of files are
    return (reference,) if path == reference else (reference, path)


class Files:
    """What a place holds, to be found by path, file name and stem; each index is made once, when it is first needed."""

    def __init__(self, files: Iterable[ListedFile]) -> None:
        self._files = list(files)
        self._called: dict[Callable[[str], str], dict[str, list[ListedFile]]] = {}

    @cached_property
    def by_path(self) -> dict[str, ListedFile]:
        """Path, as it is and in NFC -> file."""
        composed: dict[str, ListedFile] = {}
        for file in self._files:
            composed.setdefault(unicodedata.normalize("NFC", file.path), file)
        return composed | {file.path: file for file in self._files}

    @cached_property
    def folders(self) -> set[str]:
        """The folders of the files, in NFC."""
        return {unicodedata.normalize("NFC", file.path).rpartition("/")[0] for file in self._files}

    def called(self, name_of: Callable[[str], str]) -> dict[str, list[ListedFile]]:
        """Return the files by the names that `name_of` makes of their paths."""
        if name_of not in self._called:
            self._called[name_of] = called = defaultdict(list)
            for file in self._files:
                called[name_of(file.path)].append(file)
        return self._called[name_of]


def resolve(
    wanted: Mapping[str, tuple[str, ...]],
    files: Files,
    place_name: str,
    asked: Mapping[str, ListedFile] | None = None,
) -> dict[str, ListedFile | Unresolved]:
    """Find the file of each image that a document names; no file is given to two by name or stem.

    Where several files have the name, the one in folders of the same names is meant: `cat/1.jpg` is
    `images/cat/1.jpg` and not `images/dog/1.jpg`. Where the folder that is named holds files, but not this one, a file
    elsewhere is not meant.

    Parameters
    ----------
    wanted : mapping
        Key -> references, best first.
    files : Files
        What the place holds.
    asked : mapping, optional
        Those of the files that the place was asked for by reference, by that reference.

    Returns
    -------
    dict
        Key -> its file, or reason (`no_image`, `ambiguous_image`) and detail.
    """
    by_path = ChainMap(dict(asked or {}), files.by_path)
    spelled = {key: [spellings(each, place_name) for each in given] for key, given in wanted.items()}
    found: dict[str, ListedFile | Unresolved] = {}
    for key, references in spelled.items():
        exact = next((by_path[one] for names in references for one in names if one in by_path), None)
        if exact is not None:
            found[key] = exact
    owner = {file.path: key for key, file in found.items() if isinstance(file, ListedFile)}
    for position in range(max(map(len, spelled.values()), default=0)):
        for kind, name_of_file, name_of_reference in _WEAKER:
            paths = {
                key: names[position][-1]
                for key, names in spelled.items()
                if key not in found and position < len(names) and names[position][-1]
            }
            if paths:
                candidates = files.called(name_of_file)
                named = {key: (path, name_of_reference(path)) for key, path in paths.items()}
                found |= _match(named, kind, candidates, owner, files.folders)
    for key in wanted:
        found.setdefault(key, ("no_image", "no such file"))
    return found


def _match(
    named: dict[str, tuple[str, str]],
    kind: str,
    candidates: Mapping[str, list[ListedFile]],
    owner: dict[str, str],
    folders: set[str],
) -> dict[str, ListedFile | Unresolved]:
    """Give each key (-> path, name) the file it means, unless another means it as well or owns it already."""
    found: dict[str, ListedFile | Unresolved] = {}
    wishes: dict[str, list[tuple[int, str, ListedFile]]] = defaultdict(list)
    asked: dict[str, dict[str, str]] = defaultdict(dict)
    for key, (path, name) in named.items():
        asked[name][key] = path
    for name, path_of in asked.items():
        same = candidates.get(name, [])
        in_order = sorted(file.path for file in same)
        for key, depth, best in _nearest(path_of, same):
            folder = path_of[key].rpartition("/")[0]
            if best and not depth and folder and folder in folders and not _is_any_below(folder, in_order):
                detail = (
                    f"no such file; {best[0].path} has the {kind}, but there is a folder {folder}, without it"
                )
                found[key] = ("no_image", detail)
            elif len(best) == 1:
                wishes[best[0].path].append((depth, key, best[0]))
            elif best:
                paths = ", ".join(file.path for file in best[:3]) + (", …" if len(best) > 3 else "")
                found[key] = ("ambiguous_image", f"{len(best)} files have the {kind} '{name}': {paths}")
    for path, askers in wishes.items():
        nearest = max(depth for depth, _, _ in askers)
        winners = [key for depth, key, _ in askers if depth == nearest]
        if path not in owner and len(winners) == 1:
            owner[path] = winners[0]
        for _, key, file in askers:
            if owner.get(path) == key:
                found[key] = file
            elif path in owner:
                other = f"'{owner[path]}'" if owner[path] != path else "a row that names it in full"
                detail = f"no such file; {path} has the {kind}, but belongs to {other}"
                found[key] = ("no_image", detail)
            else:
                detail = f"{path} is the only file with the {kind}, but {len(winners)} images of the document have it"
                found[key] = ("ambiguous_image", detail)
    return found


def _nearest(
    path_of: Mapping[str, str], files: Sequence[ListedFile]
) -> Iterator[tuple[str, int, list[ListedFile]]]:
    """Find for each key (-> path) the files that share most of the folders right above them, and how many they share.

    Paths and files go up through their folders together, so the work grows with their number and not with its square.
    """
    askers = [(key, _folders_above(path)) for key, path in path_of.items()]
    levels = [(0, askers, [(file, _folders_above(file.path)) for file in files])]
    while levels:
        depth, askers, candidates = levels.pop()
        files_in, askers_in = defaultdict(list), defaultdict(list)
        for file, folders in candidates:
            if depth < len(folders):
                files_in[folders[depth]].append((file, folders))
        here = [file for file, _ in candidates]
        for key, folders in askers:
            if depth < len(folders) and folders[depth] in files_in:
                askers_in[folders[depth]].append((key, folders))
            else:
                yield key, depth, here
        levels += [(depth + 1, askers_in[folder], files_in[folder]) for folder in askers_in]


def _folders_above(path: str) -> list[str]:
    """Name the folders of a file, the one right above it first.

    >>> _folders_above("images/cat/1.jpg"), _folders_above("1.jpg")
    (['cat', 'images'], [])
    """
    return path.split("/")[-2::-1]


def _is_any_below(folder: str, paths: Sequence[str]) -> bool:
    """Say whether one of the paths, which are sorted, lies in the folder or further down."""
    first = bisect_left(paths, f"{folder}/")
    return first < len(paths) and paths[first].startswith(f"{folder}/")


def _name(path: str) -> str:
    return unicodedata.normalize("NFC", path.rpartition("/")[2])


def _stem(path: str) -> str:
    return posixpath.splitext(_name(path))[0]


def _stem_of_reference(path: str) -> str:
    return _stem(path) if is_image_name(path) else _name(path)  # what follows a dot may be part of the name


_WEAKER = (("file name", _name, _name), ("stem", _stem, _stem_of_reference))
