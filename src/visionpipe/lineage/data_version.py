"""The version of the data, as DVC names it: record it after a run, and prove that its bytes can be had back.

DVC trusts any cache file whose mode is 0444, so a flipped bit passes `dvc status` and `dvc checkout`.
Nothing here trusts it: what is named has been read and hashed.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visionpipe.errors import VisionpipeError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dvc.repo import Repo

DATA_OUTS = ("store", "labels", "manifest")
HASH_TAGS = ("store_md5", "labels_md5", "manifest_md5")
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


def commit_stage(project: Path, stage: str) -> None:
    """Record in dvc.lock and the DVC cache what `kedro run` just wrote, as `dvc repro` would have.

    Nothing is done inside a running DVC stage (DVC does it itself afterwards). The run cache is left alone:
    `kedro run --params` may have used values that DVC can't see, and `dvc repro` must not reuse its outputs.

    Parameters
    ----------
    project
        The folder that holds dvc.yaml.
    stage
        Name of a stage in it.

    Raises
    ------
    VisionpipeError
        The stage is not in dvc.yaml, one of its outputs or dependencies is absent, or DVC is at work elsewhere.
    """
    if os.environ.get("DVC_STAGE"):
        return
    from dvc.dvcfile import load_file
    from dvc.repo import lock_repo

    with open_repo(project, doing=f"stage {stage} can't be recorded") as repo, lock_repo(repo):
        stages = load_file(repo, str(Path(repo.root_dir) / "dvc.yaml")).stages
        if stage not in stages:
            raise VisionpipeError(
                f"stage {stage} is not in {project}/dvc.yaml, which has {', '.join(stages)}: "
                "run `visionpipe dvc-stages`"
            )
        loaded = stages[stage]
        try:
            loaded.save(run_cache=False)
        except TypeError as error:  # DVC hashes parameters as JSON
            raise VisionpipeError(
                f"stage {stage} can't be recorded: DVC can't hash one of its parameters ({error}); "
                "put quotes around a date"
            ) from error
        loaded.commit(relink=False)  # relinking could turn the outputs into read-only links to the cache
        loaded.dvcfile.dump_stages([loaded], update_pipeline=False)


def read_data_version(project: Path, outs: dict[str, str]) -> DataVersion:
    """Return the recorded version of the data, once every byte of it was found in the DVC cache and re-hashed.

    Parameters
    ----------
    project
        The folder that holds dvc.yaml.
    outs
        `store`, `labels` and `manifest` -> path of the DVC output, relative to `project`.

    Raises
    ------
    DataNotRecoverable
        A cache file is missing or its bytes don't have the hash.
    VisionpipeError
        A path is no output of dvc.yaml, has no hash in dvc.lock, or changed since it was recorded.
    """
    if set(outs) != set(DATA_OUTS):
        raise ValueError(f"outs must name {', '.join(DATA_OUTS)}; got {', '.join(sorted(outs))}")
    with open_repo(project, doing="the data version can't be read") as repo:
        cache = Path(repo.cache.local.path)
        md5s = {name: _recorded_md5(repo, path) for name, path in outs.items()}
    files = {name: verified_files(cache, md5, called=outs[name]) for name, md5 in md5s.items()}
    return DataVersion(
        store_md5=md5s["store"],
        labels_md5=md5s["labels"],
        manifest_md5=md5s["manifest"],
        n_images=sum(count_by(files["manifest"], None).values()),
        labels_by_origin=count_by(files["labels"], "origin"),
    )


def verified_files(cache: Path, md5: str, *, called: str, rehash_members: bool = True) -> dict[str, Path]:
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
        return dict(zip(members, paths, strict=True))


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


@contextmanager
def open_repo(project: Path, *, doing: str) -> Iterator[Repo]:
    """Open the DVC repository at `project`, silently, whether git is there or not.

    DVC's own errors become one line that starts with `doing`.
    """
    from dvc.exceptions import DvcException, NotDvcRepoError
    from dvc.lock import LockError
    from dvc.repo import Repo

    from visionpipe.lineage.provenance import is_git_checkout

    config = {} if is_git_checkout(project) else {"core": {"no_scm": True}}
    # DVC draws progress bars on a terminal unless its loggers are quiet
    loggers = [logging.getLogger(name) for name in ("dvc", "dvc_data", "dvc_objects")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        with Repo(str(project), config=config) as repo:
            yield repo
    except NotDvcRepoError as error:
        raise VisionpipeError(f"{doing}: {project} is no DVC repository; run `dvc init` there") from error
    except LockError as error:
        raise VisionpipeError(f"{doing}: another DVC command is at work in {project}; wait for it") from error
    except DvcException as error:
        raise VisionpipeError(f"{doing}: {' '.join(str(error).split())}") from error
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _recorded_md5(repo: Repo, path: str) -> str:
    """Return the hash that dvc.lock has for an output, which must still be the one in the workspace."""
    from dvc.repo.index import Index

    wanted = Path(repo.root_dir, path).resolve()
    index = Index.from_file(repo, str(Path(repo.root_dir) / "dvc.yaml"))
    found = [out for out in index.outs if Path(out.fs_path).resolve() == wanted]
    if not found:
        raise VisionpipeError(f"{path} is no output of dvc.yaml: run `visionpipe dvc-stages`")
    (out,) = found
    if not out.hash_info:
        raise VisionpipeError(f"{path} has no hash in dvc.lock: run `kedro run` or `dvc repro` first")
    if out.workspace_status():
        raise VisionpipeError(
            f"{path} is not what dvc.lock says ({out.hash_info.value}): it was changed or removed after it "
            "was recorded; run `kedro run` or `dvc repro` again"
        )
    return str(out.hash_info.value)


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
