"""A sound prediction log to start from; each test then says what it changes."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from visionpipe.monitoring.prediction_log import PredictionLog, read_predictions

CLASSES = ["cat", "dog", "owl"]
NOW = datetime(2026, 5, 3, 12, tzinfo=UTC)


def _predictions(n: int, *, seed: int = 0, days: int = 3) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    probabilities_NK = random.dirichlet(np.ones(3), n)
    ago = pd.to_timedelta(random.integers(0, days * 86_400, n), unit="s")
    return pd.DataFrame(
        {
            "prediction_id": [f"{seed}-{i:08x}" for i in range(n)],
            "requested_at": pd.Series(pd.Timestamp(NOW) - ago).dt.as_unit("us"),
            "model_version": "7",
            "image_id": [f"{seed:08x}{i:056x}" for i in range(n)],
            "predicted_label": np.array(CLASSES)[probabilities_NK.argmax(axis=1)],
            "confidence": probabilities_NK.max(axis=1),
            "probabilities": list(probabilities_NK),
            "deferred": random.random(n) < 0.2,
            "review_probability": random.random(n),
            "embedding": list(random.normal(size=(n, 32)).astype(np.float32)),
            "brightness": random.normal(100, 10, n),
            "contrast": random.normal(20, 3, n),
            "sharpness": random.normal(5, 1, n),
            "latency_ms": random.normal(12, 2, n),
            "camera": random.choice(["north", "south"], n),
        }
    )


def _json_lines(rows: pd.DataFrame) -> list[str]:
    lines = []
    for row in rows.to_dict("records"):
        row |= {"requested_at": row["requested_at"].isoformat()}
        row |= {name: row[name].tolist() for name in ("probabilities", "embedding")}
        lines.append(json.dumps(row))
    return lines


@pytest.fixture(scope="session")
def now():
    """The present, as far as the log is concerned: noon UTC."""
    return NOW


@pytest.fixture(scope="session")
def predictions():
    """`predictions(n, seed=0, days=3)`: sound rows from the days before `now`, with the attribute `camera`."""
    return _predictions


@pytest.fixture(scope="session")
def json_lines():
    """`json_lines(rows)`: one line of JSON a row, as a web service would log it."""
    return _json_lines


@pytest.fixture(scope="session")
def read():
    """`read(folder, model_version=None)`: the log of a model of three classes, read at `now`."""

    def read_at_now(folder: Path, model_version: str | None = None) -> PredictionLog:
        return read_predictions(folder, classes=CLASSES, now=NOW, model_version=model_version)

    return read_at_now


@pytest.fixture(scope="session")
def classes():
    """The model's classes."""
    return CLASSES
