"""The source that is installed, for what must name it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import visionpipe


def source_sha256() -> str:
    """Hash every module of the installed visionpipe: an edited or untracked one shows even where no commit is known."""
    package = Path(visionpipe.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(f"{path.relative_to(package).as_posix()}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()
