"""`visionpipe use`: look at photos, say what they are, and write them down as the ones to train on."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visionpipe.errors import VisionpipeError
from visionpipe.images.importers import Source, iterate_photos
from visionpipe.images.layout import Layout, guess_layout
from visionpipe.images.local_configuration import write_local_configuration
from visionpipe.images.survey import Survey, render, survey_photos

if TYPE_CHECKING:
    from rich.console import Console

_CLAIM_COLUMNS = {
    "annotator_column": (
        ("annotator", "annotated_by", "labeler", "labeller", "labeled_by", "labelled_by", "rater"),
        "who labelled",
        "makes each row a vote",
    ),
    "confidence_column": (("confidence", "certainty"), "how sure a label is", "trains on it (0 to 1)"),
}
"""Option of a table -> words in the names of its columns, what they may say, and what the option does."""


@dataclass(frozen=True)
class Found:
    """What was found, and what would be written."""

    layout: Layout
    survey: Survey
    group_by: str | None

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain types."""
        return {
            "layout": self.layout.description,
            "sources": self.layout.sources,
            "group_by": self.group_by,
            "notes": self.layout.notes,
            "undecided": self.layout.undecided,
            **self.survey.as_dict(),
        }

    def render(self, console: Console) -> None:
        """Print it."""
        render(self.survey, self.layout.description, self.layout.notes, console)

    def require_outside(self, made: Iterable[Path]) -> None:
        """Refuse photos in the folders that runs write to.

        Raises
        ------
        VisionpipeError
            Names the first of these folders.
        """
        for folder in sorted(made):
            for source in self.layout.sources.values():
                if Path(source["path"]).resolve().is_relative_to(folder.resolve()):
                    raise VisionpipeError(
                        f"{source['path']}: runs write to {folder}, and `make forget` empties it: "
                        "move your photos to another folder"
                    )

    def write(self, conf_local: Path, *, force: bool) -> list[Path]:
        """Write it into conf/local; return the files that changed.

        Raises
        ------
        VisionpipeError
            When something must be decided first, or conf/local names other photos and `force` is not set.
        """
        if self.layout.undecided is not None:
            raise VisionpipeError(self.layout.undecided)
        if not self.survey.classes:
            raise VisionpipeError("no photo has a label: nothing could be learned from them")
        return write_local_configuration(
            conf_local, self.layout.sources, self.group_by, attributes=self.survey.attributes, force=force
        )

    def closing_words(self, written: list[Path], *, dry_run: bool) -> str:
        """Say what was done and what comes next."""
        if dry_run:
            return f"nothing written{f'; {self.layout.undecided}' if self.layout.undecided else ''}"
        done = "wrote " + ", ".join(map(str, written)) if written else "conf/local says so already"
        return (
            f"{done}\n"
            "training.views in conf/local says which symmetries your photos have, a mirror image where you chose none "
            "yourself: see whether that is so.\n"
            "If other photos were ingested here before, `make forget` starts over, and another `model_name` in "
            "conf/base/globals.yml keeps the models apart.\n"
            "For dvc repro to watch these photos and settings: visionpipe dvc-stages.\n"
            "Next: kedro run"
        )


def look(path: str, *, group_by: str | None = None, **options: str | None) -> Found:
    """Guess the layout of a folder or URL and count what its importer lists.

    Parameters
    ----------
    path : str
        Folder, URL or labelling document.
    group_by : str, optional
        Attribute whose values must not span two splits.
    **options
        Of `visionpipe.images.layout.guess_layout`.

    Raises
    ------
    VisionpipeError
        When there is nothing to look at, or `group_by` is no attribute of the photos.
    """
    layout = guess_layout(path, **options)
    sources = {name: Source(name=name, **given) for name, given in layout.sources.items()}
    log = logging.getLogger("visionpipe.images.importers")
    level = log.level
    log.setLevel(logging.ERROR)  # the survey says it all
    try:
        now = datetime.now(UTC)
        survey = survey_photos(photo for source in sources.values() for photo in iterate_photos(source, now))
    finally:
        log.setLevel(level)
    if survey.reserved:
        kept = [name for name in survey.attributes if name not in survey.reserved]
        layout = replace(
            layout,
            sources={name: {**given, "attributes": kept} for name, given in layout.sources.items()},
            notes=[*layout.notes, f"columns named like our own are left out: {', '.join(survey.reserved)}"],
        )
        survey = replace(survey, attributes={name: survey.attributes[name] for name in kept})
    if group_by is not None and group_by not in survey.attributes:
        raise VisionpipeError(
            f"--group-by: no photo has an attribute '{group_by}'; there are: "
            f"{', '.join(survey.attributes) or 'none'}"
        )
    if any(given["importer"] == "table" for given in layout.sources.values()):
        columns = [*survey.attributes, *survey.reserved]
        layout = replace(layout, notes=[*layout.notes, *_claim_hints(columns, options)])
    if group_by is None and (hint := survey.group_hint()):
        note = f"photos of one {hint} may be alike: --group-by {hint} keeps them in one split"
        layout = replace(layout, notes=[*layout.notes, note])
    return Found(layout, survey, group_by)


def _claim_hints(columns: Iterable[str], asked: Mapping[str, str | None]) -> list[str]:
    """Name the first column that looks as if it said who labelled, and how sure: unless asked, neither is guessed."""
    hints = []
    for option, (words, what, effect) in _CLAIM_COLUMNS.items():
        like = [name for name in columns if any(word in name.lower() for word in words)]
        if like and asked.get(option) is None:
            flag = f"--{option.replace('_', '-')}"
            hints.append(f"column '{like[0]}' may say {what}: {flag} {like[0]} {effect}")
    return hints
