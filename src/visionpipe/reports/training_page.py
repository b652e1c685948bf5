"""The page on how a model was trained: how it learned, what moved, and which recipe was chosen why.

As in `visionpipe.reports.pages`: a pure function, one self-contained file, all text from data escaped.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from visionpipe.reports.model_facts import model_facts
from visionpipe.reports.rendering import render
from visionpipe.reports.training_plots import has_a_curve, training_curves
from visionpipe.reports.wording import is_number


def training_page(training: Mapping[str, Any]) -> str:
    """Return the page on how a model was trained.

    Parameters
    ----------
    training
        Any of `model` (`describe_model`'s facts), `classes`, `curves` (see `training_curves`, `seconds`, each
        epoch's, and `head`: the same of the head's fit, which is drawn where nothing else was trained),
        `moved` (mappings of `part`, `n_parameters` and `moved`, a bool), `recipe` (mappings of `name`,
        `value` and `why`), `kept_epoch` (None: the weights before the first; by default that of the lowest
        validation loss), `n_validation_images`, `unjudged_classes` (names of those without any; then the last
        epoch was kept), `started_at` (ISO 8601, UTC) and `demo_notice`; a missing or empty one leaves no section.

    Returns
    -------
    str
        HTML.
    """
    curves = dict(training.get("curves") or {})
    head = curves.pop("head", None) or {}
    phases = _phase_table(head) + _phase_table(curves)
    moved = training.get("moved") or []
    kept = training.get("kept_epoch", _lowest(curves))
    if only_head := bool(head and not curves.get("epoch")):
        curves, kept = head, _last_improved(head)
    if overfit := curves.get("overfit"):  # what came down again before the kept epoch is none
        curves["overfit"] = [
            flag and epoch >= (kept or 0) for epoch, flag in zip(curves["epoch"], overfit, strict=True)
        ]
    n_moved = sum(part["n_parameters"] for part in moved if part["moved"])
    return render(
        "training.html",
        demo_notice=training.get("demo_notice"),
        started_at=training.get("started_at"),
        model=model_facts(training["model"], training.get("classes") or ()) if training.get("model") else {},
        curves_plot=training_curves(curves, kept) if has_a_curve(curves) else None,
        n_epochs=len(curves.get("epoch") or ()),
        only_head=only_head,
        kept=_at(curves, kept) if kept else None,
        kept_head=_at(head, _last_improved(head)) if head and not kept else None,
        n_validation=training.get("n_validation_images"),
        unjudged=training.get("unjudged_classes"),
        overfit_from=_first_overfit(curves, kept),
        watched="overfit" in curves,
        seconds=sum(phase["seconds"] or 0 for phase in phases) or None,
        images_per_s=_median(curves.get("images_per_s") or ()),
        phases=phases,
        in_bands=len(set(curves.get("phase") or ())) > 1,
        moved=moved,
        n_moved=n_moved,
        n_parameters=sum(part["n_parameters"] for part in moved),
        recipe=training.get("recipe") or [],
    )


def _lowest(curves: Mapping[str, Any]) -> int | None:
    """Return the epoch of the lowest validation loss."""
    pairs = [
        (loss, epoch)
        for epoch, loss in zip(curves.get("epoch") or (), curves.get("validation_loss") or (), strict=False)
        if is_number(loss)
    ]
    return min(pairs)[1] if pairs else None


def _last_improved(curves: Mapping[str, Any]) -> int | None:
    """Return the last epoch whose weights were kept."""
    epochs = zip(curves["epoch"], curves.get("improved") or (), strict=False)
    return max((epoch for epoch, improved in epochs if improved), default=None)


def _at(curves: Mapping[str, Any], epoch: int | None) -> dict[str, Any]:
    """Return every series' value at an epoch; nothing where it is None."""
    if epoch is None:
        return {}
    place = list(curves["epoch"]).index(epoch)
    return {name: values[place] for name, values in curves.items() if len(values or ()) > place}


def _first_overfit(curves: Mapping[str, Any], kept: int | None) -> int | None:
    """Return the first epoch that overfitted, of those from the kept one on: before it the loss came down again."""
    flags = zip(curves.get("epoch") or (), curves.get("overfit") or (), strict=False)
    return next((epoch for epoch, overfit in flags if overfit and epoch >= (kept or 0)), None)


def _median(values: Any) -> float | None:
    from statistics import median

    numbers = [value for value in values if is_number(value)]
    return median(numbers) if numbers else None


def _phase_table(curves: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return one row a phase, in order: its epochs, best validation loss, seconds and images a second."""
    names = list(curves.get("phase") or ())
    rows = []
    for name in dict.fromkeys(names):

        def during(series: str, name: str = name) -> list[float]:
            pairs = zip(names, curves.get(series) or (), strict=False)
            return [value for phase, value in pairs if phase == name and is_number(value)]

        rows.append(
            {
                "name": name,
                "n_epochs": names.count(name),
                "validation_loss": min(during("validation_loss"), default=None),
                "learning_rate": max(during("learning_rate"), default=None),
                "seconds": sum(during("seconds")) or None,
                "images_per_s": _median(during("images_per_s")),
            }
        )
    return rows
