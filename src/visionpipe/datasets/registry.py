"""The model registry, and what is known about where a model comes from."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from kedro.io import AbstractDataset
from kedro.io.core import DatasetError

if TYPE_CHECKING:
    from visionpipe.lineage.data_version import DataVersion
    from visionpipe.lineage.origin import Origin
    from visionpipe.promotion.registry import Champion, Registry


class ModelRegistry(AbstractDataset[None, "Registry"]):
    """The MLflow registry, as a handle through which a candidate is judged and promoted.

    Parameters
    ----------
    model_name : str
        Name of the registered model.
    candidate : str
        Folder of the candidate that would be registered.
    """

    def __init__(self, *, model_name: str, candidate: dict, metadata: dict | None = None) -> None:
        self._model_name = model_name
        self._candidate_path = Path(candidate["path"])
        self.metadata = metadata

    def load(self) -> Registry:
        """Connect.

        Raises
        ------
        VisionpipeError
            When the tracking server does not answer.
        """
        from visionpipe.promotion.registry import Registry

        return Registry(self._model_name, self._candidate_path)

    def save(self, data: None) -> NoReturn:
        """Refuse: only the gate writes to the registry."""
        raise DatasetError("a model is registered by the promotion pipeline, through the gate")

    def _describe(self) -> dict[str, Any]:
        return {"model_name": self._model_name}


class ChampionModel(AbstractDataset[None, "Champion"]):
    """The model in production: the registry's `champion`.

    Parameters
    ----------
    model_name : str
        Name of the registered model.
    """

    def __init__(self, *, model_name: str, metadata: dict | None = None) -> None:
        self._model_name = model_name
        self.metadata = metadata

    def load(self) -> Champion:
        """Download and read the champion.

        Raises
        ------
        VisionpipeError
            When there is none yet, or it cannot be read.
        """
        from visionpipe.errors import VisionpipeError
        from visionpipe.promotion.registry import Registry

        champion = Registry(self._model_name).champion()
        if champion is None:
            raise VisionpipeError(
                f"{self._model_name}: there is no champion yet; `kedro run` registers one when the gate lets it in "
                "(data/08_reporting/decision.html says why not)"
            )
        return champion

    def save(self, data: None) -> NoReturn:
        """Refuse: the champion changes through the gate alone."""
        raise DatasetError("the champion is set by the promotion pipeline, through the gate")

    def _describe(self) -> dict[str, Any]:
        return {"model_name": self._model_name}


class DvcDataVersion(AbstractDataset[None, "Callable[[Origin | None], DataVersion]"]):
    """What a candidate was trained on, as a function that makes sure that it is what lies here, and recoverable.

    Parameters
    ----------
    project : dict
        `{path: .}`: the project's folder.
    manifest : dict
        `{path: ...}`: the manifest that a candidate must have been trained on to be judged.
    """

    def __init__(self, *, project: dict, manifest: dict, metadata: dict | None = None) -> None:
        self._project = Path(project["path"])
        self._manifest = Path(manifest["path"])
        self.metadata = metadata

    def load(self) -> Callable[[Origin | None], DataVersion]:
        """Return the function, `visionpipe.lineage.origin.data_version_of` for this project."""
        from functools import partial

        from visionpipe.lineage.origin import data_version_of

        return partial(data_version_of, project=self._project, manifest=self._manifest)

    def save(self, data: None) -> NoReturn:
        """Refuse: a hash is measured, not set."""
        raise DatasetError("a data version is read only")

    def _describe(self) -> dict[str, Any]:
        return {"manifest": str(self._manifest)}


class RunEnvironment(AbstractDataset[None, "dict[str, Any]"]):
    """When and on what this run runs."""

    def __init__(self, *, metadata: dict | None = None) -> None:
        self.metadata = metadata

    def load(self) -> dict[str, Any]:
        """Return `day` (UTC, `YYYY-MM-DD`), and `system` and `versions` as `describe_environment` finds them."""
        from visionpipe.lineage.environment import describe_environment

        return {"day": datetime.now(UTC).date().isoformat(), **describe_environment()}

    def save(self, data: None) -> NoReturn:
        """Refuse: an environment is looked at, not set."""
        raise DatasetError("the environment is read only")

    def _describe(self) -> dict[str, Any]:
        return {}
