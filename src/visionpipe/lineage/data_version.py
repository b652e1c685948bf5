"""The version of the data, as DVC names it, and the proof that its bytes can be had back.

DVC trusts any cache file whose mode is 0444, so a flipped bit passes `dvc status` and `dvc checkout`.
Nothing here trusts it: what is named has been read and hashed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visionpipe.errors import VisionpipeError
from visionpipe.lineage.dvc_recording import open_repo

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CALLED = {"store_md5": "image store", "labels_md5": "label history", "manifest_md5": "manifest"}
HASH_TAGS = tuple(CALLED)
_MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")


class DataNotRecoverable(VisionpipeError):  # noqa: N818 - reads as what it is
    """A hash names bytes that the DVC cache does not hold, or holds damaged."""


@dataclass(frozen=True)
class DataVersion:
    """The data that a model learned from.

    Attributes
    ----------
    store_md5, labels_md5, manifest_md5
        DVC's hashes: `<md5>` of a file, `<md5>.dir` of a folder.
    n_images
        Rows of the manifest.
    labels_by_origin
        Rows of the label history by `origin` (import, review, correction).
    """

    store_md5: str
    labels_md5: str
    manifest_md5: str
    n_images: int
    labels_by_origin: dict[str, int]

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        return asdict(self)

    def tags(self) -> dict[str, str]:
        """Return the hashes as a registered version carries them; the registry adds the prefix `visionpipe.`.

        Examples
        --------
        >>> DataVersion("1.dir", "2.dir", "3", 4, {"import": 4}).tags()
        {'store_md5': '1.dir', 'labels_md5': '2.dir', 'manifest_md5': '3'}
        """
        return {name: getattr(self, name) for name in HASH_TAGS}


def read_data_version(project: Path, hashes: Mapping[str, str]) -> DataVersion:
    """Return the version of the data that hashes name, once every byte of it was found in the DVC cache and re-hashed.

    Parameters
    ----------
    project
        The folder that holds dvc.yaml.
    hashes
        `store_md5`, `labels_md5`, `manifest_md5`.

    Raises
    ------
    DataNotRecoverable
        A cache file is missing or its bytes don't have the hash.
    VisionpipeError
        There is no DVC repository.
    """
    with open_repo(project, doing="the data version can't be read") as repo:
        cache = Path(repo.cache.local.path)
    files = {name: verified_files(cache, hashes[name], called=CALLED[name]) for name in HASH_TAGS}
    return DataVersion(
        **{name: hashes[name] for name in HASH_TAGS},
        n_images=sum(count_by(files["manifest_md5"], None).values()),
        labels_by_origin=count_by(files["labels_md5"], "origin"),
    )


def verified_files(
    cache: Path,
    md5: str,
    *,
    called: str,
    rehash_members: bool = True,
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Path]:
    """Return the cache files behind a DVC hash, every one re-hashed.

    Parameters
    ----------
    cache
        DVC's `cache/files/md5`.
    md5
        `<md5>` of a file or `<md5>.dir` of a folder, as dvc.lock or a version tag has it.
    called
        What the hash stands for, for the error message.
    rehash_members
        False only looks whether the files of a folder are there (its listing is re-hashed all the same).
    tell
        Told after every file of a folder how many are done, and of how many.

    Returns
    -------
    dict
        Path inside the folder -> cache file; a file's own path is `""`.

    Raises
    ------
    DataNotRecoverable
        A file is missing or its bytes don't have the hash.
    """
    top = _verified_file(cache, md5, called)
    if not md5.endswith(".dir"):
        return {"": top}
    members = {entry["relpath"]: entry["md5"] for entry in json.loads(top.read_bytes())}
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # hashlib lets go of the interpreter lock
        paths = pool.map(
            lambda item: _verified_file(cache, item[1], f"{called}/{item[0]}", rehash=rehash_members),
            members.items(),
        )
        found = {}
        for name, path in zip(members, paths, strict=True):
            found[name] = path
            tell(len(found), len(members))
        return found


def count_by(files: dict[str, Path], column: str | None) -> dict[str, int]:
    """Count the rows of Parquet `files` by the values of a column (`None`: all rows under `rows`)."""
    import pyarrow.parquet as pq

    counts: dict[str, int] = {}
    for name, path in sorted(files.items()):
        if name and not name.endswith(".parquet"):
            continue
        with path.open("rb") as opened:
            if column is None:
                counts["rows"] = counts.get("rows", 0) + pq.ParquetFile(opened).metadata.num_rows
                continue
            values = pq.read_table(opened, columns=[column])[column].value_counts().to_pylist()
        for entry in values:
            key = str(entry["values"])
            counts[key] = counts.get(key, 0) + entry["counts"]
    return dict(sorted(counts.items()))


def _verified_file(cache: Path, md5: str, called: str, *, rehash: bool = True) -> Path:
    if not _MD5.fullmatch(md5):  # it may come from a registry that others write to, and becomes a path
        raise VisionpipeError(f"{called}: {md5!r} is no DVC hash")
    path = cache / md5[:2] / md5[2:]
    if not path.is_file():
        raise DataNotRecoverable(
            f"{called}: {md5} is not in the DVC cache ({path}); fetch it from a remote with "
            "`dvc fetch --all-commits`, or run `dvc commit` while the data folder still holds it"
        )
    if not rehash:
        return path
    with path.open("rb") as opened:
        found = hashlib.file_digest(opened, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != md5.removesuffix(".dir"):
        raise DataNotRecoverable(
            f"{called}: the cache file {path} is damaged: its bytes hash to {found}; delete it, then "
            "`dvc fetch` it from a remote or `dvc commit` the data folder again"
        )
    return path
