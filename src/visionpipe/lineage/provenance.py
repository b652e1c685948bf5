"""Which code and settings made a model: commit, lock file, resolved parameters."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import visionpipe

NO_CHECKOUT = "unknown (not a git checkout)"
# In a git hook these point at the repository of the hook, whatever folder git is asked about.
_GIT_HOOK_VARIABLES = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX"}


def collect_provenance(
    project: Path, resolved_parameters: dict[str, Any], *, run_options: str = ""
) -> dict[str, str]:
    """Return what is needed to run the same code with the same settings again.

    No environment variable and no URL is recorded, for they may hold passwords; of the parameters only a hash, and
    those that the command line gave.

    Parameters
    ----------
    project
        The project folder.
    resolved_parameters
        All parameters of the run after environments and `--params` were merged; DVC sees neither.
    run_options
        How the run was started, as `visionpipe.lineage.run_options` writes it.

    Returns
    -------
    dict
        `git_commit` (40 digits, or why it is unknown), `git_dirty` (`true`, `false`, `unknown`: tracked files
        only, without dvc.lock, which every run rewrites), `parameters_sha256`, `lock_sha256` (of
        requirements.lock), `source_sha256` (of the installed visionpipe), `visionpipe_version`,
        `python_version`, `run_options` (if any); and of `ingestion.privacy` what is said there: `privacy_purpose`,
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
        "source_sha256": _source_sha256(Path(visionpipe.__file__).parent),
        "visionpipe_version": visionpipe.__version__,
        "python_version": platform.python_version(),
        **({"run_options": run_options} if run_options else {}),
        **{
            f"privacy_{key}": value
            for key, value in dict(getattr(resolved_parameters.get("ingestion"), "privacy", {})).items()
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
    return _git(project, "ls-files", "--error-unmatch", "pyproject.toml") is not None


def _git_state(project: Path) -> tuple[str, str]:
    if not is_git_checkout(project):
        return NO_CHECKOUT, "unknown"
    commit = _git(project, "rev-parse", "--verify", "HEAD")
    if commit is None:
        return "unknown (nothing is committed yet)", "unknown"
    # dvc.lock is the run's own record of the data, written before the model is registered
    changed = _git(project, "status", "--porcelain", "--untracked-files=no", "--", ".", ":(exclude)dvc.lock")
    return commit, "unknown" if changed is None else str(bool(changed)).lower()


def _git(project: Path, *arguments: str) -> str | None:
    """Return what git prints, None when it is absent or refuses."""
    environment = {key: value for key, value in os.environ.items() if key not in _GIT_HOOK_VARIABLES}
    command = ["git", "--no-optional-locks", "-C", str(project), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _source_sha256(package: Path) -> str:
    """Hash every module, so that an edited or untracked file shows even where no commit is known."""
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(f"{path.relative_to(package).as_posix()}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()
