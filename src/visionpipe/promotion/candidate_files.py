"""A candidate's files from its judgement to its registration: what is registered is what was judged."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visionpipe.errors import FULL, VisionpipeError, first_line
from visionpipe.reports.standing import same_model
from visionpipe.scratch import scratch_folder

if TYPE_CHECKING:
    from visionpipe.models.candidate import Candidate


@contextmanager
def snapshot(folder: Path | None) -> Iterator[Path | None]:
    """Give a copy of the candidate's folder, which no training that goes on meanwhile can change.

    Raises
    ------
    VisionpipeError
        When the folder cannot be read.
    OSError
        When there is no room for the copy.
    """
    if folder is None:
        yield None
        return
    with scratch_folder() as scratch:
        copy = scratch / "candidate"
        copy.mkdir()
        try:
            for path in sorted(folder.iterdir()):  # copytree tells of a full disk in words alone
                shutil.copy2(path, copy)
        except OSError as error:
            if error.errno in FULL:
                raise
            raise VisionpipeError(
                f"{folder}: the candidate cannot be read: {first_line(error)}; train it again"
            ) from error
        yield copy


def require_judged(folder: Path, candidate: Candidate) -> None:
    """Refuse files that are not those of the candidate that is judged.

    Raises
    ------
    VisionpipeError
        When weights, settings, the list of images it learned from or what it was made from differ.
    """
    from visionpipe.models.candidate import load_candidate
    from visionpipe.models.classifier import weights_sha256

    found = load_candidate(folder)
    same = (
        weights_sha256(found.classifier) == weights_sha256(candidate.classifier)
        and found.classifier.spec == candidate.classifier.spec
        and found.seen.equals(candidate.seen)
        and found.origin == candidate.origin
    )
    if not same:
        raise VisionpipeError(
            "the candidate's files have changed since it was read, as by another training: run the promotion again"
        )


def require_papers_of(candidate: Candidate, papers: Mapping[str, Mapping[str, Any] | None]) -> None:
    """Refuse an evaluation or examination of another model.

    Parameters
    ----------
    papers : mapping
        What it is called -> the paper, whose `model` is what `describe_model` said; None: there is none.

    Raises
    ------
    VisionpipeError
        When a paper is of another model, such as one with these weights and another calibration, or names none.
    """
    from visionpipe.models.candidate import describe_model

    own = describe_model(candidate)
    for name, paper in papers.items():
        if paper is not None and not same_model(own, paper.get("model") or {}):
            raise VisionpipeError(f"the {name} is not of this candidate: run the evaluation pipeline again")
