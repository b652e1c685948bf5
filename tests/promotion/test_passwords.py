"""A tracking server's password is told to nobody, whoever asks the server when it goes away."""

from __future__ import annotations

from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from mlflow_store import clean_environment
from moody_server import moody_server
from visionpipe.errors import VisionpipeError
from visionpipe.lineage.trace import trace
from visionpipe.promotion import record
from visionpipe.promotion.aliases import holder, turn
from visionpipe.promotion.tracking import TrackingParameters


def promote(server):
    with turn("cells"):
        record.events(MlflowClient(), "cells")


@pytest.mark.parametrize(
    "ask",
    [
        promote,
        lambda server: holder(MlflowClient(), "cells", "champion"),
        lambda server: trace(
            "models:/cells@champion", Path(), tracking=TrackingParameters(tracking_uri=server.uri)
        ),
    ],
    ids=["turn", "holder", "trace"],
)
def test_the_error_names_the_server_without_it(ask, monkeypatch):
    clean_environment(monkeypatch)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with moody_server() as server:
        mlflow.set_tracking_uri(server.uri)
        mlflow.set_registry_uri(server.uri)
        server.gone = {"registered-models"}
        with pytest.raises(VisionpipeError, match=r"http://\*\*\*@127\.0\.0\.1:\d+/api") as told:
            ask(server)
    assert "hunter2" not in str(told.value)
    assert "\n" not in str(told.value)
