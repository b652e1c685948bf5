"""One challenge of one champion: judged, put on record, registered, crowned; each step on its own may be the last."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visionpipe.promotion import record
from visionpipe.promotion.aliases import CHALLENGER, CHAMPION, NOBODY, crown, drop_challenger, exists, holder
from visionpipe.promotion.comparisons import TEST_IMAGES, comparisons_of, digest_of, identity_of
from visionpipe.promotion.gate import refuse
from visionpipe.promotion.model_version import (
    Champion,
    UnreadableVersionError,
    log_version,
    read_version,
)
from visionpipe.promotion.version_files import MODEL, WEIGHTS, file_sha256
from visionpipe.promotion.wear import Comparison

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from visionpipe.promotion.decision import Decision
    from visionpipe.promotion.record import Event

Judge = Callable[[Champion | None, list[Comparison]], "Decision"]
Papers = Callable[["Decision"], Mapping[str, str]]
_REASON_CHARACTERS = 1000
_QUOTED_CHARACTERS = 200


@dataclass(frozen=True, kw_only=True)
class Challenge:
    """A candidate against the champion of this moment.

    Attributes
    ----------
    client, model_name
        Registered model, whose turn is held.
    candidate_folder : Path or None
        The candidate's files.
    run_id : str
        MLflow run that keeps verdict, test images and a candidate that is turned down.
    champion_version : str or None
        Whom it meets.
    earlier : list of Event
        The record so far.
    mode, tags, test_image_ids, basis_sha256
        As in `visionpipe.promotion.registry.Registry.promote`.
    """

    client: MlflowClient
    model_name: str
    candidate_folder: Path | None
    run_id: str
    champion_version: str | None
    earlier: list[Event]
    mode: str
    tags: Mapping[str, str]
    test_image_ids: Collection[str]
    basis_sha256: str | None = None

    def judged(self, judge: Judge, metric: str) -> tuple[Decision, Event | None]:
        """Ask the gate; keep its verdict, and put the comparison on record before anything comes of it.

        Returns
        -------
        tuple
            The verdict and its entry; None where nobody looked at the test images.
        """
        decision = self._refused(metric)
        if decision is None:
            try:
                champion = None
                if self.champion_version is not None:
                    champion = read_version(self.model_name, self.champion_version)
            except UnreadableVersionError as error:
                decision = self._refusal("champion can be read", str(error), metric)
            else:
                earlier = comparisons_of(self.earlier, known=self.test_image_ids, but=self._identity)
                decision = judge(champion, earlier)
        if decision.outcome == "promote" and self.mode != "off" and self.needs_approval is not None:
            said = f"{decision.reason.rstrip('.')}; but {self.needs_approval}"
            decision = replace(
                decision, reason=f"{said}: it waits until a person lets it in (visionpipe approve)."
            )
        self.client.log_dict(self.run_id, decision.as_dict(), "comparison/decision.json")
        looked = decision.looked or decision.outcome == "promote"
        return decision, self._put_on_record(decision) if looked else None

    @cached_property
    def needs_approval(self) -> str | None:
        """Why a winner only waits for a person's approval, whatever the mode; None: it need not."""
        event = record.taken_back(self.earlier).get(self._weights_sha256 or "")
        if event is not None:
            why = str(event.payload.get("why", ""))
            why = why if len(why) <= _QUOTED_CHARACTERS else why[:_QUOTED_CHARACTERS] + record.ELLIPSIS
            return f"{event.who} took this very model back on {event.at:%Y-%m-%d} ({why})"
        if self.champion_version is None and record.ever_champion(self.earlier):
            return "the champion is missing, and no earlier one is left to compare it with"
        return None

    def keep_candidate(self) -> None:
        """Leave the candidate's files in the run: what was turned down can be looked at later."""
        if self.candidate_folder is not None:
            self.client.log_artifacts(self.run_id, str(self.candidate_folder), "candidate")

    def register(self, decision: Decision, evaluation: dict, papers: Papers | None) -> str:
        """Make the candidate a version, without an alias yet."""
        assert self.candidate_folder is not None, "a registry without a candidate only reads"
        texts = {
            **(papers(decision) if papers else {}),
            "evaluation.json": json.dumps(evaluation, allow_nan=False),
            "decision.json": json.dumps(decision.as_dict(), allow_nan=False),
        }
        model, files_sha256 = log_version(self.candidate_folder, texts)
        record.require_model(self.client, self.model_name)
        digests = {
            "weights_sha256": self._weights_sha256,
            "model_sha256": self._model_sha256,
            "files_sha256": files_sha256,
        }
        tags = {
            **self.tags,
            **verdict_tags(decision),
            **{key: value for key, value in digests.items() if value is not None},
        }
        version = self.client.create_model_version(
            self.model_name,
            source=model.model_uri,
            run_id=model.run_id,
            model_id=model.model_id,
            tags={f"visionpipe.{key}": value for key, value in tags.items()},
        )
        return str(version.version)

    def take_over(self, version: str, comparison: Event | None) -> str | None:
        """Give the winner its alias; None when the champion that it has beaten is champion no more."""
        if holder(self.client, self.model_name, CHAMPION) != self.champion_version:
            return None
        alias = CHAMPION if self.mode == "promote" and self.needs_approval is None else CHALLENGER
        kind = "promotion" if alias == CHAMPION else "proposal"
        payload = {
            "version": version,
            "previous": self.champion_version,
            "comparison": comparison.key if comparison else None,
            "run_id": self.run_id,
            "weights_sha256": self._weights_sha256,
        }
        record.append(self.client, self.model_name, kind, payload, who=record.account())
        if alias == CHAMPION:
            crown(self.client, self.model_name, version)
            drop_challenger(self.client, self.model_name)
        else:
            self.client.set_registered_model_alias(self.model_name, alias, version)
        return alias

    def _refused(self, metric: str) -> Decision | None:
        """Refuse where a champion is missing that can be put back: limits alone would let a worse model in."""
        if self.champion_version is not None:
            return None
        former = record.ever_champion(self.earlier)
        left = [version for version in former if exists(self.client, self.model_name, version)]
        if not left:
            return None
        return self._refusal(
            "champion is there",
            f"a champion is missing: {self.model_name} had one (v{former[-1]} was last on record), and the alias "
            "champion is gone; put it back (visionpipe rollback), then run the promotion again",
            metric,
        )

    def _refusal(self, name: str, detail: str, metric: str) -> Decision:
        return refuse(
            name,
            detail,
            n_images=len(self.test_image_ids),
            champion_version=self.champion_version,
            metric=metric,
        )

    def _put_on_record(self, decision: Decision) -> Event:
        # the file first: an event without it would count for every image
        image_ids = sorted(set(self.test_image_ids))
        self.client.log_dict(self.run_id, {"image_ids": image_ids}, TEST_IMAGES)
        payload = {
            "champion_version": self.champion_version,
            "outcome": decision.outcome,
            "reason": decision.reason[:_REASON_CHARACTERS],
            "metric": decision.metric,
            "gain": _gain(decision),
            "mode": self.mode,
            "run_id": self.run_id,
            "n_images": len(image_ids),
            "images_sha256": digest_of(image_ids),
            "identity": self._identity,
            "spent": decision.wear.spent if decision.wear else None,
        }
        return record.append(self.client, self.model_name, "comparison", payload, who=record.account())

    @cached_property
    def _identity(self) -> str | None:
        return identity_of(self.candidate_folder, self.champion_version, self.basis_sha256)

    @cached_property
    def _weights_sha256(self) -> str | None:
        return file_sha256(self.candidate_folder, WEIGHTS)

    @cached_property
    def _model_sha256(self) -> str | None:
        return file_sha256(self.candidate_folder, WEIGHTS, MODEL)


def verdict_tags(decision: Decision) -> dict[str, str]:
    """Return what of a verdict is written to a version's tags."""
    told = {
        "decision": decision.outcome,
        "decision_reason": decision.reason[:_REASON_CHARACTERS],
        "decision_metric": decision.metric,
        "champion_beaten": decision.champion_version or NOBODY,
    }
    if gain := _gain(decision):
        told["decision_gain"] = "{estimate:+.4f} ({low:+.4f} to {high:+.4f})".format(**gain)
    if wear := decision.wear:
        told["test_images_comparison"] = f"{wear.comparison} of {wear.planned} planned"
        told["test_images_fresh"] = f"{wear.n_fresh} of {wear.n_images}"
    return told


def _gain(decision: Decision) -> dict[str, Any] | None:
    for check in decision.checks:
        if check.kind != "gain" or check.value is None or check.low is None or check.high is None:
            continue
        if math.isfinite(check.low) and math.isfinite(check.high):  # few groups have no interval
            return {"estimate": check.value, "low": check.low, "high": check.high}
    return None
