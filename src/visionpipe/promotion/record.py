"""The record of a registered model: who was compared, promoted, proposed, approved or rolled back, and why.

Events are tags of the registered model in MLflow, `visionpipe.event.<UTC time>.<uuid>` -> JSON: every store that
MLflow has keeps them, and they outlive runs and versions. They are only ever added, under new names.

An event is written before what it tells of takes effect, so no crash hides who did it and why. The alias is the
truth: when it says otherwise (a change that a crash stopped, or one made by hand), `reconcile` adds a correction.
"""

from __future__ import annotations

import getpass
import json
import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from visionpipe.errors import VisionpipeError
from visionpipe.promotion.aliases import CHAMPION, confirm, drop_challenger, holder, last_crowned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlflow import MlflowClient

Kind = Literal["comparison", "promotion", "proposal", "approval", "rollback", "correction"]
PREFIX = "visionpipe.event."
_KEY_TIME = "%Y%m%dT%H%M%S.%fZ"
_MAX_CHARACTERS = 5000  # of a tag's value in MLflow's registry
ELLIPSIS = "…"
_CROWNING = {"promotion", "approval", "rollback", "correction"}


@dataclass(frozen=True)
class Event:
    """One entry of the record.

    Attributes
    ----------
    key : str
        Its tag.
    kind : str
        What happened.
    at : datetime
        When, UTC; later than every event before it.
    who : str
        A person's name as given, or the account that ran the pipeline.
    payload : dict
        Whatever belongs to it: `version`, `previous`, `why`, the comparison's outcome ...
    """

    key: str
    kind: Kind
    at: datetime
    who: str
    payload: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "event": self.key,
            "kind": self.kind,
            "at": self.at.isoformat(),
            "who": self.who,
            **self.payload,
        }


def append(client: MlflowClient, model_name: str, kind: Kind, payload: dict[str, Any], *, who: str) -> Event:
    """Add an event, and the registered model if there is none yet.

    Parameters
    ----------
    payload : dict
        JSON values; with the rest, at most 5000 characters. A `reason` is shortened so that it fits.

    Raises
    ------
    VisionpipeError
        When the payload is too long.
    """
    earlier = events(client, model_name)
    at = datetime.now(UTC)
    if earlier:  # several machines write here, and their clocks differ
        at = max(at, earlier[-1].at + timedelta(microseconds=1))
    event = Event(f"{PREFIX}{at.strftime(_KEY_TIME)}.{uuid.uuid4().hex}", kind, at, who, payload)
    value = _text(event)
    while len(value) > _MAX_CHARACTERS and payload.get("reason", ELLIPSIS) != ELLIPSIS:
        kept = max(0, len(payload["reason"]) - max(len(value) - _MAX_CHARACTERS, 1) - len(ELLIPSIS))
        payload = {**payload, "reason": payload["reason"][:kept] + ELLIPSIS}
        event = replace(event, payload=payload)
        value = _text(event)
    if len(value) > _MAX_CHARACTERS:
        raise VisionpipeError(
            f"{model_name}: a {kind} of {len(value)} characters does not fit the record ({_MAX_CHARACTERS}); "
            "shorten the reason"
        )
    if not earlier:
        require_model(client, model_name)
    client.set_registered_model_tag(model_name, event.key, value)
    return event


def events(client: MlflowClient, model_name: str, kind: Kind | None = None) -> list[Event]:
    """Read the record, oldest first.

    Raises
    ------
    VisionpipeError
        When an event cannot be read: the gate must not take a damaged record for an empty one.
    """
    from mlflow.exceptions import MlflowException

    try:
        tags = client.get_registered_model(model_name).tags
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return []
        raise
    found = [_read(model_name, key, value) for key, value in tags.items() if key.startswith(PREFIX)]
    found.sort(key=lambda event: event.key)
    return [event for event in found if kind in (None, event.kind)]


def champions(record: Sequence[Event]) -> list[str]:
    """Return who was champion before whom, the present one last; what a rollback took back is gone from it.

    Examples
    --------
    >>> def said(kind, version):
    ...     return Event("", kind, datetime.now(UTC), "", {"version": version})
    >>> champions([said("promotion", "1"), said("promotion", "2"), said("approval", "3"), said("rollback", "1")])
    ['1']
    """
    line: list[str] = []
    for event in _carried_out(record):
        line = _line_after(line, event)
    return line


