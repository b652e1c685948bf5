"""The page on how far a model can be trusted beyond its test images.

As in `visionpipe.reports.pages`: a pure function, one self-contained file, all text from data escaped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from visionpipe.reports.examination_plots import attack_curves, corruption_curves
from visionpipe.reports.rendering import render

_TITLES = {"jpeg": "JPEG compression"}
_SWITCHES = {  # part -> its parameter under evaluation.examination; 0 is off
    "corruptions": "images",
    "adversarial": "attacked_images",
    "out_of_distribution": "unrelated_images",
    "shortcuts": "shortcut_images",
    "speed": "timed_predictions",
}


def examination_page(
    examination: Mapping[str, Any],
    mistakes: Sequence[Mapping[str, Any]] = (),
    examples: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
) -> str:
    """Return the page on a model's examination.

    Parameters
    ----------
    examination
        What `visionpipe.models.examination.examine` returns, and `classes` (names), `model`, `demo_notice`; a missing
        or empty part leaves no section, and its parameter is named.
    mistakes
        Mappings of `image_id`, `true`, `predicted`, `confidence`, `thumbnail` and `heat` (JPEG bytes; `heat` may be
        missing).
    examples
        `corruptions`, `unrelated`, `hidden` -> mappings of `caption` and `thumbnail` (JPEG bytes).

    Returns
    -------
    str
        HTML.
    """
    sample = examination.get("sample") or {}
    corruptions = examination.get("corruptions") or {}
    adversarial = examination.get("adversarial")
    commonest = (examination.get("hidden") or {}).get("majority")
    rows = sorted(
        (
            {
                "name": _TITLES.get(name, name),
                "mean": sum(entry["estimate"] for entry in entries) / len(entries),
                "entries": entries,
                "unit": (examination.get("corruption_units") or {}).get(name, ""),
                "surely_from": (examination.get("surely_worse_from") or {}).get(name),
            }
            for name, entries in corruptions.items()
        ),
        key=lambda row: row["mean"],
    )
    found = [
        entry for entry in examination.get("shortcuts") or () if entry["verdict"] == "predicts the label"
    ]
    return render(
        "examination.html",
        **{key: examination.get(key) for key in ("hidden", "size", "speed", "demo_notice")},
        out_of_distribution=examination.get("out_of_distribution"),
        mean_corruption_accuracy=examination.get("mean_corruption_accuracy"),
        sample=sample,
        plain=sample.get("accuracy"),
        commonest=commonest,
        switched_off=[switch for part, switch in _SWITCHES.items() if not examination.get(part)],
        all_off=not any(examination.get(part) for part in _SWITCHES),
        rows=rows,
        corruption_plot=corruption_curves(
            {_TITLES.get(name, name): entries for name, entries in corruptions.items()},
            sample["accuracy"],
            commonest,
        )
        if corruptions
        else None,
        adversarial=adversarial,
        attack_plot=attack_curves(adversarial) if adversarial else None,
        shortcuts=examination.get("shortcuts") or (),
        found_shortcuts=found,
        mistakes=list(mistakes),
        examples={key: (examples or {}).get(key) or () for key in ("corruptions", "unrelated", "hidden")},
        pgd_at=_breaking_point(adversarial) if adversarial else None,
    )


def _breaking_point(adversarial: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return PGD's first size of change that leaves half of the accuracy or less."""
    half = adversarial["accuracy"]["estimate"] / 2
    return next((entry for entry in adversarial["pgd"] if entry["accuracy"]["estimate"] <= half), None)
