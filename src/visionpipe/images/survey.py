"""What a collection of photos holds, counted by the importer that will read it."""

from __future__ import annotations

import os
import posixpath
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from visionpipe.counting import counted
from visionpipe.errors import VisionpipeError, visible
from visionpipe.images.importers import Photo
from visionpipe.images.importers.label_names import plain
from visionpipe.images.importers.places import is_image_name
from visionpipe.images.manifest import require_free_names

if TYPE_CHECKING:
    from rich.console import Console

_FEW_IMAGES = 10
_SHOWN = 3
_SHOWN_CLASSES = 20


@dataclass(frozen=True)
class Survey:
    """What was found.

    Attributes
    ----------
    n_images, n_bytes : int
        Images and their size [bytes]; 0 bytes where they lie inside Parquet.
    extensions, classes : dict
        Counts of images, commonest first.
    attributes : dict
        Attribute column -> number of different values.
    reserved : list of str
        Attribute columns that are named like one of our own and are left out.
    trouble : list of str
        What does not fit, one line each.
    """

    n_images: int
    n_bytes: int
    extensions: dict[str, int]
    classes: dict[str, int]
    attributes: dict[str, int]
    reserved: list[str] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain types."""
        return asdict(self)

    def group_hint(self) -> str | None:
        """Name an attribute whose values repeat: photos of one sender or machine are alike, and may leak."""
        for name, n_values in self.attributes.items():
            if 5 <= n_values <= self.n_images / 2 and any(word in name.lower() for word in _GROUP_WORDS):
                return name
        return None


_GROUP_WORDS = (
    *("sender", "patient", "subject", "user", "person", "session", "group", "series", "machine", "module"),
    *("device", "camera", "site", "plant", "owner", "scene", "video"),
)


def survey_photos(photos: Iterable[Photo]) -> Survey:
    """Count what the importers list; no image is opened.

    Parameters
    ----------
    photos : iterable of Photo
        All photos of all sources.
    """
    extensions: Counter[str] = Counter()
    classes: Counter[str] = Counter()
    values: dict[str, set[str]] = defaultdict(set)
    seen: dict[str, list[str]] = defaultdict(list)
    same_name: dict[tuple[str, int], list[str]] = defaultdict(list)
    same_letters: dict[tuple[str, str], list[str]] = defaultdict(list)
    n_images = n_bytes = 0
    for photo in photos:
        for name, value in photo.attributes.items():
            values[name].add(value)
        if photo.refusal is not None:
            seen[photo.refusal[0]].append(f"{photo.path} ({photo.refusal[1]})")
            continue
        if not photo.claims and "#" not in photo.path and not is_image_name(photo.path):
            seen["other"].append(photo.path)
            continue
        n_images += 1
        n_bytes += photo.n_bytes
        extensions[os.path.splitext(photo.path.split("#")[0])[1].lower() or "none"] += 1  # noqa: PTH122
        if photo.n_bytes:
            same_name[posixpath.basename(photo.path), photo.n_bytes].append(photo.path)
        same_letters[photo.source, photo.path.casefold()].append(photo.path)
        if not photo.claims:
            seen["unlabelled"].append(photo.path)
            continue
        votes = Counter(claim.label for claim in photo.claims)
        weight = {label: sum(c.confidence for c in photo.claims if c.label == label) for label in votes}
        # as `labels.current_labels` decides
        given = {c.label: c.labelled_at or photo.arrived_at for c in reversed(photo.claims)}
        classes[min(votes, key=lambda label: (-votes[label], -weight[label], given[label], label))] += 1
        if len(votes) > 1:
            said = _some([f"{claim.annotator}: {claim.label}" for claim in photo.claims], " / ")
            seen["contradictory"].append(f"{photo.path} ({said})")
    alike = {"twice": same_name, "letters": same_letters}
    groups = {kind: [paths for paths in found.values() if len(paths) > 1] for kind, found in alike.items()}
    return Survey(
        n_images=n_images,
        n_bytes=n_bytes,
        extensions=dict(extensions.most_common()),
        classes=dict(classes.most_common()),
        attributes={name: len(found) for name, found in values.items()},
        reserved=[name for name in values if _is_reserved(name)],
        trouble=[*_troubles(seen, groups), *_class_troubles(classes)],
    )


_SENTENCES = {
    "unlabelled": ("image", " without a label"),
    "no_image": ("row", " without an image"),
    "ambiguous_image": ("row", " that could mean several images"),
    "bad_row": ("row", " that cannot be used"),
    "bad_document": ("Parquet file", " that cannot be read"),
    "contradictory": ("contradictory label", ""),
    "other": ("other file", ""),
}
_ALIKE = {
    "twice": ("file", " of one name and size in several folders"),
    "letters": ("name", " that differ only in upper and lower case"),
}


def _troubles(seen: dict[str, list[str]], groups: dict[str, list[list[str]]]) -> list[str]:
    troubles = [
        f"{counted(len(seen[kind]), noun)}{what}: {_some(seen[kind])}"
        for kind, (noun, what) in _SENTENCES.items()
        if seen.get(kind)
    ]
    for kind, (noun, what) in _ALIKE.items():
        if same := groups[kind]:
            found, n_groups = counted(sum(map(len, same)), noun), counted(len(same), "group")
            named = _some([_some(paths, ", ") for paths in same])
            troubles.append(f"{found}{what}, in {n_groups}: {named}")
    return troubles


_FEW = "kedro run stops at such, unless validation.min_images_per_class allows them"


def _class_troubles(classes: Counter[str]) -> list[str]:
    troubles = []
    if len(classes) == 1:
        troubles.append(f"only one class: {next(iter(classes))}")
    if few := [f"{label} ({count})" for label, count in classes.items() if count < _FEW_IMAGES]:
        troubles.append(
            f"{counted(len(few), 'class')} with fewer than {_FEW_IMAGES} images: {_some(few)} ({_FEW})"
        )
    spellings: dict[str, list[str]] = defaultdict(list)
    for label in classes:
        spellings[plain(label)].append(label)
    if alike := [_some(same, " = ") for same in spellings.values() if len(same) > 1]:
        troubles.append(f"{counted(len(alike), 'class')} spelled in several ways: {_some(alike)}")
    return troubles


def _some(names: list[str], separator: str = "; ") -> str:
    """List the first, and show that there are more.

    >>> _some(["a", "b", "c"]), _some(["a", "b", "c", "d"], " = ")
    ('a; b; c', 'a = b = c = …')
    """
    return separator.join([*names[:_SHOWN], *(["…"] if len(names) > _SHOWN else [])])


def _is_reserved(name: str) -> bool:
    from datetime import UTC, datetime

    try:
        require_free_names([Photo("use", "", 0, 0, bytes, datetime.now(UTC), attributes={name: ""})])
    except VisionpipeError:
        return True
    return False


def render(survey: Survey, description: str, notes: list[str], console: Console) -> None:
    """Print a survey as one table."""
    from rich.markup import escape as escape_markup
    from rich.table import Table

    def escape(text: str) -> str:
        return escape_markup(visible(text))  # columns and annotators may be named anything

    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    size = f", {survey.n_bytes / 1e6:,.1f} MB" if survey.n_bytes else ""
    kinds = ", ".join(f"{count:,} {name}" for name, count in survey.extensions.items())
    table.add_row("layout", escape(description))
    table.add_row("images", escape(f"{survey.n_images:,}{size} ({kinds})"))
    shown = list(survey.classes.items())[:_SHOWN_CLASSES]
    more = f", … {len(survey.classes) - len(shown)} more" if len(survey.classes) > len(shown) else ""
    labels = ", ".join(f"{label} {count:,}" for label, count in shown)
    table.add_row(counted(len(survey.classes), "class"), escape(labels + more))
    columns = [f"{name} ({counted(count, 'value')})" for name, count in survey.attributes.items()]
    table.add_row("attributes", escape(", ".join(columns) or "none"))
    for line in survey.trouble:
        table.add_row("[yellow]trouble", escape(line))
    for line in notes:
        table.add_row("note", escape(line))
    console.print(table)
