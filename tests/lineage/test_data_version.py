import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from visionpipe.errors import VisionpipeError
from visionpipe.lineage.data_version import DataNotRecoverable, read_data_version, verified_files
from visionpipe.lineage.dvc_recording import cached_hashes, commit_stage, open_repo

DVC = str(Path(sys.executable).with_name("dvc"))


def md5_of(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


def flip_a_bit(path):
    """Damage a file the way a failing disk does: size, mode and modification time stay."""
    status = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)
    path.chmod(status.st_mode)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_after_a_commit_dvc_status_is_clean(project):
    assert project.status() != {}
    commit_stage(project.path, "ingestion")
    assert project.status() == {}


def test_a_commit_writes_the_lock_that_dvc_repro_writes(project):
    commit_stage(project.path, "ingestion")
    committed = (project.path / "dvc.lock").read_bytes()
    cached = {path.relative_to(project.path): path.read_bytes() for path in cache_files(project)}

    (project.path / "dvc.lock").unlink()
    shutil.rmtree(project.path / ".dvc/cache")
    shutil.rmtree(project.path / "data")
    (project.path / "data/01_raw").mkdir(parents=True)
    if not (project.path / ".git").exists():
        with (project.path / ".dvc/config").open("a") as config:
            config.write("    no_scm = true\n")
    subprocess.run([DVC, "repro", "-q"], cwd=project.path, check=True)
    assert (project.path / "dvc.lock").read_bytes() == committed
    assert {path.relative_to(project.path): path.read_bytes() for path in cache_files(project)} == cached


def cache_files(project):
    return [path for path in (project.path / ".dvc/cache/files").rglob("*") if path.is_file()]


def test_a_second_commit_changes_nothing(plain_project):
    commit_stage(plain_project.path, "ingestion")
    before = (plain_project.path / "dvc.lock").read_bytes()
    commit_stage(plain_project.path, "ingestion")
    assert (plain_project.path / "dvc.lock").read_bytes() == before


def test_a_new_shard_is_committed_beside_the_old_ones(plain_project):
    commit_stage(plain_project.path, "ingestion")
    old = plain_project.version()
    (plain_project.path / "data/01_raw/images/images-00003.parquet").write_bytes(b"new quarter")
    commit_stage(plain_project.path, "ingestion")
    new = plain_project.version()
    assert plain_project.status() == {}
    assert new.store_md5 != old.store_md5
    assert new.labels_md5 == old.labels_md5
    cache = plain_project.path / ".dvc/cache/files/md5"
    assert len(verified_files(cache, old.store_md5, called="the old store")) == 3  # both can be had back


def test_the_run_cache_stays_empty(plain_project):
    commit_stage(plain_project.path, "ingestion")
    assert not (plain_project.path / ".dvc/cache/runs").exists()


def test_the_outputs_stay_ordinary_files(plain_project):
    (plain_project.path / ".dvc/config").write_text("[cache]\n    type = hardlink,symlink\n")
    commit_stage(plain_project.path, "ingestion")
    manifest = plain_project.path / plain_project.outs["manifest"]
    assert manifest.stat().st_nlink == 1 and not manifest.is_symlink()
    assert manifest.stat().st_mode & 0o200
    assert plain_project.status() == {}


def test_inside_a_dvc_stage_nothing_is_committed(plain_project, monkeypatch):
    monkeypatch.setenv("DVC_STAGE", "ingestion")
    commit_stage(plain_project.path, "ingestion")
    assert not (plain_project.path / "dvc.lock").exists()


def test_nothing_is_printed_even_on_a_terminal(plain_project, monkeypatch, capfd):
    monkeypatch.setenv("DVC_IGNORE_ISATTY", "1")
    (plain_project.path / "data/01_raw/images/images-00000.parquet").write_bytes(b"")
    commit_stage(plain_project.path, "ingestion")
    plain_project.version()
    assert capfd.readouterr() == ("", "")


def test_committing_without_git_leaves_no_gitignore(plain_project):
    commit_stage(plain_project.path, "ingestion")
    assert list((plain_project.path / "data").rglob(".gitignore")) == []


def test_an_absent_output_is_named(plain_project):
    (plain_project.path / plain_project.outs["manifest"]).unlink()
    with pytest.raises(
        VisionpipeError, match=r"stage ingestion can't be recorded: .*manifest\.parquet.*exist"
    ):
        commit_stage(plain_project.path, "ingestion")
    assert not (plain_project.path / "dvc.lock").exists()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: (path / "params.yml").unlink(), "params"),
        (lambda path: (path / "params.yml").write_text("ingestion: {arrived_at: 2026-01-05}"), "quotes"),
        (lambda path: shutil.rmtree(path / "made"), "made"),
        (lambda path: (path / "dvc.yaml").unlink(), "dvc.yaml"),
        (lambda path: (path / "dvc.yaml").write_text("stages: ["), "dvc.yaml"),
        (lambda path: shutil.rmtree(path / ".dvc"), "run `dvc init`"),
    ],
)
def test_what_stops_a_commit_is_said_in_one_line(plain_project, spoil, message):
    spoil(plain_project.path)
    with pytest.raises(VisionpipeError, match=message) as raised:
        commit_stage(plain_project.path, "ingestion")
    assert "\n" not in str(raised.value)


