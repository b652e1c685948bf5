"""The comparisons on record: what the gate has seen of the test images before.

The images themselves are named in a file of the MLflow run that compared; the event holds its hash.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visionpipe import __version__
from visionpipe.images.manifest import attribute_columns
from visionpipe.models.candidate import ORIGIN
from visionpipe.promotion.version_files import add_files
from visionpipe.promotion.wear import Comparison

if TYPE_CHECKING:
    import pandas as pd

    from visionpipe.promotion.parameters import PromotionParameters
    from visionpipe.promotion.record import Event

logger = logging.getLogger(__name__)
_NOT_THE_VERDICT = {"mode", "card"}
"""Parameters that change nothing in it. A measured speed is left out as well: it tells nothing of test images."""
TEST_IMAGES = "comparison/test_images.json"


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
    """
    images: dict[str, frozenset[str] | None] = {digest_of(known): frozenset(known)} if known else {}
    found, made = [], {but} - {None}
    for event in record:
        if event.kind != "comparison" or event.payload.get("identity") in made:
            continue
        made |= {event.payload.get("identity")} - {None}
        digest = event.payload.get("images_sha256")
        if images.get(digest) is None:  # another run may still have the list that one has lost
            images[digest] = _download(event.payload, digest)
        found.append(
            Comparison(
                at=event.at,
                champion_version=event.payload.get("champion_version"),
                image_ids=images[digest],
                outcome=event.payload.get("outcome", "unknown"),
                spent=event.payload.get("spent"),
            )
        )
    return found


def _download(payload: dict[str, Any], digest: str | None) -> frozenset[str] | None:
    from mlflow.artifacts import load_dict
    from mlflow.exceptions import MlflowException

    try:
        image_ids = frozenset(load_dict(f"runs:/{payload['run_id']}/{TEST_IMAGES}")["image_ids"])
        if digest_of(image_ids) == digest:
            return image_ids
        reason = "it was changed"
    except (MlflowException, OSError, ValueError, KeyError, TypeError) as error:
        reason = type(error).__name__
    logger.warning(
        "The test images of an earlier comparison (run %s) can't be read (%s): it counts for every image",
        payload.get("run_id"),
        reason,
    )
    return None
