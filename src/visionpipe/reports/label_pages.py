"""The pages on whether data and labels can be trusted: what validation found, and which labels are doubtful.

As in `visionpipe.reports.pages`: pure functions, one self-contained file each, all text from data escaped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from visionpipe.reports.rendering import render
from visionpipe.reports.wording import counted, is_number

MAX_LISTED_CONFUSIONS = 12
MAX_DISPUTED_PICTURES = 60
MAX_LISTED_DISAGREEMENTS = 500  # the page stays small enough to open; the JSON document lists all

_MEASURES = {
    "krippendorff_alpha": ("Krippendorff's alpha", "Any number of annotators, with gaps"),
    "fleiss_kappa": ("Fleiss' kappa", "The same number of annotators for each image"),
    "cohen_kappa": ("Cohen's kappa", "Two annotators"),
}
# Krippendorff (2004), "Reliability in Content Analysis"
_ALPHA_BANDS = ((0.8, "reliable"), (0.667, "fit for tentative conclusions"), (-1.0, "too low to rely on"))
# Landis and Koch (1977), Biometrics 33:159
_KAPPA_BANDS = (
    *((0.8, "almost perfect"), (0.6, "substantial"), (0.4, "moderate"), (0.2, "fair"), (0.0, "slight")),
    (-1.0, "worse than chance"),
)


def agreement_in_words(found: Mapping[str, Any]) -> str:
    """Say what an agreement's whole interval allows to be said, by the authors' own bands.

    >>> agreement_in_words({"statistic": "krippendorff_alpha", "estimate": 0.85, "low": 0.81, "high": 0.9})
    'reliable'
    >>> agreement_in_words({"statistic": "cohen_kappa", "estimate": 0.62, "low": 0.5, "high": 0.7})
    'moderate to substantial'
    """
    if not is_number(found["low"]) or not is_number(found["high"]):
        return "cannot be said"
    bands = _ALPHA_BANDS if found["statistic"] == "krippendorff_alpha" else _KAPPA_BANDS
    low, high = (
        next((words for least, words in bands if value >= least), bands[-1][1])
        for value in (found["low"], found["high"])
    )
    return low if low == high else f"{low} to {high}"


def validation_page(result: Mapping[str, Any], sections: Mapping[str, str]) -> str:
    """Return the page on whether the data are fit for training.

    Parameters
    ----------
    result
        `visionpipe.quality.expectations.ValidationOutcome.result`.
    sections
        Table -> Great Expectations' own rendering of its expectations; HTML, already escaped.

    Returns
    -------
    str
        HTML, to lie in a folder below the index.
    """
    warnings, failures = result["warnings"], result["failures"]
    if failures:
        tone, headline = "bad", "The data failed: nothing is trained on them"
        n_all = len(result["expectations"])
        why = f"{len(failures)} of {n_all} expectations {'stops' if len(failures) == 1 else 'stop'} the run."
    elif warnings:
        tone, headline = "warn", "The data passed, with warnings"
        why = "Training goes on. The warnings say where its figures will be uncertain, or where to look."
    else:
        tone, headline, why = "good", "The data passed", "Every expectation on them is met."
    found = result.get("agreement") or {}
    measured = [found["krippendorff_alpha"], *found["kappas"]] if found else []
    optional = ("n_classes", "n_contradicted", "n_settled", "n_flagged", "flags", "batch")
    return render(
        "validation.html",
        **{name: result.get(name) for name in optional},
        tone=tone,
        headline=headline,
        why=why,
        n_images=result["n_images"],
        n_quarantined=result["n_quarantined"],
        n_expectations=len(result["expectations"]),
        n_met=sum(check["success"] for check in result["expectations"]),
        n_warnings=len(warnings),
        failures=failures,
        warnings=warnings,
        per_class=result.get("images_per_class") or {},
        agreement=_agreement_rows(measured),
        not_judged=found.get("not_judged") if _agreement_rows(measured) else None,
        contradictions=result.get("contradictions") or [],
        sections=sections,
    )


def label_audit_page(
    audit: Mapping[str, Any],
    disagreements: Sequence[Mapping[str, Any]],
    doubtful: Sequence[Mapping[str, Any]],
    thumbnails: Mapping[str, bytes],
) -> str:
    """Return the page of labels that somebody should look at: contradictory ones, then doubtful ones.

    Parameters
    ----------
    audit
        `n_images`, `n_judged`, `n_issues`, `agreement_with_model`, `per_class`, `confusions`
        (`visionpipe.quality.label_noise.summarise_audit`) and `agreement` (`krippendorff_alpha`, `kappas`,
        `not_judged`).
    disagreements
        `visionpipe.quality.votes.list_disagreements`.
    doubtful
        Rows of the ranking to be shown, the most doubtful first: `image_id, path, label, suggested_label,
        self_confidence, split`.
    thumbnails
        Image id -> JPEG or PNG bytes.

    Returns
    -------
    str
        HTML.
    """
    n_issues, still_open = audit["n_issues"], [each for each in disagreements if not each["settled"]]
    doubts = [
        counted(n, f"{word} label")
        for n, word in ((n_issues, "doubtful"), (len(still_open), "contradictory"))
        if n
    ]
    found = audit["agreement"]
    rows = _agreement_rows([found["krippendorff_alpha"], *found["kappas"]])
    return render(
        "label_audit.html",
        tone="warn" if doubts else "good",
        headline=" and ".join(doubts) or "No label is in doubt",
        why="Each label was compared with what a model says that never saw the photo nor its near-duplicates "
        "(confident learning). Nothing is changed here: correct what you find wrong, and the next run learns from it.",
        **{
            key: audit[key]
            for key in ("n_images", "n_judged", "n_issues", "agreement_with_model", "per_class")
        },
        confusions=audit["confusions"][:MAX_LISTED_CONFUSIONS],
        n_open=len(still_open),
        n_settled=len(disagreements) - len(still_open),
        n_disagreements=len(disagreements),
        agreement=rows,
        not_judged=found["not_judged"],
        disagreements=disagreements[:MAX_LISTED_DISAGREEMENTS],
        disputed_pictures=[
            {**each, "thumbnail": thumbnails.get(each["image_id"])}
            for each in still_open[:MAX_DISPUTED_PICTURES]
        ],
        doubtful=[{**each, "thumbnail": thumbnails.get(each["image_id"])} for each in doubtful],
    )


def _agreement_rows(measured: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the measures that have an estimate, with their names and what they say."""
    rows = []
    for found in measured:
        if not is_number(found["estimate"]):
            continue
        name, meaning = _MEASURES[found["statistic"]]
        if found["annotators"]:
            meaning = " and ".join(found["annotators"])
        rows.append({**found, "name": name, "meaning": meaning, "words": agreement_in_words(found)})
    return rows