def test_an_unknown_stage_is_named_with_those_there_are(plain_project):
    with pytest.raises(VisionpipeError, match=r"stage training is not in .*, which has ingestion"):
        commit_stage(plain_project.path, "training")


def test_another_dvc_at_work_is_said(plain_project):
    from dvc.repo import Repo

    with (
        Repo(str(plain_project.path), config={"core": {"no_scm": True}}) as repo,
        repo.lock,
        pytest.raises(VisionpipeError, match="another DVC command is at work"),
    ):
        commit_stage(plain_project.path, "ingestion")


def test_the_version_is_what_an_independent_hash_says(project):
    version = project.version()
    assert version.manifest_md5 == md5_of(project.path / project.outs["manifest"])
    folder = project.path / project.outs["store"]
    listing = [{"md5": md5_of(path), "relpath": path.name} for path in sorted(folder.iterdir())]
    assert version.store_md5 == hashlib.md5(json.dumps(listing, sort_keys=True).encode()).hexdigest() + ".dir"
    assert version.labels_md5.endswith(".dir")


def test_the_version_counts_images_and_labels_by_origin(project):
    version = project.version()
    assert version.n_images == 10
    assert version.labels_by_origin == {"correction": 1, "import": 10, "review": 2}
    assert json.loads(json.dumps(version.as_dict())) == version.as_dict()


def test_a_flipped_bit_in_the_cache_is_found_though_dvc_sees_nothing(plain_project):
    commit_stage(plain_project.path, "ingestion")
    shard = plain_project.path / "data/01_raw/images/images-00001.parquet"
    flip_a_bit(plain_project.cached(md5_of(shard)))
    assert plain_project.status() == {}
    with pytest.raises(DataNotRecoverable, match=r"image store/images-00001\.parquet: .* is damaged"):
        plain_project.version()


@pytest.mark.parametrize("name", ["store", "labels", "manifest"])
def test_a_flipped_bit_in_what_a_hash_names_itself_is_found(plain_project, name):
    version = plain_project.version()
    flip_a_bit(plain_project.cached(getattr(version, f"{name}_md5")))
    with pytest.raises(DataNotRecoverable, match="is damaged"):
        read_data_version(plain_project.path, version.tags())


@pytest.mark.parametrize(
    ("name", "called"), [("store", "image store"), ("labels", "label history"), ("manifest", "manifest")]
)
def test_a_hash_without_its_bytes_is_refused(plain_project, name, called):
    version = plain_project.version()
    plain_project.cached(getattr(version, f"{name}_md5")).unlink()
    with pytest.raises(DataNotRecoverable, match=f"{called}: .* is not in the DVC cache"):
        read_data_version(plain_project.path, version.tags())


def test_data_are_recoverable_though_dvc_lock_is_left_as_it_was(plain_project):
    """So that a run with other parameters can register a model, and DVC still knows its own data are out of date."""
    commit_stage(plain_project.path, "ingestion")
    before = (plain_project.path / "dvc.lock").read_bytes()
    (plain_project.path / "data/01_raw/images/images-00003.parquet").write_bytes(b"new quarter")
    version = plain_project.version()
    assert (plain_project.path / "dvc.lock").read_bytes() == before
    assert plain_project.status() != {}
    cache = plain_project.path / ".dvc/cache/files/md5"
    assert len(verified_files(cache, version.store_md5, called="image store")) == 4


def test_inside_a_dvc_stage_data_that_changed_after_they_were_recorded_are_refused(
    plain_project, monkeypatch
):
    commit_stage(plain_project.path, "ingestion")
    monkeypatch.setenv("DVC_STAGE", "training")
    (plain_project.path / "data/01_raw/labels/labels-00002.parquet").write_bytes(b"late")
    with pytest.raises(VisionpipeError, match=r"data/01_raw/labels is not what dvc\.lock says"):
        cached_hashes(plain_project.path, plain_project.outs)


def test_inside_a_dvc_stage_data_that_were_never_recorded_are_refused(plain_project, monkeypatch):
    monkeypatch.setenv("DVC_STAGE", "training")
    with pytest.raises(VisionpipeError, match=r"has no hash in dvc\.lock"):
        cached_hashes(plain_project.path, plain_project.outs)


def test_a_path_that_dvc_does_not_know_is_refused(plain_project):
    with pytest.raises(VisionpipeError, match=r"data/elsewhere is no output of dvc\.yaml"):
        cached_hashes(plain_project.path, {**plain_project.outs, "store": "data/elsewhere"})


@pytest.mark.parametrize("md5", ["../../../../etc/passwd", "", "d41d8", "D" * 32])
def test_a_hash_that_is_none_is_not_looked_up(tmp_path, md5):
    with pytest.raises(VisionpipeError, match="is no DVC hash"):
        verified_files(tmp_path, md5, called="manifest")


def test_loggers_are_left_as_they_were(plain_project):
    import logging

    before = [logging.getLogger(name).level for name in ("dvc", "dvc_data")]
    with open_repo(plain_project.path, doing="x"):
        pass
    assert [logging.getLogger(name).level for name in ("dvc", "dvc_data")] == before


def test_dvc_is_not_imported_before_it_is_used():
    code = (
        "import sys, visionpipe.lineage.data_version, visionpipe.lineage.trace, visionpipe.lineage.dvc_stages;"
        "print({'dvc', 'mlflow', 'kedro', 'pandas', 'pyarrow', 'rich'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
