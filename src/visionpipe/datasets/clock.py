"""The clock."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NoReturn

from kedro.io import AbstractDataset
from kedro.io.core import DatasetError


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
