"""What is said of each photo: by the rows of a document, and by the folder that it lies in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from visionpipe.images.importers.label_names import LabelNames, plain
from visionpipe.images.importers.photo import LabelClaim
from visionpipe.images.importers.rows import Row

_BESIDE_A_TABLE = 0.999
"""Confidence of a folder's name, as a share of the table's, so that the table wins a tie."""


class ClaimMaker:
    """Puts together the claims of a photo; equal claims are one object, as there may be a million photos."""

    def __init__(self, folder_labels: dict[str, str]) -> None:
        self._folder_labels = folder_labels
        self.names = LabelNames(folder_labels.values())
        self._shared: dict[tuple[LabelClaim, ...], tuple[LabelClaim, ...]] = {}

    def __call__(self, path: str | None, rows: Iterable[Row]) -> tuple[LabelClaim, ...]:
        """Return the folder's claim, if `path` is given, and the rows', each annotator's label once."""
        said = [claim for row in rows for claim in row.claims if claim.label.strip()]
        folder = self._folder_labels.get(path.rpartition("/")[0]) if path else None
        claims = {}
        if folder is not None:
            confidence = _BESIDE_A_TABLE * min(claim.confidence for claim in said) if said else 1.0
            claims[folder, "folder", None] = LabelClaim(folder, confidence, "folder")
        for claim in said:
            label = self.names.unify(claim.label)
            key = (label, claim.annotator, claim.labelled_at)
            if key not in claims:
                claims[key] = claim if label == claim.label else replace(claim, label=label)
        together = tuple(claims.values())
        return self._shared.setdefault(together, together)


def folder_labels_of(wanted: bool | None, paths: list[str], rows_of: dict[str, list[Row]]) -> dict[str, str]:
    """Say which folder stands for which class: its own name or that of the first folder on its path.

    Asked to decide, take folders for classes where their names are labels of the document and agree with it for
    most images; a folder of another name (`unsorted`, a site) says nothing.
    """
    if wanted is False:
        return {}
    folders = {path.rpartition("/")[0] for path in paths} - {""}
    said = {
        path: {plain(claim.label) for row in rows for claim in row.claims} for path, rows in rows_of.items()
    }
    known = set().union(*said.values()) if said else set()
    best: tuple[int, int, dict[str, str]] = (0, 0, {})
    for depth in (0, -1):
        names = {folder: folder.split("/")[depth] for folder in sorted(folders)}
        if wanted is None:
            names = {folder: name for folder, name in names.items() if plain(name) in known}
        about = [
            (names[folder], labels)
            for path, labels in said.items()
            if (folder := path.rpartition("/")[0]) in names
        ]
        n_agreeing = sum(plain(name) in labels for name, labels in about)
        if wanted and not best[2]:
            best = (n_agreeing, len(about), names)
        if n_agreeing > best[0] and (wanted or 2 * n_agreeing > len(about)):
            best = (n_agreeing, len(about), names)
    return best[2]
