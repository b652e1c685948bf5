import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

OUTS = {
    "store": "data/01_raw/images",
    "labels": "data/01_raw/labels",
    "manifest": "data/02_intermediate/manifest.parquet",
}
DVC_YAML = """\
stages:
  ingestion:
    cmd: cp -r made/. data
    deps:
    - made
    params:
    - params.yml:
      - ingestion
    outs:
    - data/01_raw/images:
        persist: true
    - data/01_raw/labels:
        persist: true
    - data/02_intermediate/manifest.parquet
    metrics:
    - data/08_reporting/counts.json:
        cache: false
"""


def run(*command, cwd, **environment):
    """Run a command quietly and return its output."""
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def git(project, *arguments):
    identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "init.defaultBranch=main")
    return run("git", *identity, *arguments, cwd=project).strip()


@dataclass(frozen=True)
class DataProject:
    """A project with one ingestion stage whose outputs are there."""

    path: Path
    outs = OUTS

    def write_outputs(self):
        shutil.copytree(self.path / "made", self.path / "data", dirs_exist_ok=True)

    def version(self):
        """Return the version of the data as they lie there, which the DVC cache holds from now on."""
        from visionpipe.lineage.data_version import read_data_version
        from visionpipe.lineage.dvc_recording import cached_hashes

        md5s = cached_hashes(self.path, self.outs)
        return read_data_version(self.path, {f"{name}_md5": md5 for name, md5 in md5s.items()})

    def status(self):
        from dvc.repo import Repo

        from visionpipe.lineage.provenance import is_git_checkout

        with Repo(str(self.path), config={"core": {"no_scm": not is_git_checkout(self.path)}}) as repo:
            return repo.status()

    def cached(self, md5):
        return self.path / ".dvc/cache/files/md5" / md5[:2] / md5[2:]


@pytest.fixture(name="git")
def git_fixture():
    return git


@pytest.fixture(autouse=True)
def _private_dvc(tmp_path_factory, monkeypatch):
    """Keep the user's own DVC configuration and state out of the tests, and the tests out of it."""
    folder = tmp_path_factory.mktemp("dvc")
    for name in ("SITE_CACHE", "GLOBAL_CONFIG", "SYSTEM_CONFIG"):
        monkeypatch.setenv(f"DVC_{name}_DIR", str(folder / name))
    monkeypatch.delenv("DVC_STAGE", raising=False)


def make_data_project(path: Path, *, with_git: bool) -> DataProject:
    path.mkdir(parents=True)
    (path / ".dvc").mkdir()
    (path / ".dvc/config").write_text("[core]\n    analytics = false\n")
    (path / ".dvc/.gitignore").write_text("/config.local\n/tmp\n/cache\n")
    (path / "pyproject.toml").write_text("[project]\nname = 'plant'\n")
    (path / "requirements.lock").write_text("numpy==2.0\n")
    (path / "dvc.yaml").write_text(DVC_YAML)
    (path / "params.yml").write_text("ingestion:\n  min_side_px: 32\n  arrived_at: '2026-01-05'\n")
    made = path / "made"
    for folder in ("01_raw/images", "01_raw/labels", "02_intermediate", "08_reporting"):
        (made / folder).mkdir(parents=True)
    for shard in range(3):
        (made / f"01_raw/images/images-{shard:05d}.parquet").write_bytes(bytes([shard]) * 50_000)
    images = [f"{i:064x}" for i in range(10)]
    imported = pd.DataFrame({"image_id": images, "label": "a", "origin": "import"})
    reviewed = pd.DataFrame(
        {"image_id": images[:3], "label": "b", "origin": ["review", "review", "correction"]}
    )
    imported.to_parquet(made / "01_raw/labels/labels-00000.parquet")
    reviewed.to_parquet(made / "01_raw/labels/labels-00001.parquet")
    splits = ["train"] * 6 + ["validation"] * 1 + ["test"] * 3
    pd.DataFrame({"image_id": images, "split": splits}).to_parquet(made / "02_intermediate/manifest.parquet")
    (made / "08_reporting/counts.json").write_text('{"n_images": 10}')
    if with_git:
        git(path, "init", "-q")
        git(path, "add", ".")
        git(path, "commit", "-q", "-m", "first")
    project = DataProject(path)
    project.write_outputs()
    return project


@pytest.fixture(params=["in a git checkout", "without git"])
def project(request, tmp_path):
    return make_data_project(tmp_path / "my project", with_git=request.param == "in a git checkout")


@pytest.fixture
def plain_project(tmp_path):
    return make_data_project(tmp_path / "project", with_git=False)
