"""The prediction log, and the clock that a log needs."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from kedro.io import AbstractDataset
from kedro.io.core import DatasetError

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


class Clock(AbstractDataset[None, datetime]):
    """The time now, UTC: nodes are handed the time, they never look at a clock."""

    def __init__(self, *, metadata: dict | None = None) -> None:
        self.metadata = metadata

    def load(self) -> datetime:
        """Return the time now, to the second."""
        return datetime.now(UTC).replace(microsecond=0)

    def save(self, data: None) -> NoReturn:
        """Refuse."""
        raise DatasetError("the clock is read only")

    def _describe(self) -> dict[str, Any]:
        return {}
