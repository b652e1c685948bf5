"""What became of a version: who let it in, proposed it, approved it or took it back, when and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from visionpipe.promotion.record import not_carried_out
from visionpipe.reports.wording import minute

if TYPE_CHECKING:
    from visionpipe.promotion.record import Event

_DEEDS = {
    # kind of event: (of the version that it names, of the one that was champion before)
    "proposal": ("proposed", ""),
    "promotion": ("promoted", "replaced"),
    "approval": ("approved", "replaced"),
    "rollback": ("put back", "taken back"),
    "correction": ("found in place", "found replaced"),
}


def history(record: Sequence[Event], version: str) -> list[dict[str, Any]]:
    """Return what the record tells of a version, oldest first.

    Parameters
    ----------
    record : sequence of Event
        The whole record of its registered model.
    version : str
        The version.

    Returns
    -------
    list of dict
        `event, kind, at, who` and the event's payload as they are on record; `deed`, what it was to this version
        (`proposed, promoted, approved, replaced, put back, taken back` ...); `why`, which for a promotion or a
        proposal is the verdict of its comparison, None where none is on record.
    """
    stopped = {event.key for event in not_carried_out(record)}
    verdicts = {event.key: event.payload.get("reason") for event in record if event.kind == "comparison"}
    told = []
    for event in record:
        named, before = _DEEDS.get(event.kind, ("", ""))
        payload = event.payload
        if version not in (payload.get("version"), payload.get("previous")):
            continue
        if event.key in stopped:
            continue
        if deed := named if payload.get("version") == version else before:
            why = payload.get("why", verdicts.get(payload.get("comparison", "")))
            told.append({**event.as_dict(), "deed": deed, "why": why})
    return told


def in_words(entry: Mapping[str, Any], version: str) -> str:
    """Return an entry of `history` as a line: when, who, in whose place, why."""
    if entry["version"] != version:
        other = f"version {entry['version']}" if entry["version"] else "no version"
        place = f", {other} in its place"
    else:
        instead = "against" if entry["kind"] == "proposal" else "in place of"
        place = f", {instead} version {entry['previous']}" if entry["previous"] else ""
    why = f": {entry['why']}" if entry["why"] else ""
    return f"{minute(entry['at'])} UTC, {entry['who']}{place}{why}"
