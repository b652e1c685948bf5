"""Put into DVC's cache, and where DVC would do so into dvc.lock, what a run wrote."""

from __future__ import annotations

import logging
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from visionpipe.errors import VisionpipeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dvc.output import Output
    from dvc.repo import Repo


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
        require_stages(project, [stage])
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


def require_stages(project: Path, wanted: Sequence[str]) -> None:
    """Refuse a dvc.yaml that lacks a stage; inside a running DVC stage it is DVC's own affair.

    Raises
    ------
    VisionpipeError
        Names the first of `wanted` that is not in dvc.yaml.
    """
    if os.environ.get("DVC_STAGE"):
        return
    try:
        stages = yaml.safe_load((project / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise VisionpipeError(f"{project}/dvc.yaml has no stages: run `visionpipe dvc-stages`") from error
    for stage in wanted:
        if stage not in stages:
            raise VisionpipeError(
                f"stage {stage} is not in {project}/dvc.yaml, which has {', '.join(stages)}: "
                "run `visionpipe dvc-stages`"
            )


def cached_hashes(project: Path, outs: dict[str, str]) -> dict[str, str]:
    """Put outputs of dvc.yaml as they are now into the DVC cache and return their hashes; dvc.lock stays as it was.

    Inside a running DVC stage they are in the cache already, and dvc.lock has their hashes.

    Parameters
    ----------
    project
        The folder that holds dvc.yaml.
    outs
        What each is called -> path of the DVC output, relative to `project`.

    Raises
    ------
    VisionpipeError
        A path is no output of dvc.yaml or is absent, DVC is at work elsewhere, or, inside a DVC stage, a path has no
        hash in dvc.lock or changed since it was recorded.
    """
    from dvc.repo import lock_repo

    with open_repo(project, doing="the data can't be put into the DVC cache") as repo:
        if os.environ.get("DVC_STAGE"):
            return {name: _recorded_md5(repo, path) for name, path in outs.items()}
        with lock_repo(repo):
            return {name: _cached_md5(repo, path) for name, path in outs.items()}


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


def _cached_md5(repo: Repo, path: str) -> str:
    out = _output(repo, path)
    out.save()
    out.commit(relink=False)  # relinking could turn it into read-only links to the cache
    return str(out.hash_info.value)


def _recorded_md5(repo: Repo, path: str) -> str:
    """Return the hash that dvc.lock has for an output, which must still be the one in the workspace."""
    out = _output(repo, path)
    if not out.hash_info:
        raise VisionpipeError(f"{path} has no hash in dvc.lock: run `kedro run` or `dvc repro` first")
    if out.workspace_status():
        raise VisionpipeError(
            f"{path} is not what dvc.lock says ({out.hash_info.value}): it was changed or removed after it "
            "was recorded; run `kedro run` or `dvc repro` again"
        )
    return str(out.hash_info.value)


def _output(repo: Repo, path: str) -> Output:
    from dvc.repo.index import Index

    wanted = Path(repo.root_dir, path).resolve()
    index = Index.from_file(repo, str(Path(repo.root_dir) / "dvc.yaml"))
    found = [out for out in index.outs if Path(out.fs_path).resolve() == wanted]
    if not found:
        raise VisionpipeError(f"{path} is no output of dvc.yaml: run `visionpipe dvc-stages`")
    return found[0]
