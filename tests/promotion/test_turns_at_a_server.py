"""With a server as registry, this user's promotions take turns, and no other user can take part."""

from __future__ import annotations

import os
import pwd
import tempfile
from pathlib import Path
from types import SimpleNamespace

import mlflow
import pytest

from mlflow_store import clean_environment
from visionpipe.errors import VisionpipeError
from visionpipe.promotion import aliases


@pytest.fixture
def server(tmp_path, monkeypatch) -> Path:
    """Name a server, which taking turns does not ask, and a home."""
    clean_environment(monkeypatch)
    account = SimpleNamespace(pw_dir=str(tmp_path / "home"))
    monkeypatch.setattr(pwd, "getpwuid", {os.geteuid(): account}.__getitem__)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    before = mlflow.get_registry_uri()
    mlflow.set_registry_uri("http://127.0.0.1:9")
    yield tmp_path
    mlflow.set_registry_uri(before)


def lock_of(folder: Path) -> Path:
    """Take a turn, and return its lock once it is seen that only this user can reach it."""
    umask = os.umask(0)
    try:
        with aliases.turn("cells"):
            [lock] = folder.glob("*.lock")
            assert (folder.stat().st_uid, folder.stat().st_mode & 0o777) == (os.geteuid(), 0o700)
            assert lock.stat().st_mode & 0o077 == 0
    finally:
        os.umask(umask)
    return lock


def test_the_lock_lies_in_a_folder_of_the_user_s_own(server, monkeypatch):
    assert lock_of(server / "home/.cache/visionpipe")
    (server / "home/.cache/visionpipe").chmod(0o777)
    assert lock_of(server / "home/.cache/visionpipe")


def test_cron_and_a_desktop_meet_at_one_lock(server, monkeypatch):
    monkeypatch.setenv("HOME", str(server / "elsewhere"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(server / "cache"))
    assert lock_of(server / "home/.cache/visionpipe")


def test_an_account_that_is_not_listed_locks_in_the_temporary_folder(server, monkeypatch):
    monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)
    assert lock_of(server / f"tmp/visionpipe-{os.geteuid()}")


def test_turns_are_taken(server, monkeypatch):
    monkeypatch.setattr(aliases, "_LOCK_TIMEOUT_S", 0.1)
    with (
        aliases.turn("cells"),
        aliases.turn("other cells"),
        pytest.raises(VisionpipeError, match="another promotion has not ended"),
        aliases.turn("cells"),
    ):
        pass


def test_an_account_without_a_home_locks_in_the_temporary_folder(server):
    (server / "home").touch()  # no folder, and none can be made below it
    assert lock_of(server / f"tmp/visionpipe-{os.geteuid()}")


def test_a_folder_that_another_user_has_put_there_is_not_taken(server):
    (server / "home").touch()
    (server / "theirs").mkdir(mode=0o777)
    (server / f"tmp/visionpipe-{os.geteuid()}").symlink_to(server / "theirs")
    with (
        pytest.raises(VisionpipeError, match="give it a home that it can write"),
        aliases.turn("cells"),
    ):
        pass
    assert not list((server / "theirs").iterdir())