def ever_champion(record: Sequence[Event]) -> list[str]:
    """Return every version that was champion once, each once; not those whose promotion a crash stopped."""
    versions = [event.payload.get("version") for event in _carried_out(record)]
    return list(dict.fromkeys(version for version in versions if version is not None))


def reign(record: Sequence[Event], version: str) -> tuple[datetime, datetime | None] | None:
    """Return from when to when a version was champion, the last time; to None: it still is. None: it never was."""
    told = _carried_out(record)
    ends: list[datetime | None] = [*(event.at for event in told[1:]), None]
    times = [
        (event.at, end)
        for event, end in zip(told, ends, strict=False)  # nothing told: no times
        if event.payload.get("version") == version
    ]
    return times[-1] if times else None


def taken_back(record: Sequence[Event]) -> dict[str, Event]:
    """Return the SHA-256 of weights that a person took back, and has not let in again -> the rollback."""
    weights = {
        event.payload["version"]: event.payload["weights_sha256"]
        for event in record
        if event.kind in ("promotion", "proposal") and event.payload.get("weights_sha256")
    }
    found: dict[str, Event] = {}
    line: list[str] = []
    for event in _carried_out(record):
        after = _line_after(line, event)
        if event.kind == "rollback":
            out = {*line, event.payload.get("previous")} - {*after}
            found |= {weights[version]: event for version in out & weights.keys()}
        if event.kind in ("rollback", "approval"):
            found.pop(weights.get(event.payload.get("version"), ""), None)
        line = after
    return found


def _carried_out(record: Sequence[Event]) -> list[Event]:
    """Return what changed the champion, without what a crash stopped and the correction that says so."""
    kept: list[Event] = []
    for event in record:
        if event.kind not in _CROWNING:
            continue
        before = kept[-1].payload if kept else {}
        stopped = (
            event.kind == "correction"
            and not event.payload.get("crowned")
            and bool(kept)
            and event.payload.get("previous") == before.get("version")
            and event.payload.get("version") == before.get("previous")
        )
        if stopped:
            kept.pop()
        else:
            kept.append(event)
    return kept


def not_carried_out(record: Sequence[Event]) -> list[Event]:
    """Return what a crash stopped before the champion changed, and the corrections that say so."""
    told = {event.key for event in _carried_out(record)}
    return [event for event in record if event.kind in _CROWNING and event.key not in told]


def _line_after(line: list[str], event: Event) -> list[str]:
    version = event.payload.get("version")
    if (
        version is None
    ):  # nobody is champion: taken away from one who was, or one who was said to be never was
        return line if event.payload.get("crowned") else line[:-1]
    if event.kind in ("rollback", "correction") and version in line:
        return line[: line.index(version) + 1]
    return [*line, version]


def reconcile(client: MlflowClient, model_name: str) -> list[Event]:
    """Return the record, after a correction where the champion is not who it says.

    Call it in one's `turn`: only then no change is under way.
    """
    record = events(client, model_name)
    drop_challenger(client, model_name)  # left by an approval that was interrupted
    told = next((event.payload.get("version") for event in reversed(record) if event.kind in _CROWNING), None)
    now = holder(client, model_name, CHAMPION)
    crowned = last_crowned(client, model_name) if (now or told) else None
    if now is not None and now != crowned:
        confirm(client, model_name, now)
    if now == told:
        return record
    why = "found so: a change that was interrupted, made by hand, or older than the record"
    payload = {"version": now, "previous": told, "why": why, "crowned": told is not None and told == crowned}
    return [*record, append(client, model_name, "correction", payload, who=account())]


def _text(event: Event) -> str:
    told = {"kind": event.kind, "who": event.who, "payload": event.payload}
    return json.dumps(told, allow_nan=False, ensure_ascii=False)


def account() -> str:
    """Return the name of the account that runs this."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number that has no name
        return "unknown"


def _read(model_name: str, key: str, value: str) -> Event:
    try:
        told = json.loads(value)
        time = key.removeprefix(PREFIX).rpartition(".")[0]
        at = datetime.strptime(time, _KEY_TIME).replace(tzinfo=UTC)
        return Event(key, told["kind"], at, told["who"], dict(told["payload"]))
    except (ValueError, KeyError, TypeError) as error:
        raise VisionpipeError(
            f"{model_name}: its tag {key} is no event of the record; someone has changed it: restore it"
        ) from error


def require_model(client: MlflowClient, model_name: str) -> None:
    """Make the registered model unless it is there."""
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(model_name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
