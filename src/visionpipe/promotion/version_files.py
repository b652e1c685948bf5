"""The files of a registered version, from the artifact store: those that were registered, or an error."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from visionpipe.errors import VisionpipeError, last_line
from visionpipe.scratch import scratch_folder

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

WEIGHTS, MODEL = "weights.safetensors", "model.json"
WEIGHTS_TAG, MODEL_TAG = "visionpipe.weights_sha256", "visionpipe.model_sha256"
FILES_TAG = "visionpipe.files_sha256"


class VersionNotFetchedError(VisionpipeError):
    """A version whose files cannot be had at the moment, which says nothing of them."""


def find_version(model_name: str, version: str) -> ModelVersion:
    """Return what the registry says of a version.

    Raises
    ------
    MlflowException
        When it is not there.
    VersionNotFetchedError
        When the registry does not answer.
    """
    from mlflow import MlflowClient

    with _from_store(f"{model_name} v{version}"):
        return MlflowClient().get_model_version(model_name, version)


@contextmanager
def version_files(version: ModelVersion) -> Iterator[dict[str, Path]]:
    """Download a version for as long as the block runs; give the folders `candidate` and `evaluation`.

    Raises
    ------
    MlflowException
        When there are no files.
    VersionNotFetchedError
        When the store does not answer, or a disk is full.
    VisionpipeError
        When MLflow's description of them is damaged, or one of them is not as it was registered.
    """
    from mlflow.artifacts import download_artifacts
    from mlflow.models import Model
    from yaml import YAMLError

    # a copy even of a local store: MLflow would write into the store, and leave downloads behind
    with scratch_folder() as scratch:
        with _from_store(f"{version.name} v{version.version}"):
            uri = f"models:/{version.name}/{version.version}"
            folder = Path(download_artifacts(uri, dst_path=str(scratch)))
        try:  # where each lies is named after the folder that it was registered from
            papers = Model.load(str(folder)).flavors["python_function"]["artifacts"]
            folders = {name: folder / papers[name]["path"] for name in ("candidate", "evaluation")}
        except (YAMLError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise VisionpipeError(f"MLmodel of version {version.version} is damaged") from error
        for tag, names in ((WEIGHTS_TAG, (WEIGHTS,)), (MODEL_TAG, (WEIGHTS, MODEL))):
            registered = version.tags.get(tag)  # early versions have no such tags
            if registered is not None and file_sha256(folders["candidate"], *names) != registered:
                raise VisionpipeError(
                    f"{' and '.join(names)} of version {version.version} are missing, or not those that were "
                    f"registered (tag {tag})"
                )
        registered = version.tags.get(FILES_TAG)
        if registered is not None and folders_sha256(folders) != registered:
            raise VisionpipeError(
                f"the files of version {version.version}, such as what it learned from, its evaluation or decision, "
                f"are not those that were registered (tag {FILES_TAG})"
            )
        yield folders


@contextmanager
def _from_store(called: str) -> Iterator[None]:
    """Tell what is not there, which MLflow says, from what cannot be had at the moment."""
    try:
        yield
    except Exception as error:  # each kind of store has errors of its own
        if getattr(error, "error_code", None) == "RESOURCE_DOES_NOT_EXIST":
            raise
        raise VersionNotFetchedError(
            f"{called} cannot be fetched: {last_line(error)}; try again, and if it stays so put another version in "
            "its place (visionpipe rollback)"
        ) from error


def folders_sha256(folders: Mapping[str, Path]) -> str:
    """Return a SHA-256 over all files of some folders: the folders' names, and the files' names and bytes."""
    whole = hashlib.sha256()
    for name, folder in sorted(folders.items()):
        whole.update(f"{name}\n".encode())
        add_files(whole, folder)
    return whole.hexdigest()


def add_files(whole: hashlib._Hash, folder: Path, *, but: Collection[str] = ()) -> None:
    """Add a folder's files to a digest: where they lie in it, and their bytes, but for files of these names."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in but):
        whole.update(str(path.relative_to(folder)).encode())
        whole.update(hashlib.sha256(path.read_bytes()).digest())


def file_sha256(folder: Path | None, *names: str) -> str | None:
    """Return a SHA-256 over these files, as of the file itself where it is one; None where one is missing."""
    if folder is None or not all((folder / name).is_file() for name in names):
        return None
    digests = [hashlib.sha256((folder / name).read_bytes()) for name in names]
    if len(digests) == 1:
        return digests[0].hexdigest()
    return hashlib.sha256(b"".join(digest.digest() for digest in digests)).hexdigest()
