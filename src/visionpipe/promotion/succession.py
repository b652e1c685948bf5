"""What a person decides: to let a proposed model take over, or to put an earlier champion back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from visionpipe.errors import VisionpipeError
from visionpipe.progress import doing
from visionpipe.promotion import record
from visionpipe.promotion.aliases import (
    CHALLENGER,
    CHAMPION,
    NOBODY,
    crown,
    drop_challenger,
    exists,
    find_version,
    holder,
    turn,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

    from visionpipe.promotion.record import Event, Kind

_MAX_CHARACTERS = {"by": 200, "why": 1000}


def approve(model_name: str, version: str | None = None, *, by: str, why: str) -> Event:
    """Make a proposed version champion.

    Parameters
    ----------
    model_name : str
        Registered model in the MLflow store that is connected.
    version : str or None
        Which, never empty; None: the one that waits (alias `challenger`).
    by, why : str
        Who decides this, and the reason; kept on record.

    Returns
    -------
    Event
        As it is on record: `version`, `previous` (None without a champion) and `why`.

    Raises
    ------
    VisionpipeError
        When nothing waits, the version did not win a comparison with the present champion, or cannot be read.
    """
    _require_words(by=by, why=why)
    _require_number(version, given_as="VERSION", without="the one that waits")
    from mlflow import MlflowClient

    client = MlflowClient()
    with turn(model_name):
        so_far = record.reconcile(client, model_name)
        waiting, champion = (holder(client, model_name, alias) for alias in (CHALLENGER, CHAMPION))
        chosen = waiting if version is None else version
        if chosen is None:
            raise VisionpipeError(
                f"{model_name}: no version waits for approval; with promotion.mode: propose a winner does"
            )
        if chosen == champion:
            raise VisionpipeError(f"{model_name} v{chosen} is champion already")
        tags = _version(client, model_name, chosen).tags
        proposed = {event.payload.get("version") for event in so_far if event.kind == "proposal"}
        if chosen not in proposed | {waiting} or tags.get("visionpipe.decision") != "promote":
            _refuse_former_champion(model_name, chosen, so_far)
            raise VisionpipeError(
                f"{model_name} v{chosen} was never proposed: only a version that won its comparison can be approved"
            )
        beaten = tags.get("visionpipe.champion_beaten")
        if beaten != (champion or NOBODY):
            _refuse_former_champion(model_name, chosen, so_far)
            was = "no champion" if beaten in (None, NOBODY) else f"champion v{beaten}"
            now = f"v{champion} is champion now" if champion else "there is none now"
            raise VisionpipeError(
                f"{model_name} v{chosen} was judged against {was}, and {now}: run the promotion again"
            )
        event = _crown(client, model_name, "approval", chosen, champion, by=by, why=why)
        drop_challenger(client, model_name)
        return event


def rollback(model_name: str, version: str | None = None, *, by: str, why: str) -> Event:
    """Put an earlier champion back; the present one need not be readable, nor there.

    Parameters
    ----------
    model_name : str
        Registered model in the MLflow store that is connected.
    version : str or None
        Which, never empty; None: the champion before the present one, or the last one where the alias is gone.
    by, why : str
        Who decides this, and the reason; kept on record.

    Returns
    -------
    Event
        As it is on record: `version`, `previous` and `why`.

    Raises
    ------
    VisionpipeError
        When there was no champion before, the version never was champion, or it cannot be read.
    """
    _require_words(by=by, why=why)
    _require_number(version, given_as="--to", without="the champion before this one")
    from mlflow import MlflowClient

    client = MlflowClient()
    with turn(model_name):
        so_far = record.reconcile(client, model_name)
        champion = holder(client, model_name, CHAMPION)
        line = [each for each in record.champions(so_far) if each != champion]
        if champion is None:  # it is missing: the last one that is still there
            line = [each for each in line if exists(client, model_name, each)]
        chosen = version if version is not None else (line[-1] if line else None)
        if chosen is None:
            raise VisionpipeError(f"{model_name}: no earlier champion is on record to go back to")
        if chosen == champion:
            raise VisionpipeError(f"{model_name} v{chosen} is champion already")
        former = record.ever_champion(so_far)
        if chosen not in former:
            known = ", ".join(f"v{each}" for each in former if each != champion) or "none"
            raise VisionpipeError(f"{model_name} v{chosen} was never champion; earlier champions: {known}")
        _version(client, model_name, chosen)
        return _crown(client, model_name, "rollback", chosen, champion, by=by, why=why)


def _crown(
    client: MlflowClient,
    model_name: str,
    kind: Kind,
    version: str,
    previous: str | None,
    *,
    by: str,
    why: str,
) -> Event:
    """Put it on record, then do it: the other way round, a crash would lose who and why."""
    with doing(f"reading {model_name} version {version}"):  # torch, too, which a refusal does not need
        from visionpipe.promotion.model_version import read_version

        read_version(model_name, version, called="version")
    payload = {"version": version, "previous": previous, "why": why}
    event = record.append(client, model_name, kind, payload, who=by)
    crown(client, model_name, version)
    return event


def _refuse_former_champion(model_name: str, version: str, so_far: Sequence[Event]) -> None:
    """Say what a version was that cannot be approved, if it was champion once."""
    reign = record.reign(so_far, version)
    if reign is None:
        return
    since, until = (f"{at:%Y-%m-%d %H:%M}" if at else None for at in reign)
    raise VisionpipeError(
        f"{model_name} v{version} was champion from {since}{f' to {until}' if until else ''} UTC: it needs no "
        f"approval; bring it back with visionpipe rollback --to {version}"
    )


def _version(client: MlflowClient, model_name: str, version: str) -> ModelVersion:
    found = find_version(client, model_name, version)
    if found is None:
        raise VisionpipeError(f"{model_name} has no version {version}")
    return found


def _require_number(version: str | None, *, given_as: str, without: str) -> None:
    """Refuse what a script passes whose variable is not set: it is no wish for the default."""
    if version is not None and not version.strip():
        raise VisionpipeError(f"{given_as} is empty: give a version's number, or leave it out for {without}")


def _require_words(**given: str) -> None:
    for name, text in given.items():
        if not text.strip():
            raise VisionpipeError(f"--{name} is empty: say {'who decides this' if name == 'by' else 'why'}")
        if len(text) > _MAX_CHARACTERS[name]:
            raise VisionpipeError(f"--{name}: at most {_MAX_CHARACTERS[name]} characters are kept on record")
