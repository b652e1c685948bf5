"""What a training starts from, measured when it starts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from kedro.io import AbstractDataset
from kedro.io.core import DatasetError

if TYPE_CHECKING:
    from visionpipe.lineage.origin import Origin


class TrainingOrigin(AbstractDataset[None, "Origin"]):
    """The data, code and settings of this run, which a candidate carries from now on.

    Parameters
    ----------
    project : dict
        `{path: .}`: the project's folder.
    outs : dict
        `store`, `labels` and `manifest` -> path of the DVC output, relative to the project.
    admitted : dict
        `{path: ...}`: the manifest that training reads.
    """

    def __init__(
        self, *, project: dict, outs: dict[str, str], admitted: dict, metadata: dict | None = None
    ) -> None:
        self._project = Path(project["path"])
        self._outs = outs
        self._admitted = Path(admitted["path"])
        self.metadata = metadata
        self.parameters: Mapping[str, Any] = {}
        """All parameters of this run, which a hook knows."""
        self.run_options = ""
        """How this run was started, which a hook knows: `visionpipe.lineage.run_options`."""
        self.local_settings = ""
        """What conf/local says, from the same."""

    def load(self) -> Origin:
        """Put the data into the DVC cache (unless DVC itself runs this stage) and measure."""
        from visionpipe.lineage.origin import measure_origin

        return measure_origin(
            self._project,
            self._outs,
            admitted=self._admitted,
            parameters=self.parameters,
            run_options=self.run_options,
            local_settings=self.local_settings,
        )

    def save(self, data: None) -> NoReturn:
        """Refuse: an origin is measured, not set."""
        raise DatasetError("what a training starts from is read only")

    def _describe(self) -> dict[str, Any]:
        return {"outs": self._outs, "admitted": str(self._admitted)}
