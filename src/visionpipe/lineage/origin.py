"""What a candidate was made from: measured when its training starts, asked for when it is judged.

Between the two people relabel photos, commit and change settings; a version must name none of that.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from visionpipe.errors import VisionpipeError
from visionpipe.lineage.data_version import read_data_version
from visionpipe.lineage.dvc_recording import cached_hashes
from visionpipe.lineage.provenance import collect_provenance

if TYPE_CHECKING:
    from collections.abc import Mapping

    from visionpipe.lineage.data_version import DataVersion

_OUTS = ("store", "labels", "manifest")
_AGAIN = "train again (kedro run --pipelines training,evaluation)"


class Origin(TypedDict):
    """What is kept with a candidate; the same training from the same state gives the same."""

    data: dict[str, str]
    """`store_md5`, `labels_md5`, `manifest_md5`: DVC's hashes."""
    provenance: dict[str, str]
    """As `visionpipe.lineage.provenance.collect_provenance` gives it."""


def measure_origin(
    project: Path,
    outs: Mapping[str, str],
    *,
    admitted: Path,
    parameters: Mapping[str, Any],
    run_options: str = "",
    local_settings: str = "",
) -> Origin:
    """Return what a training that starts now is made from; its data are in the DVC cache afterwards.

    Parameters
    ----------
    project
        The project folder.
    outs
        `store`, `labels` and `manifest` -> path of the DVC output, relative to `project`.
    admitted
        The manifest that training reads, which validation let through.
    parameters
        All parameters of the run.
    run_options, local_settings
        How the run was started, and what conf/local said then.

    Raises
    ------
    VisionpipeError
        The admitted manifest isn't the one that ingestion made last, or the data can't be put into the cache.
    """
    if set(outs) != set(_OUTS):
        raise ValueError(f"outs must name {', '.join(_OUTS)}; got {', '.join(sorted(outs))}")
    md5s = cached_hashes(project, dict(outs))
    if _md5(admitted) != md5s["manifest"]:
        raise VisionpipeError(
            f"{admitted} is not {outs['manifest']}, which ingestion made: let validation admit it first "
            "(kedro run --pipelines validation)"
        )
    return {
        "data": {f"{name}_md5": md5s[name] for name in _OUTS},
        "provenance": collect_provenance(
            project, dict(parameters), run_options=run_options, local_settings=local_settings
        ),
    }


def data_version_of(origin: Origin | None, *, project: Path, manifest: Path) -> DataVersion:
    """Return the data that a candidate was trained on, every byte of which was found in the DVC cache.

    Parameters
    ----------
    origin
        What the candidate carries; None where it carries nothing.
    project
        The project folder.
    manifest
        The manifest at hand, on whose test images the candidate is judged.

    Raises
    ------
    DataNotRecoverable
        Data that it was trained on can't be had back.
    VisionpipeError
        It was trained on another manifest than the one at hand, or says nothing of what it was trained on.
    """
    if origin is None:
        raise VisionpipeError(f"the candidate does not say what it was trained on: {_AGAIN}")
    if _md5(manifest) != origin["data"]["manifest_md5"]:
        raise VisionpipeError(f"the candidate was trained on another manifest than {manifest}: {_AGAIN}")
    return read_data_version(project, origin["data"])


def _md5(path: Path) -> str | None:
    """Return the hash that DVC gives a file; None where there is none."""
    if not path.is_file():
        return None
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
