"""The page that links every report there is, with the verdict up front."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from visionpipe.metrics.slices import LOWER
from visionpipe.reports.automation import automatic_share, left_to_a_person
from visionpipe.reports.card_findings import is_shortcut
from visionpipe.reports.model_facts import trained_part
from visionpipe.reports.pages import index_page
from visionpipe.reports.standing import champion_now, shows_the_judged, trained_since, whose_pages
from visionpipe.reports.wording import counted, interval, mid_sentence, minute, number

_NAMED_PARTS = 3
_THIS_RUN, _OTHERS = "From photos to a verdict", "Watching and checking"
_REFUSED, _ADMITTED = "The data that failed", "The data as last validated"
_NEWEST, _BEFORE = "Trained since, and not evaluated", "Trained before these data, and not evaluated"
_UNJUDGED = "Evaluated, and not judged"


def run_index(documents: Mapping[str, Mapping[str, Any]]) -> str:
    """Render the index of what the pipelines wrote.

    Parameters
    ----------
    documents
        What is in the JSON files that exist, by name: any of `decision`, `evaluation`, `examination`,
        `training_summary` (`model` and perhaps `started_at`, as on the page), `validation`, `drift` and `label_audit`.
        A page is linked when its document is there.

    Returns
    -------
    str
        A whole HTML document; its links are relative to data/08_reporting.
    """
    links = [
        {"group": group, **link}
        for group, of_document in _groups(documents)
        for name, link_of in of_document
        if name in documents and (link := link_of(documents))
    ]
    headline = _headline(documents)
    if warned := [link["title"] for link in links if link.get("tone") == "warn"]:
        headline["warnings"] = ", ".join(warned)
    return index_page(links, headline)


def _groups(documents: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, tuple[tuple[str, _LinkOf], ...]]]:
    """Say under which heading each link stands: under the day of a verdict only what that run is known to have made."""
    failed, decision = _failed(documents), documents.get("decision")
    apart = {"validation": _REFUSED} if failed else {}
    if _trained_since(documents):
        apart["training_summary"] = _BEFORE if failed else _NEWEST
    for name in ("evaluation", "examination"):  # a run may have ended between the two
        if decision and not shows_the_judged(decision, documents.get(name)):
            apart[name] = _UNJUDGED
    if "evaluation" in apart:
        apart.setdefault("training_summary", _UNJUDGED)
    rest = _THIS_RUN
    if apart and decision:
        apart.setdefault("validation", _ADMITTED)
        rest = f"An earlier run{_of_day(documents)}"
    of_a_run = [
        (title, tuple(link for link in _OF_A_RUN if apart.get(link[0], rest) == title))
        for title in (_REFUSED, _BEFORE, _NEWEST, _UNJUDGED, _ADMITTED, rest)
    ]
    return [*of_a_run, (_OTHERS, _OF_OTHERS)]


def _trained_since(documents: Mapping[str, Mapping[str, Any]]) -> bool:
    return trained_since(documents.get("training_summary"), documents.get("evaluation"))


def _failed(documents: Mapping[str, Mapping[str, Any]]) -> bool:
    return not documents.get("validation", {}).get("success", True)


def _of_day(documents: Mapping[str, Mapping[str, Any]]) -> str:
    day = documents.get("decision", {}).get("decided_on")
    return f", of {day}" if day else ""


def _headline(documents: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    decision = documents.get("decision")
    if _failed(documents):
        unmet = counted(len(documents["validation"]["failures"]), "expectation")
        headline = {
            "title": "Validation failed: nothing was trained",
            "summary": f"Not met by the data: {unmet}.",
            "status": "failed",
        }
        if decision is None:
            return headline
        whose = whose_pages(
            decision, documents.get("evaluation"), documents.get("training_summary"), failed=True
        )
        return {**headline, "whose_pages": whose, "champion_now": champion_now(decision)}
    if decision is None:
        title = "A model was trained, and not evaluated" if _trained_since(documents) else "Reports"
        return {"title": title, "summary": "No model has been judged here yet."}
    day = decision.get("decided_on")
    headline = {
        "title": _verdict(decision),
        "summary": decision["reason"],
        "status": decision["outcome"],
        "as_of": f"as of the run of {day}" if day else "as of the last run that judged a model",
        "whose_pages": whose_pages(decision, documents.get("evaluation"), documents.get("training_summary")),
        "champion_now": champion_now(decision),
        "registered": _registered(decision),
        **_of_the_judged(decision, documents.get("evaluation") or {}),
    }
    headline["manifest"] = str(decision["data"]["manifest_md5"])[:12]
    headline["git commit"] = str(decision["provenance"]["git_commit"])[:12]
    return headline


def _of_the_judged(decision: Mapping[str, Any], evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures of the evaluation, and in front of the reason whether all were left to a person."""
    if not shows_the_judged(decision, evaluation):
        return {}
    facts: dict[str, Any] = {}
    if accuracy := evaluation.get("metrics", {}).get("accuracy"):
        facts["test accuracy"] = accuracy
    if (share := automatic_share(evaluation)) is not None:
        facts["answered without a person"] = share
    if why := left_to_a_person(evaluation):
        facts["summary"] = f"{why}. {decision['reason']}"
        facts["tone"] = "warn" if decision["outcome"] == "promote" else None
    return facts


def _registered(decision: Mapping[str, Any]) -> str:
    version = decision.get("challenger_version")
    return f"{decision['model_name']} v{version} ({decision['alias']})" if version else "nothing"


