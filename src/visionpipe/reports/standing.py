"""Whose model the pages of a run show, as far as the run can know: approvals and rollbacks come later."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

_IN_THE_HEAD = {  # what became of the candidate, by outcome and alias
    ("promote", "champion"): "made champion by this run",
    ("promote", "challenger"): "waits for approval",
    ("reject", None): "refused candidate",
    ("insufficient_evidence", None): "candidate not promoted",
}
_IN_A_SENTENCE = {
    ("promote", "champion"): "which {run} made champion",
    ("promote", "challenger"): "which won and waited for approval",
    ("promote", None): "which won and is not registered",
    ("reject", None): "which was refused",
    ("insufficient_evidence", None): "which was not promoted for want of evidence",
}


def standing(decision: Mapping[str, Any]) -> str:
    """Return what became of a run's candidate, in a few words for the head of a page."""
    return _IN_THE_HEAD.get((decision["outcome"], decision.get("alias")), "candidate of this run")


def trained_since(training: Mapping[str, Any] | None, evaluation: Mapping[str, Any] | None) -> bool:
    """Return whether the newest training made another model than the one that was evaluated last, if any was."""
    trained = _model_of(training)
    return bool(trained) and not same_model(trained, _model_of(evaluation))


def shows_the_judged(decision: Mapping[str, Any], evaluation: Mapping[str, Any] | None) -> bool:
    """Return whether the evaluation is of the model that was judged, as far as that is known."""
    judged, shown = _model_of(decision), _model_of(evaluation)
    return not judged or not shown or same_model(judged, shown)


def whose_pages(
    decision: Mapping[str, Any],
    evaluation: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
    *,
    failed: bool = False,
) -> str:
    """Return whose figures the pages of a run show, and who was champion when it ended.

    Parameters
    ----------
    decision, evaluation, training
        What was written last, each by whichever run.
    failed
        The newest data failed validation, so that all of these are of earlier runs.
    """
    run, when = "this run", "since"
    if failed:
        day = decision.get("decided_on")
        run, when = f"the run of {day}" if day else "an earlier run", "before these data"
    since, reports = "", "The reports on the model"
    if trained_since(training, evaluation):
        since = f"A candidate was trained {when}, which the training report alone shows. "
        reports = "The other reports on the model"
    if not shows_the_judged(decision, evaluation):
        return (
            f"{since}{reports} show a candidate that was not judged yet; decision and card are of one before."
        )
    alias, version = decision.get("alias"), decision.get("challenger_version")
    whom = f"version {version}" if version else f"the candidate of {run}"
    fate = _IN_A_SENTENCE.get((decision["outcome"], alias), "").format(run=run)
    text = f"{since}{reports} show {whom}" + (f", {fate}" if fate else "")
    if alias == "champion":
        return f"{text}."
    champion = decision.get("champion_version")
    return f"{text}; " + (f"version {champion} stayed champion." if champion else "there was no champion.")


def _model_of(document: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return what `describe_model` said when a document was written; of early versions, at most the weights."""
    document = document or {}
    model = document.get("model") or {"weights_sha256": document.get("weights_sha256")}
    return model if model.get("weights_sha256") else {}


def same_model(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Compare the weights, and each setting that both know: a later version of visionpipe may have more of them.

    Parameters
    ----------
    one, other
        What `visionpipe.models.candidate.describe_model` said, then or now.

    Examples
    --------
    >>> same_model({"weights_sha256": "ab", "temperature": 1.0}, {"weights_sha256": "ab"})
    True
    >>> same_model({"weights_sha256": "ab", "temperature": 1.0}, {"weights_sha256": "ab", "temperature": 1.2})
    False
    """
    both = {"weights_sha256", *(one.keys() & other.keys())}
    told = [  # as JSON: what is a list in a file was a tuple before
        json.dumps({key: model.get(key) for key in both}, sort_keys=True) for model in (one, other)
    ]
    return told[0] == told[1]


def champion_now(decision: Mapping[str, Any]) -> str | None:
    """Return the command that names the champion of today; None before there was one."""
    if decision.get("alias") != "champion" and not decision.get("champion_version"):
        return None
    return f"visionpipe trace {shlex.quote('models:/' + str(decision['model_name']) + '@champion')}"
