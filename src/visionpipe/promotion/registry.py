"""The model registry in MLflow: who is champion, and how a candidate takes over.

MLflow cannot compare-and-swap an alias, so promoters take turns: lock, read the champion, judge, register,
read the champion again, set the alias last. A crash leaves the old champion or the new one.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from visionpipe import __version__
from visionpipe.errors import VisionpipeError, first_line
from visionpipe.models.candidate import Candidate, load_candidate

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

    from visionpipe.promotion.decision import Decision

logger = logging.getLogger(__name__)
CHAMPION, CHALLENGER = "champion", "challenger"
_SERVED_MODEL = Path(__file__).with_name("served_model.py")
_LOCK_TIMEOUT_S = 600
_MAX_ROUNDS = 5


@dataclass(frozen=True)
class Champion:
    """The model in production.

    Attributes
    ----------
    name, version : str
        Registered model and its version.
    candidate : Candidate
        The model and its papers.
    evaluation : dict
        Its evaluation on its own test images, as it was when it was registered.
    """

    name: str
    version: str
    candidate: Candidate
    evaluation: dict


@dataclass(frozen=True)
class Promotion:
    """How a promotion ended.

    Attributes
    ----------
    decision : Decision
        The gate's verdict.
    version, alias : str or None
        What was registered; None when nothing was.
    """

    decision: Decision
    version: str | None = None
    alias: str | None = None


class Registry:
    """One registered model in the MLflow store that is connected.

    Parameters
    ----------
    model_name : str
        Name of the registered model.
    candidate_folder : Path or None
        The candidate's files; needed only to register it.
    """

    def __init__(self, model_name: str, candidate_folder: Path | None = None) -> None:
        from mlflow import MlflowClient

        self.model_name = model_name
        self._candidate_folder = candidate_folder
        self._client: MlflowClient = MlflowClient()

    def champion(self) -> Champion | None:
        """Download and read the champion; None when there is none.

        Raises
        ------
        VisionpipeError
            When there is one and it cannot be read.
        """
        version = self._aliased(CHAMPION)
        if version is None:
            return None
        from mlflow.artifacts import download_artifacts
        from mlflow.exceptions import MlflowException
        from mlflow.models import Model

        uri = f"models:/{self.model_name}/{version.version}"
        try:
            # a copy even of a local store: MLflow would write into the store, and leave downloads behind
            with tempfile.TemporaryDirectory() as scratch:
                folder = Path(download_artifacts(uri, dst_path=scratch))
                # where each lies is named after the folder that it was registered from
                papers = Model.load(str(folder)).flavors["python_function"]["artifacts"]
                evaluation_file = folder / papers["evaluation"]["path"] / "evaluation.json"
                evaluation = json.loads(evaluation_file.read_text())
                candidate = load_candidate(folder / papers["candidate"]["path"])
        except (MlflowException, OSError, ValueError, KeyError, VisionpipeError) as error:
            raise VisionpipeError(
                f"champion {self.model_name} v{version.version} cannot be read: {first_line(error)}; restore "
                "its files, or give the alias to another version"
            ) from error
        return Champion(self.model_name, str(version.version), candidate, evaluation)

    def promote(
        self,
        judge: Callable[[Champion | None], Decision],
        *,
        mode: str,
        evaluation: dict,
        tags: Mapping[str, str],
    ) -> Promotion:
        """Judge the candidate against the champion of this moment and register it if it wins.

        Parameters
        ----------
        judge : callable
            The gate, given the champion or None.
        mode : {"promote", "propose", "off"}
            `promote` makes a winner champion, `propose` makes it challenger, `off` registers nothing.
        evaluation : dict
            The candidate's evaluation, kept with the version.
        tags : mapping
            Provenance, written to the version.

        Returns
        -------
        Promotion

        Raises
        ------
        VisionpipeError
            When the champion cannot be read, another promoter does not end, or MLflow refuses.
        """
        from filelock import Timeout
        from mlflow.exceptions import MlflowException

        try:
            with self._lock():
                return self._promote(judge, mode, evaluation, tags)
        except Timeout as error:
            raise VisionpipeError(
                f"{self.model_name}: another promotion has not ended in {_LOCK_TIMEOUT_S} s; try again later"
            ) from error
        except MlflowException as error:
            raise VisionpipeError(f"{self.model_name}: MLflow refuses: {first_line(error)}") from error

    def _promote(
        self,
        judge: Callable[[Champion | None], Decision],
        mode: str,
        evaluation: dict,
        tags: Mapping[str, str],
    ) -> Promotion:
        for _ in range(_MAX_ROUNDS):
            champion = self.champion()
            decision = judge(champion)
            if decision.outcome != "promote" or mode == "off":
                return Promotion(decision)
            version = self._register(decision, evaluation, tags)
            now = self._aliased(CHAMPION)
            if (str(now.version) if now else None) == (champion.version if champion else None):
                alias = CHAMPION if mode == "promote" else CHALLENGER
                self._client.set_registered_model_alias(self.model_name, alias, version)
                return Promotion(decision, version, alias)
            logger.warning("Another promoter changed the champion meanwhile: judging again")
            self._client.delete_model_version(self.model_name, version)
        raise VisionpipeError(f"{self.model_name}: the champion kept changing; nothing was promoted")

    def _register(self, decision: Decision, evaluation: dict, tags: Mapping[str, str]) -> str:
        """Log the candidate as a pyfunc model from code and make it a version, without an alias yet."""
        import mlflow
        from mlflow.exceptions import MlflowException
        from mlflow.models import ModelSignature
        from mlflow.types.schema import Array, ColSpec, DataType, Schema

        assert self._candidate_folder is not None, "a registry without a candidate only reads"
        signature = ModelSignature(
            inputs=Schema([ColSpec(DataType.binary, "image")]),
            outputs=Schema(
                [
                    ColSpec(DataType.string, "predicted_label"),
                    ColSpec(DataType.double, "confidence"),
                    ColSpec(DataType.boolean, "deferred"),
                    ColSpec(Array(DataType.double), "probabilities"),
                ]
            ),
        )
        with tempfile.TemporaryDirectory() as scratch:
            paper = Path(scratch) / "evaluation"
            paper.mkdir()
            (paper / "evaluation.json").write_text(json.dumps(evaluation, allow_nan=False))
            (paper / "decision.json").write_text(json.dumps(decision.as_dict(), allow_nan=False))
            with warnings.catch_warnings():
                # with an example MLflow would load and run the model here; the tests serve it instead
                warnings.filterwarnings("ignore", message="(?s).*input example.*")
                model = mlflow.pyfunc.log_model(
                    name="model",
                    python_model=str(_SERVED_MODEL),
                    artifacts={"candidate": str(self._candidate_folder), "evaluation": str(paper)},
                    signature=signature,
                    # stated, not guessed: guessing imports the model and takes 20 s
                    pip_requirements=[f"visionpipe=={__version__}"],
                )
        try:
            self._client.create_registered_model(self.model_name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        version = self._client.create_model_version(
            self.model_name,
            source=model.model_uri,
            run_id=model.run_id,
            model_id=model.model_id,
            tags={
                f"visionpipe.{key}": value for key, value in {**tags, "decision": decision.outcome}.items()
            },
        )
        return str(version.version)

    def _aliased(self, alias: str) -> ModelVersion | None:
        from mlflow.exceptions import MlflowException

        try:
            return self._client.get_model_version_by_alias(self.model_name, alias)
        except MlflowException as error:
            if error.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
                return None
            raise VisionpipeError(f"registry: {first_line(error)}") from error

    def _lock(self) -> AbstractContextManager:
        """Take turns: with everyone who shares a sqlite file, else with this user's promoters on this machine."""
        import mlflow
        from filelock import FileLock

        uri = mlflow.get_registry_uri()
        key = hashlib.sha256(f"{uri}\n{self.model_name}".encode()).hexdigest()[:16]
        # a lock in the temporary folder would not be shared where that folder is private, nor between users
        if uri.startswith("sqlite:///"):
            path = Path(uri.removeprefix("sqlite:///") + f".{key}.lock")
        else:
            path = Path(tempfile.gettempdir()) / f"visionpipe-{os.getuid()}-{key}.lock"
        return FileLock(path, timeout=_LOCK_TIMEOUT_S)
