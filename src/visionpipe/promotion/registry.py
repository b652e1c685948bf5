"""The model registry in MLflow: who is champion, and how a candidate takes over.

MLflow cannot compare-and-swap an alias, so promoters take turns: lock, copy the candidate, read the champion, judge,
put the comparison on record, register, read the champion again, put the promotion on record, set the alias last. A
crash leaves the old champion or the new one; a version that it left without an alias was never proposed, and nothing
ever picks it up.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from visionpipe.errors import VisionpipeError
from visionpipe.promotion import record
from visionpipe.promotion.aliases import CHAMPION, holder, turn
from visionpipe.promotion.candidate_files import require_judged, snapshot
from visionpipe.promotion.challenge import Challenge, Judge, Papers
from visionpipe.promotion.model_version import Champion, read_version

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from visionpipe.models.candidate import Candidate
    from visionpipe.promotion.decision import Decision

logger = logging.getLogger(__name__)
_MAX_ROUNDS = 5


@dataclass(frozen=True)
class Promotion:
    """How a promotion ended.

    Attributes
    ----------
    decision : Decision
        The gate's verdict.
    version, alias : str or None
        What was registered; None when nothing was.
    """

    decision: Decision
    version: str | None = None
    alias: str | None = None


class Registry:
    """One registered model in the MLflow store that is connected.

    Parameters
    ----------
    model_name : str
        Name of the registered model.
    candidate_folder : Path or None
        The candidate's files; needed only to register it.
    """

    def __init__(self, model_name: str, candidate_folder: Path | None = None) -> None:
        from mlflow import MlflowClient

        self.model_name = model_name
        self._candidate_folder = candidate_folder
        self._client: MlflowClient = MlflowClient()

    def champion(self) -> Champion | None:
        """Download and read the champion; None when there is none.

        Raises
        ------
        VisionpipeError
            When there is one and it cannot be read.
        """
        version = holder(self._client, self.model_name, CHAMPION)
        return None if version is None else read_version(self.model_name, version)

    def promote(
        self,
        judge: Judge,
        *,
        mode: str,
        evaluation: dict,
        tags: Mapping[str, str],
        test_image_ids: Collection[str],
        metric: str,
        papers: Papers | None = None,
        candidate: Candidate | None = None,
        basis_sha256: str | None = None,
    ) -> Promotion:
        """Judge the candidate against the champion of this moment and register it if it wins.

        Whatever the verdict, the run keeps it (`comparison/decision.json`), and a candidate that is turned down.

        Parameters
        ----------
        judge : callable
            The gate, given the champion or None, and the comparisons before this one.
        mode : {"promote", "propose", "off"}
            `promote` makes a winner champion, `propose` makes it challenger, `off` makes no version; the comparison is
            on record nevertheless.
        evaluation : dict
            The candidate's evaluation, kept with the version.
        tags : mapping
            Provenance, written to the version.
        test_image_ids : collection of str
            The images that the judge looks at; put on record when it did.
        metric : str
            In which the challenger must be better: for the verdict when the champion cannot be read.
        papers : callable or None
            Further files of a version (name -> text), such as the model card, given the decision.
        candidate : Candidate or None
            What the judge judges: files of another one are refused. None: not checked.
        basis_sha256 : str or None
            Hash of what the verdict rests on besides the models, so that the same comparison again is no second look
            at the test images; None: each is a new one.

        Raises
        ------
        VisionpipeError
            When another promoter does not end, the candidate's files are others by now, the record is damaged, or
            MLflow refuses.
        """
        with turn(self.model_name), _run() as run_id, snapshot(self._candidate_folder) as folder:
            if folder is not None and candidate is not None:
                require_judged(folder, candidate)
            for _ in range(_MAX_ROUNDS):
                challenge = Challenge(
                    client=self._client,
                    model_name=self.model_name,
                    candidate_folder=folder,
                    run_id=run_id,
                    earlier=record.reconcile(self._client, self.model_name),
                    champion_version=holder(self._client, self.model_name, CHAMPION),
                    mode=mode,
                    tags=tags,
                    test_image_ids=test_image_ids,
                    basis_sha256=basis_sha256,
                )
                decision, comparison = challenge.judged(judge, metric)
                if mode == "off":
                    return Promotion(decision)
                if decision.outcome != "promote":
                    challenge.keep_candidate()
                    return Promotion(decision)
                version = challenge.register(decision, evaluation, papers)
                alias = challenge.take_over(version, comparison)
                if alias is not None:
                    return Promotion(decision, version, alias)
                logger.warning("Another promoter changed the champion meanwhile: judging again")
                self._client.delete_model_version(self.model_name, version)
        raise VisionpipeError(f"{self.model_name}: the champion kept changing; nothing was promoted")


@contextmanager
def _run() -> Iterator[str]:
    """Give the MLflow run that is under way, or one of its own."""
    import mlflow

    active = mlflow.active_run()
    if active is not None:
        yield active.info.run_id
        return
    with mlflow.start_run(run_name="promotion") as run:
        yield run.info.run_id
