"""The prediction log."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.io import AbstractDataset

if TYPE_CHECKING:
    import pandas as pd

    from visionpipe.monitoring.prediction_log import LogReader


class PredictionLog(AbstractDataset["pd.DataFrame", "LogReader"]):
    """Production predictions, one folder a day.

    Parameters
    ----------
    path : str
        The folder that holds `date=YYYY-MM-DD/`.
    """

    def __init__(self, *, path: str, metadata: dict | None = None) -> None:
        self._path = Path(path)
        self.metadata = metadata

    def load(self) -> LogReader:
        """Return a function that, given a model's classes and version, reads the log and says what it refused."""
        from functools import partial

        from visionpipe.monitoring.prediction_log import read_predictions

        return partial(read_predictions, self._path, now=datetime.now(UTC))

    def save(self, data: pd.DataFrame) -> None:
        """Add predictions, if there are any; the same ones twice are written once."""
        from visionpipe.monitoring.prediction_log import write_predictions

        if len(data):
            write_predictions(self._path, data)

    def _exists(self) -> bool:
        return self._path.exists()

    def _describe(self) -> dict[str, Any]:
        return {"path": str(self._path)}
