"""The rows of a document, whatever its format, and the columns that they are made from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from visionpipe.errors import VisionpipeError
from visionpipe.images.importers.photo import LabelClaim
from visionpipe.images.importers.source import Source


@dataclass(frozen=True, slots=True)
class Row:
    """What a document says of one image in one place.

    Attributes
    ----------
    references : tuple of str
        What names the image, best first; empty: nothing does.
    where : str
        The place in the document: `row 17`.
    claims : tuple of LabelClaim
        Several where several annotators spoke.
    attributes : dict
        The user's own columns.
    trouble : str or None
        What is wrong with the row, if it cannot be used.
    """

    references: tuple[str, ...]
    where: str
    claims: tuple[LabelClaim, ...] = ()
    attributes: dict[str, str] = field(default_factory=dict)
    trouble: str | None = None


def chosen_attributes(source: Source, available: Iterable[str], document: str) -> list[str]:
    """Return the names to keep as attributes: those that the source chooses, or all.

    Raises
    ------
    VisionpipeError
        When a chosen one is not there, naming those that are.
    """
    available = list(available)
    if source.attributes is None:
        return available
    for name in source.attributes:
        require_column(name, available, document, "attributes")
    return list(source.attributes)


def require_column(name: str, available: Iterable[str], document: str, option: str) -> None:
    """Refuse a column that a document does not have, naming those that it has."""
    available = list(available)
    if name not in available:
        raise VisionpipeError(
            f"{document}: no column '{name}' (option `{option}`); there are: {', '.join(available) or 'none'}"
        )