def _verdict(decision: Mapping[str, Any]) -> str:
    """Say in a line who was champion when the run ended, and what became of the challenger."""
    name, version, champion = (
        decision.get(key) for key in ("model_name", "challenger_version", "champion_version")
    )
    if decision["outcome"] == "promote":
        if version and decision.get("alias") == "champion":
            return f"{name} version {version} was made champion"
        if version:
            return f"{name} version {version} won and waited for approval"
        return f"{name}: the candidate would be promoted, but nothing is registered"
    stayed = f"version {champion} stayed champion" if champion else "there was no champion yet"
    why = "not enough evidence" if decision["outcome"] == "insufficient_evidence" else "candidate refused"
    return f"{name}: {why}, {stayed}"


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
    refused = "refused" if decision["outcome"] == "reject" else "not registered"
    named = _registered(decision) if decision.get("challenger_version") else f"The candidate, {refused}"
    return {
        "title": "Model card",
        "path": "model_card.html",
        "summary": f"{named}: purpose, data, figures, known limits, and how to make it again",
    }


def _evaluation(documents: Mapping[str, Any]) -> dict[str, Any]:
    evaluation = documents["evaluation"]
    summary = (
        f"{counted(evaluation['n'], 'test image')}, accuracy {interval(evaluation['metrics']['accuracy'])}"
    )
    link = {"title": "Evaluation", "path": "evaluation.html", "summary": summary}
    weak = [
        f"class {name}, recall {interval(found.get('recall'))}"
        for name, found in (evaluation.get("per_class") or {}).items()
        if found.get("verdict") == LOWER
    ]
    worst = evaluation.get("worst_slice")
    if worst and worst.get("verdict") == LOWER:
        weak.append(f"{worst['name']}, accuracy {interval(worst.get('accuracy'))}")
    warned = []
    if why := left_to_a_person(evaluation):
        warned.append("no automatic answer")
        link["summary"] += f"; {mid_sentence(why)}"
    if weak:
        warned.append(counted(len(weak), "weak part"))
        link["summary"] += f"; lower than the rest: {'; '.join(weak[:_NAMED_PARTS])}"
        if len(weak) > _NAMED_PARTS:
            link["summary"] += f" and {len(weak) - _NAMED_PARTS} more"
    return {**link, "status": ", ".join(warned), "tone": "warn"} if warned else link


def _examination(documents: Mapping[str, Any]) -> dict[str, Any]:
    link = {
        "title": "Examination",
        "path": "examination.html",
        "summary": "Poorer photos, attacks, foreign pictures, speed, shortcuts, and what it looks at",
    }
    found = [each["name"] for each in documents["examination"].get("shortcuts") or () if is_shortcut(each)]
    if not found:
        return link
    link["summary"] += f". The label can be told from something beside the object: {', '.join(found)}"
    return {**link, "status": counted(len(found), "shortcut"), "tone": "warn"}


def _training(documents: Mapping[str, Any]) -> dict[str, Any]:
    training = documents["training_summary"]
    summary = f"{training['model']['backbone']}, trained: {trained_part(training['model'])}"
    link = {"title": "Training", "path": "training.html", "summary": summary}
    if not _trained_since(documents):
        return link
    when = f", started {minute(training['started_at'])} UTC" if training.get("started_at") else ""
    return {**link, "summary": summary + when, "status": "not evaluated"}


def _validation(documents: Mapping[str, Any]) -> dict[str, Any]:
    validation = documents["validation"]
    n_contradicted, n_warnings = validation.get("n_contradicted"), len(validation["warnings"])
    disputes = f", {number(n_contradicted)} with contradictory labels" if n_contradicted else ""
    link = {
        "title": "Data and labels",
        "path": "data_docs/index.html",
        "summary": f"{counted(validation['n_images'], 'image')}{disputes}, "
        f"{number(validation['n_quarantined'])} quarantined, {counted(n_warnings, 'warning')}",
        "status": "passed" if validation["success"] else "failed",
    }
    if validation["success"] and n_warnings:
        return {**link, "status": counted(n_warnings, "warning"), "tone": "warn"}
    return link


def _drift(documents: Mapping[str, Any]) -> dict[str, Any]:
    verdict, decision = documents["drift"], documents.get("decision") or {}
    about, summary = verdict.get("model_version"), verdict["reason"]
    champion = decision.get("champion_version")
    if decision.get("alias") == "champion":
        champion = decision.get("challenger_version")
    if about and champion and str(about) != str(champion):
        summary = f"Of version {about}; champion after the run above: version {champion}. {summary}"
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
    link = {
        "title": "Label audit",
        "path": "label_audit.html",
        "summary": f"{number(n_issues)} of {counted(n_judged, 'label')} {'is' if n_issues == 1 else 'are'} "
        "probably wrong",
    }
    return {**link, "status": f"{number(n_issues)} doubtful", "tone": "warn"} if n_issues else link


_LinkOf = Callable[[Mapping[str, Any]], "dict[str, Any] | None"]
_OF_A_RUN: tuple[tuple[str, _LinkOf], ...] = (  # document that must be there -> link
    ("decision", _decision),
    ("decision", _card),
    ("evaluation", _evaluation),
    ("examination", _examination),
    ("training_summary", _training),
    ("validation", _validation),
)
_OF_OTHERS: tuple[tuple[str, _LinkOf], ...] = (
    ("drift", _drift),
    ("drift", _evidently),
    ("label_audit", _label_audit),
)
