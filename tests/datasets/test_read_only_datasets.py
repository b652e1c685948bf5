"""What is measured or guarded cannot be overwritten through the catalog."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime

import pytest
from kedro.io.core import DatasetError

from visionpipe.datasets.clock import Clock
from visionpipe.datasets.origin import TrainingOrigin
from visionpipe.datasets.registry import (
    ChampionModel,
    DvcDataVersion,
    ModelRegistry,
    RunEnvironment,
)
from visionpipe.datasets.tables import JsonDocuments


@pytest.mark.parametrize(
    "dataset",
    [
        Clock(),
        ModelRegistry(model_name="m", candidate={"path": "candidate"}),
        ChampionModel(model_name="m"),
        DvcDataVersion(project={"path": "."}, manifest={"path": "manifest.parquet"}),
        TrainingOrigin(project={"path": "."}, outs={}, admitted={"path": "manifest.parquet"}),
        RunEnvironment(),
        JsonDocuments(path=".", names=["decision"]),
    ],
    ids=lambda dataset: type(dataset).__name__,
)
def test_it_refuses_to_be_saved(dataset):
    with pytest.raises(DatasetError):
        dataset.save(object())


def test_the_clock_is_utc_to_the_second():
    before = datetime.now(UTC).replace(microsecond=0)
    now = Clock().load()
    assert before <= now <= datetime.now(UTC)
    assert (now.tzinfo, now.microsecond) == (UTC, 0)


def test_a_registry_without_a_champion_says_what_to_run(tmp_path):
    script = """
from pathlib import Path
from visionpipe.datasets.registry import ChampionModel
from visionpipe.promotion.tracking import TrackingParameters, connect
connect(Path.cwd(), TrackingParameters())
try:
    ChampionModel(model_name="nobody").load()
except Exception as error:
    print(f"{type(error.__cause__).__name__}: {error.__cause__}")
"""
    done = subprocess.run(  # a process of its own: MLflow keeps what it is connected to for the whole process
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "VisionpipeError: nobody: there is no champion yet" in done.stdout
