"""The page that links every report there is, with the verdict up front."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from visionpipe.metrics.slices import LOWER
from visionpipe.reports.pages import index_page
from visionpipe.reports.wording import interval, number

_THIS_RUN, _OTHERS = "From photos to a verdict", "Watching and checking"


def run_index(documents: Mapping[str, Mapping[str, Any]]) -> str:
    """Render the index of what the pipelines wrote.

    Parameters
    ----------
    documents
        What is in the JSON files that exist, by name: any of `decision`, `evaluation`, `examination`,
        `validation`, `drift` and `label_audit`. A page is linked when its document is there.

    Returns
    -------
    str
        A whole HTML document; its links are relative to data/08_reporting.
    """
    links = [
        {"group": group, **link}
        for group, of_document in ((_THIS_RUN, _OF_A_RUN), (_OTHERS, _OF_OTHERS))
        for name, link_of in of_document
        if name in documents and (link := link_of(documents))
    ]
    return index_page(links, _headline(documents))


def _headline(documents: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    decision = documents.get("decision")
    if decision is None:
        return {"title": "Reports", "summary": "No model has been judged here yet."}
    headline = {
        "title": _verdict(decision),
        "summary": decision["reason"],
        "status": decision["outcome"],
        "registered": _registered(decision),
    }
    if accuracy := (documents.get("evaluation") or {}).get("metrics", {}).get("accuracy"):
        headline["test accuracy"] = accuracy
    headline["manifest"] = str(decision["data"]["manifest_md5"])[:12]
    headline["git commit"] = str(decision["provenance"]["git_commit"])[:12]
    return headline


def _registered(decision: Mapping[str, Any]) -> str:
    version = decision.get("challenger_version")
    return f"{decision['model_name']} v{version} ({decision['alias']})" if version else "nothing"


def _verdict(decision: Mapping[str, Any]) -> str:
    """Say in a line who is champion now, and what became of the challenger."""
    name, version, champion = (
        decision.get(key) for key in ("model_name", "challenger_version", "champion_version")
    )
    if decision["outcome"] == "promote":
        if version and decision.get("alias") == "champion":
            return f"{name} version {version} is the new champion"
        if version:
            return f"{name} version {version} has won and waits for approval"
        return f"{name}: the candidate would be promoted, but nothing is registered"
    stays = f"version {champion} stays champion" if champion else "there is no champion yet"
    why = "not enough evidence" if decision["outcome"] == "insufficient_evidence" else "candidate turned down"
    return f"{name}: {why}, {stays}"


def _decision(documents: Mapping[str, Any]) -> dict[str, Any]:
    decision = documents["decision"]
    return {
        "title": "Decision",
        "path": "decision.html",
        "summary": decision["reason"],
        "status": decision["outcome"],
    }


def _card(documents: Mapping[str, Any]) -> dict[str, Any] | None:
    decision = documents["decision"]
    named = _registered(decision) if decision.get("challenger_version") else "the candidate, not registered"
    return {
        "title": "Model card",
        "path": "model_card.html",
        "summary": f"{named}: purpose, data, figures, known limits, and how to make it again",
    }


def _evaluation(documents: Mapping[str, Any]) -> dict[str, Any]:
    evaluation = documents["evaluation"]
    summary = f"{number(evaluation['n'])} test images, accuracy {interval(evaluation['metrics']['accuracy'])}"
    worst = evaluation.get("worst_slice")
    if worst and worst.get("verdict") == LOWER:
        summary += f"; weakest part: {worst['name']}, {interval(worst.get('accuracy'))}"
    return {"title": "Evaluation", "path": "evaluation.html", "summary": summary}


def _examination(documents: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "title": "Examination",
        "path": "examination.html",
        "summary": "poorer photos, attacks, foreign pictures, speed, shortcuts, and what it looks at",
    }


def _training(documents: Mapping[str, Any]) -> dict[str, Any] | None:
    model = documents["evaluation"].get("model")
    if not model:
        return None
    summary = f"{model['backbone']}, trained: {model['trained_stages']}, {model['epochs']} epochs"
    return {"title": "Training", "path": "training.html", "summary": summary}


def _validation(documents: Mapping[str, Any]) -> dict[str, Any]:
    validation = documents["validation"]
    n_contradicted, n_warnings = validation.get("n_contradicted"), len(validation["warnings"])
    disputes = f", {number(n_contradicted)} with contradictory labels" if n_contradicted else ""
    warned = f"{n_warnings} warning{'s' * (n_warnings != 1)}"
    return {
        "title": "Data and labels",
        "path": "data_docs/index.html",
        "summary": f"{number(validation['n_images'])} images{disputes}, "
        f"{number(validation['n_quarantined'])} quarantined, {warned}",
        "status": "passed" if validation["success"] else "failed",
    }


def _drift(documents: Mapping[str, Any]) -> dict[str, Any]:
    verdict, decision = documents["drift"], documents.get("decision") or {}
    about, summary = verdict.get("model_version"), verdict["reason"]
    champion = decision.get("champion_version")
    if decision.get("alias") == "champion":
        champion = decision.get("challenger_version")
    if about and champion and str(about) != str(champion):
        summary = f"Of version {about}, which is champion no more. {summary}"
    word = {True: "drift", False: "no drift", None: "not judged"}[verdict["drifted"]]
    return {"title": "Drift", "path": "drift.html", "summary": summary, "status": word}


def _evidently(documents: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "title": "Drift, column by column",
        "path": "drift_evidently.html",
        "summary": "Evidently's report on the same predictions",
    }


def _label_audit(documents: Mapping[str, Any]) -> dict[str, Any]:
    audit = documents["label_audit"]
    n_judged, n_issues = audit["n_judged"], audit["n_issues"]
    return {
        "title": "Label audit",
        "path": "label_audit.html",
        "summary": f"{number(n_issues)} of {number(n_judged)} labels are probably wrong",
    }


_LinkOf = Callable[[Mapping[str, Any]], "dict[str, Any] | None"]
_OF_A_RUN: tuple[tuple[str, _LinkOf], ...] = (  # document that must be there -> link
    ("decision", _decision),
    ("decision", _card),
    ("evaluation", _evaluation),
    ("examination", _examination),
    ("evaluation", _training),
    ("validation", _validation),
)
_OF_OTHERS: tuple[tuple[str, _LinkOf], ...] = (
    ("drift", _drift),
    ("drift", _evidently),
    ("label_audit", _label_audit),
)
