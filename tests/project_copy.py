"""A copy of the project in which commands are run as a user would run them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
COPIED = (
    *("conf", "src", "data/01_raw/reviews/.gitkeep", "dvc.yaml", "pyproject.toml", "requirements.lock"),
    *(".dvc/config", ".dvcignore", ".gitignore", ".telemetry"),
)
TINY = ",".join(
    [
        "training.image_size_px=64",
        "training.probe_epochs=5",
        "training.epochs=1",
        "validation.min_images_per_class=2",
    ]
)


@dataclass(frozen=True)
class Project:
    """A project folder in which commands are run as a user would run them."""

    path: Path

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        settings = self._settings(environment)
        return subprocess.run(
            command, cwd=self.path, env=settings, capture_output=True, text=True, timeout=900, check=False
        )

    def start(self, *command: str, **environment: str) -> subprocess.Popen[str]:
        settings, pipe = self._settings(environment), subprocess.PIPE
        return subprocess.Popen(command, cwd=self.path, env=settings, stdout=pipe, stderr=pipe, text=True)

    def _settings(self, environment: dict[str, str]) -> dict[str, str]:
        scripts = Path(sys.executable).parent
        return {
            **{key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "DVC_"))},
            "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
            "COLUMNS": "200",
            **environment,
        }

    def use_photos(self, folder: Path) -> None:
        """Do what the README says to do with your own photos."""
        (self.path / "conf/local").mkdir(parents=True, exist_ok=True)
        (self.path / "conf/local/catalog.yml").write_text(
            "photos:\n"
            "  type: visionpipe.datasets.photos.PhotoSources\n"
            f"  sources: {{mine: {{importer: folder, path: '{folder}'}}}}\n"
        )


def copy_project(target: Path, *, git: bool) -> Project:
    """Copy what a fresh clone holds, without data, and commit it where git is wanted."""
    for name in COPIED:
        source = ROOT / name
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            ignore = shutil.ignore_patterns("__pycache__", "local", "*.egg-info")
            shutil.copytree(source, target / name, ignore=ignore, dirs_exist_ok=True)
        else:
            shutil.copy(source, target / name)
    (target / "conf/local").mkdir()
    (target / "conf/local/.gitkeep").touch()
    project = Project(target)
    if git:
        author = ["-c", "user.name=test", "-c", "user.email=test@example.invalid"]
        for command in (["init", "-q"], ["add", "-A"], [*author, "commit", "-qm", "as cloned"]):
            done = project.run("git", *command)
            assert done.returncode == 0, done.stderr
    return project
