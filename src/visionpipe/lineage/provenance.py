"""Which code and settings made a model: commit, lock file, resolved parameters."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import visionpipe
from visionpipe.installed_source import source_sha256

logger = logging.getLogger(__name__)
NO_CHECKOUT = "unknown (not a git checkout)"
_TRACKED = ("ls-files", "--error-unmatch", "pyproject.toml")
_NOT_TRACKED = 1
"""git's status where it knows the folder, and not the file."""
# In a git hook these point at the repository of the hook, whatever folder git is asked about.
_GIT_HOOK_VARIABLES = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX"}


def collect_provenance(
    project: Path, resolved_parameters: dict[str, Any], *, run_options: str = "", local_settings: str = ""
) -> dict[str, str]:
    """Return what is needed to run the same code with the same settings again.

    No environment variable and no URL is recorded, for they may hold passwords; of the parameters only a hash, and
    those that the command line and conf/local gave.

    Parameters
    ----------
    project
        The project folder.
    resolved_parameters
        All parameters of the run after environments and `--params` were merged, as plain values; DVC sees neither.
    run_options
        How the run was started, as `visionpipe.lineage.run_options` writes it.
    local_settings
        What conf/local said, as the same module writes it.

    Returns
    -------
    dict
        `git_commit` (40 digits, or why it is unknown), `git_dirty` (`true`, `false`, `unknown`: tracked files only,
        without dvc.lock, which every run rewrites), `parameters_sha256`, `lock_sha256` (of requirements.lock),
        `source_sha256` (of the installed visionpipe), `visionpipe_version`, `python_version`, `run_options` and
        `local_settings` (if any); and of `ingestion.privacy` what is said there: `privacy_purpose`,
        `privacy_lawful_basis`, `privacy_retention`, `privacy_informed`.
    """
    commit, dirty = _git_state(project)
    lock = project / "requirements.lock"
    return {
        "git_commit": commit,
        "git_dirty": dirty,
        "parameters_sha256": parameters_sha256(resolved_parameters),
        "lock_sha256": (
            hashlib.sha256(lock.read_bytes()).hexdigest()
            if lock.is_file()
            else "unknown (no requirements.lock)"
        ),
        "source_sha256": source_sha256(),
        "visionpipe_version": visionpipe.__version__,
        "python_version": platform.python_version(),
        **({"run_options": run_options} if run_options else {}),
        **({"local_settings": local_settings} if local_settings else {}),
        **{
            f"privacy_{key}": value
            for key, value in ((resolved_parameters.get("ingestion") or {}).get("privacy") or {}).items()
            if isinstance(value, str)
        },
    }


def parameters_sha256(parameters: dict[str, Any]) -> str:
    """Return the SHA-256 of the parameters as canonical JSON (UTF-8, keys sorted, no spaces).

    Examples
    --------
    >>> parameters_sha256({"a": 1, "b": [2.0]}) == parameters_sha256({"b": [2.0], "a": 1})
    True
    """
    plain = json.loads(
        json.dumps(parameters, default=str)
    )  # YAML keys may be numbers, which don't sort with text
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def is_git_checkout(project: Path) -> bool:
    """Tell whether git tracks the project; a zip unpacked inside someone else's checkout does not count."""
    return _git(project, *_TRACKED)[0] == 0


def _git_state(project: Path) -> tuple[str, str]:
    status, said = _git(project, *_TRACKED)
    if status == _NOT_TRACKED or not any((folder / ".git").exists() for folder in _upwards(project)):
        return NO_CHECKOUT, "unknown"
    if status != 0:  # as where another account owns the files
        logger.warning("The commit of the code can't be recorded: %s", said)
        # without the path, which is nobody's business
        return f"unknown ({said.partition(' at ')[0]})", "unknown"
    status, commit = _git(project, "rev-parse", "--verify", "HEAD")
    if status != 0:
        return "unknown (nothing is committed yet)", "unknown"
    # dvc.lock is the run's own record of the data, written before the model is registered
    status, changed = _git(
        project, "status", "--porcelain", "--untracked-files=no", "--", ".", ":(exclude)dvc.lock"
    )
    return commit, str(bool(changed)).lower() if status == 0 else "unknown"


def _upwards(project: Path) -> list[Path]:
    return [project.resolve(), *project.resolve().parents]


def _git(project: Path, *arguments: str) -> tuple[int | None, str]:
    """Return git's exit status and what it prints, or its first line of complaint; None where there is no git."""
    environment = {key: value for key, value in os.environ.items() if key not in _GIT_HOOK_VARIABLES}
    command = ["git", "--no-optional-locks", "-C", str(project), *arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env=environment | {"LC_ALL": "C"}
        )
    except OSError:
        return None, "git is not installed"
    if done.returncode == 0:
        return 0, done.stdout.strip()
    return done.returncode, (done.stderr.strip().splitlines() or ["git refuses"])[0].removeprefix("fatal: ")
