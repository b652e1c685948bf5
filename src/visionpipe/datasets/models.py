"""Models on disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from kedro.io import AbstractDataset
from kedro.io.core import DatasetError

from visionpipe.atomic import new_folder
from visionpipe.datasets.tables import require_there

if TYPE_CHECKING:
    from visionpipe.models.candidate import Candidate


class CandidateFolder(AbstractDataset["Candidate", "Candidate"]):
    """A trained model with its papers (`visionpipe.models.candidate`).

    Parameters
    ----------
    path : str
        The folder.
    """

    def __init__(self, *, path: str, metadata: dict | None = None) -> None:
        self._path = Path(path)
        self.metadata = metadata

    @property
    def path(self) -> Path:
        """The folder."""
        return self._path

    def load(self) -> Candidate:
        """Read the model; nothing is unpickled.

        Raises
        ------
        VisionpipeError
            When there is none yet, or it cannot be read.
        """
        require_there(self._path)
        from visionpipe.models.candidate import load_candidate

        return load_candidate(self._path)

    def save(self, data: Candidate) -> None:
        """Write the model in place of the one there."""
        from visionpipe.models.candidate import save_candidate

        with new_folder(self._path) as temporary:
            save_candidate(data, temporary)

    def _exists(self) -> bool:
        return self._path.exists()

    def _describe(self) -> dict[str, Any]:
        return {"path": str(self._path)}


class CheckpointFolder(AbstractDataset[None, Path]):
    """Where an unfinished training is kept (`visionpipe.models.training.checkpoint`).

    Parameters
    ----------
    path : str
        The folder; training makes it.
    """

    def __init__(self, *, path: str, metadata: dict | None = None) -> None:
        self._path = Path(path)
        self.metadata = metadata

    def load(self) -> Path:
        """Return the folder."""
        return self._path

    def save(self, data: None) -> NoReturn:
        """Refuse: training writes checkpoints while it runs."""
        raise DatasetError("checkpoints are written by training itself")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"path": str(self._path)}
