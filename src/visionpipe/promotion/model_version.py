"""A version of the registered model as files: the candidate, its evaluation, its decision, its model card."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from visionpipe import __version__
from visionpipe.errors import VisionpipeError, first_line
from visionpipe.models.candidate import Candidate, load_candidate
from visionpipe.models.training.memory import is_out_of_memory
from visionpipe.promotion.version_files import (
    VersionNotFetchedError,
    find_version,
    folders_sha256,
    version_files,
)
from visionpipe.scratch import scratch_folder

if TYPE_CHECKING:
    from mlflow.models.model import ModelInfo

ACCEPTANCE = "ingestion.json"
"""Paper of a version: which photos its project accepts (`IngestionParameters.acceptance`)."""
_SERVED_MODEL = Path(__file__).with_name("served_model.py")


class UnreadableVersionError(VisionpipeError):
    """A version whose files are gone, damaged, or of another program."""


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


def read_version(model_name: str, version: str, *, called: str = "champion") -> Champion:
    """Download and read a version.

    Parameters
    ----------
    called : str
        What it is, for the words of the error.

    Raises
    ------
    UnreadableVersionError
        When its files are gone, damaged or not those that were registered, or this program cannot read them.
    VisionpipeError
        When they cannot be had at the moment: the store does not answer, a disk is full, memory runs out. That says
        nothing of the version.
    """
    name = f"{called} {model_name} v{version}"
    try:
        with version_files(find_version(model_name, version)) as folders:
            evaluation = json.loads((folders["evaluation"] / "evaluation.json").read_text())
            candidate = load_candidate(folders["candidate"])
    except VersionNotFetchedError as error:
        raise VersionNotFetchedError(f"{called} {error}") from error
    except Exception as error:  # no damage to its files may be more than a verdict
        if is_out_of_memory(error):
            raise VisionpipeError(f"{name}: memory ran out while it was read; try again") from error
        raise UnreadableVersionError(
            f"{name} cannot be read: {first_line(error)}; restore its files, or put another version in its place "
            "(visionpipe rollback)"
        ) from error
    return Champion(model_name, version, candidate, evaluation)


def log_version(candidate_folder: Path, papers: Mapping[str, str]) -> tuple[ModelInfo, str]:
    """Log a candidate as a pyfunc model from code, with its papers; it becomes no version yet.

    Parameters
    ----------
    candidate_folder : Path
        The candidate's files.
    papers : mapping
        File name -> text: `evaluation.json`, `decision.json`, the model card, which photos are accepted.

    Returns
    -------
    tuple
        What MLflow says of it, and the digest of all its files (`version_files.folders_sha256`).
    """
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types.schema import Array, ColSpec, DataType, Schema

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
    with scratch_folder() as scratch:
        folder = scratch / "evaluation"
        folder.mkdir()
        for name, text in papers.items():
            (folder / name).write_text(text)
        with warnings.catch_warnings():
            # with an example MLflow would load and run the model here; the tests serve it instead
            warnings.filterwarnings("ignore", message="(?s).*input example.*")
            model = mlflow.pyfunc.log_model(
                name="model",
                python_model=str(_SERVED_MODEL),
                artifacts={"candidate": str(candidate_folder), "evaluation": str(folder)},
                signature=signature,
                # stated, not guessed: guessing imports the model and takes 20 s
                pip_requirements=[f"visionpipe=={__version__}"],
            )
        return model, folders_sha256({"candidate": candidate_folder, "evaluation": folder})
