"""The comparisons on record: what the gate has seen of the test images before.

The images themselves are named in a file of the MLflow run that compared; the event holds its hash.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from visionpipe import __version__
from visionpipe.errors import VisionpipeError, last_line
from visionpipe.images.manifest import attribute_columns
from visionpipe.models.candidate import ORIGIN
from visionpipe.promotion.version_files import add_files
from visionpipe.promotion.wear import Comparison
from visionpipe.scratch import scratch_folder

if TYPE_CHECKING:
    import pandas as pd

    from visionpipe.promotion.parameters import PromotionParameters
    from visionpipe.promotion.record import Event

logger = logging.getLogger(__name__)
_NOT_THE_VERDICT = {"mode", "card"}
"""Parameters that change nothing in it. A measured speed is left out as well: it tells nothing of test images."""
_FOLDER = "comparison"
_UNNAMED = f"{_FOLDER}/test_images.json"
"""Where early runs list their test images, whichever these are."""


def images_file(digest: str | None) -> str:
    """Return where a run lists test images with this hash (`digest_of`): it may compare on others, too."""
    return f"{_FOLDER}/test_images-{digest}.json"


def digest_of(image_ids: Iterable[str]) -> str:
    """Return the SHA-256 of a set of image ids."""
    return hashlib.sha256("\n".join(sorted(set(image_ids))).encode()).hexdigest()


def identity_of(
    candidate_folder: Path | None,
    champion_version: str | None,
    basis_sha256: str | None,
) -> str | None:
    """Return a hash of all that a comparison rests on: the same again is no second look at the test images.

    As after a crash, when a pipeline is run twice, or when what was proposed is promoted: the verdict is the same, so
    nothing new is learned from the images. None where the basis (`basis_of`), or the candidate, is not known: every
    comparison is a new one then.
    """
    if candidate_folder is None or basis_sha256 is None:
        return None
    whole = hashlib.sha256(f"{__version__}\n{champion_version}\n{basis_sha256}".encode())
    # the same model, trained again at another commit, is the same candidate
    add_files(whole, candidate_folder, but={ORIGIN})
    return whole.hexdigest()


def basis_of(test: pd.DataFrame, parameters: PromotionParameters) -> str:
    """Return a hash of what a verdict rests on besides the two models.

    Parameters
    ----------
    test : DataFrame
        The test images: `image_id, label, group_id` and the attributes, in any order.
    parameters : PromotionParameters
        All but those that change nothing in the verdict count.
    """
    columns = ["image_id", "label", "group_id", *sorted(attribute_columns(test))]
    rows = sorted(json.dumps(row, default=str) for row in test[columns].to_numpy(object).tolist())
    whole = {
        "columns": columns,
        "rows": rows,
        "parameters": parameters.model_dump(mode="json", exclude=_NOT_THE_VERDICT),
    }
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()


def comparisons_of(
    record: Sequence[Event], *, known: Collection[str] = (), but: str | None = None
) -> list[Comparison]:
    """Return the distinct comparisons of a record, oldest first.

    Parameters
    ----------
    record : list of Event
        The whole record.
    known : collection of str
        Image ids that need not be downloaded: the present test set, which most comparisons share.
    but : str or None
        Identity of the comparison that is being made now: if it was made before, that one is left out.

    Raises
    ------
    VisionpipeError
        When the test images of one cannot be had at the moment, which is no reason to count it for every image.
    """
    images: dict[str | None, frozenset[str] | None] = {digest_of(known): frozenset(known)} if known else {}
    events = [
        event
        for event in record
        if event.kind == "comparison" and (but is None or event.payload.get("identity") != but)
    ]
    for event in events:
        digest = event.payload.get("images_sha256")
        if images.get(digest) is None:  # another run may still have the list that one has lost
            images[digest] = _download(str(event.payload.get("run_id")), digest)
    found: dict[str, Comparison] = {}
    for event in events:
        identity, spent = event.payload.get("identity"), event.payload.get("spent")
        digest = event.payload.get("images_sha256")
        first = found.get(identity or event.key)
        if first is None:
            first = Comparison(
                at=event.at,
                champion_version=event.payload.get("champion_version"),
                image_ids=None,
                outcome=event.payload.get("outcome", "unknown"),
            )
        # judged again it may have spent more, as when earlier comparisons are forgotten
        most = max((each for each in (first.spent, spent) if each is not None), default=None)
        found[identity or event.key] = replace(first, image_ids=images[digest], spent=most)
    return list(found.values())


def _download(run_id: str, digest: str | None) -> frozenset[str] | None:
    """Return the test images of a comparison; None where they are gone, or are not those that it was made on."""
    content = _content(run_id, digest)
    image_ids = None if content is None else _listed(content)
    if image_ids is not None and digest_of(image_ids) == digest:
        return image_ids
    logger.warning(
        "The test images of an earlier comparison (run %s) can't be read (%s): it counts for every image",
        run_id,
        "their list is gone" if content is None else "their list was changed",
    )
    return None


def _listed(content: bytes) -> frozenset[str] | None:
    try:
        return frozenset(map(str, json.loads(content)["image_ids"]))
    except (ValueError, KeyError, TypeError):
        return None


def _content(run_id: str, digest: str | None) -> bytes | None:
    """Return the file that lists the test images; None where run or file is gone."""
    from mlflow import MlflowClient
    from mlflow.artifacts import download_artifacts
    from mlflow.tracking.artifact_utils import get_artifact_uri

    client, deleted = MlflowClient(), False
    try:
        deleted = client.get_run(run_id).info.lifecycle_stage == "deleted"
        # asked of the run (runs:/), MLflow calls everything gone that it cannot download
        there = {file.path for file in client.list_artifacts(run_id, _FOLDER)}
        file = next((name for name in (images_file(digest), _UNNAMED) if name in there), None)
        if file is None:
            return None
        with scratch_folder() as scratch:
            fetched = download_artifacts(get_artifact_uri(run_id, file), dst_path=str(scratch))
            return Path(fetched).read_bytes()
    except Exception as error:  # each kind of store has errors of its own
        if deleted or getattr(error, "error_code", None) == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise VisionpipeError(
            f"the test images of an earlier comparison (MLflow run {run_id}) cannot be fetched: {last_line(error)}; "
            "try again, and if it stays so delete that run in MLflow: then its comparison counts for every image"
        ) from error
