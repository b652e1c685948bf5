"""The files of a registered version are those that were registered, or an error."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from visionpipe.errors import VisionpipeError

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

WEIGHTS, MODEL = "weights.safetensors", "model.json"
WEIGHTS_TAG, MODEL_TAG = "visionpipe.weights_sha256", "visionpipe.model_sha256"


def require_registered(candidate_folder: Path, tags: Mapping[str, str]) -> None:
    """Refuse weights or settings that are not those of which a version's tags hold the SHA-256.

    Raises
    ------
    VisionpipeError
        When they are others, or missing.
    """
    for tag, names in ((WEIGHTS_TAG, (WEIGHTS,)), (MODEL_TAG, (WEIGHTS, MODEL))):
        registered = tags.get(tag)  # early versions have no such tags
        if registered is not None and file_sha256(candidate_folder, *names) != registered:
            raise VisionpipeError(
                f"{' and '.join(names)} are missing, or not those that were registered (tag {tag})"
            )


def verify_files(version: ModelVersion) -> None:
    """Read weights and settings of a version from the artifact store, and hash them again.

    Raises
    ------
    MlflowException, OSError
        When files are missing.
    VisionpipeError
        When MLflow's description of them is damaged, or they are not those that were registered.
    """
    from mlflow.artifacts import download_artifacts
    from mlflow.models import Model
    from yaml import YAMLError

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(download_artifacts(f"models:/{version.name}/{version.version}", dst_path=scratch))
        try:
            papers = Model.load(str(folder)).flavors["python_function"]["artifacts"]
            candidate = folder / papers["candidate"]["path"]
        except (YAMLError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise VisionpipeError("MLmodel is damaged") from error
        require_registered(candidate, version.tags)


def file_sha256(folder: Path | None, *names: str) -> str | None:
    """Return a SHA-256 over these files, as of the file itself where it is one; None where one is missing."""
    if folder is None or not all((folder / name).is_file() for name in names):
        return None
    digests = [hashlib.sha256((folder / name).read_bytes()) for name in names]
    if len(digests) == 1:
        return digests[0].hexdigest()
    return hashlib.sha256(b"".join(digest.digest() for digest in digests)).hexdigest()
