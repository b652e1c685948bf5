"""`--env` adds a layer; it does not take conf/local away."""

from __future__ import annotations

from pathlib import Path

import pytest

from visionpipe.configuration import LayeredConfigLoader


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    for name, text in {
        "base/catalog.yml": "photos: {type: demo}\nmanifest: {type: table, filepath: m}\n",
        "base/parameters.yml": "training: {epochs: 8, device: auto}\n",
        "local/catalog.yml": "photos: {type: mine}\n",
        "local/parameters.yml": "training: {epochs: 20}\n",
        "gpu/parameters.yml": "training: {device: cuda}\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def load(conf: Path, env: str | None, key: str) -> dict:
    options = {"base_env": "base", "default_run_env": "local", "merge_strategy": {"parameters": "soft"}}
    return LayeredConfigLoader(str(conf), env=env, **options)[key]


def test_an_environment_keeps_the_photos_of_conf_local(conf):
    assert load(conf, "gpu", "catalog")["photos"] == {"type": "mine"}
    assert load(conf, "gpu", "catalog")["manifest"] == {"type": "table", "filepath": "m"}


def test_an_environment_changes_single_parameters_over_conf_local(conf):
    assert load(conf, "gpu", "parameters")["training"] == {"epochs": 20, "device": "cuda"}


def test_without_an_environment_nothing_is_different(conf):
    assert load(conf, None, "parameters")["training"] == {"epochs": 20, "device": "auto"}
    assert load(conf, "base", "catalog")["photos"] == {"type": "demo"}
