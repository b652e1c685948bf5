"""The page on how good a model is, on images that it has not seen.

As in `visionpipe.reports.pages`: a pure function, one self-contained file, all text from data escaped.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from visionpipe.errors import VisionpipeError
from visionpipe.reports import plots
from visionpipe.reports.automation import automatic_share, left_to_a_person
from visionpipe.reports.findings import commonest_confusions, dearest_mistakes, most_mistaken
from visionpipe.reports.model_facts import model_facts
from visionpipe.reports.rendering import render, require
from visionpipe.reports.wording import is_number, metric_in_words

MAX_PICTURED_MISTAKES = 60  # about 10 kB each: the page stays small enough to mail
MAX_DRAWN_CLASSES = 50
MAX_LISTED_PAIRS = 20


def evaluation_page(evaluation: Mapping[str, Any], mistakes: Sequence[Mapping[str, Any]]) -> str:
    """Return the page on how good a model is, on images it has not seen.

    Parameters
    ----------
    evaluation
        Must hold `title`, `classes` (K names), `metrics` (name -> interval) and `confusion` (K x K counts,
        rows true). May hold `model` and `data` (split -> class -> count), `per_class` (class -> `recall`,
        `precision`, `n`, `verdict`), `reliability` (bins), `selective` (`aurc`, `curve`, `deferral`), `costs`
        (`matrix`, K x K, `achieved`, `likeliest`), `slices` (column -> value -> `n`, `accuracy`, `verdict`),
        `slice_pairs` (weakest first), `worst_slice`, `notes` (list of str), `training_report` and
        `examination_report` (paths relative to the page), `demo_notice`: see
        `visionpipe.metrics.evaluation.evaluate`. An interval holds `estimate`, `low`, `high`, `level`, or
        `estimate: None` and a `reason`.
    mistakes
        Mappings of `image_id`, `true`, `predicted`, `confidence` (0 to 1), `thumbnail` (JPEG or PNG bytes)
        and `source_path`; the 60 most confident are pictured.

    Returns
    -------
    str
        HTML.

    Raises
    ------
    VisionpipeError
        A required key is missing, or the confusion matrix is not K x K.
    """
    require(evaluation, "evaluation", "title", "classes", "metrics", "confusion")
    classes, confusion = (
        list(evaluation["classes"]),
        [[int(n) for n in row] for row in evaluation["confusion"]],
    )
    if len(confusion) != len(classes) or any(len(row) != len(classes) for row in confusion):
        raise VisionpipeError(
            f"evaluation.confusion: {len(confusion)} rows of {sorted({len(row) for row in confusion})} "
            f"counts for {len(classes)} classes; give one row and one column a class"
        )
    per_class = evaluation.get("per_class") or {}
    in_class_table = {f"{metric}[{name}]" for name in per_class for metric in ("recall", "precision")}
    metrics = {
        name: found
        for name, found in evaluation["metrics"].items()
        if isinstance(found, Mapping) and name not in in_class_table  # "n" is a count among the metrics
    }
    bins = evaluation.get("reliability") or []
    selective = evaluation.get("selective") or {}
    curve = selective.get("curve") or []
    flawless = bool(curve) and curve[-1][1] == 0
    pairs = evaluation.get("slice_pairs") or []
    costs = evaluation.get("costs")
    drawn = most_mistaken(confusion, MAX_DRAWN_CLASSES)
    kept = {classes[i]: per_class[classes[i]] for i in drawn if classes[i] in per_class}
    ranked = sorted(mistakes, key=lambda m: (-_or_nothing(m.get("confidence")), str(m.get("image_id"))))
    return render(
        "evaluation.html",
        **{key: evaluation.get(key) or {} for key in ("data", "slices")},
        model=model_facts(evaluation["model"], classes) if evaluation.get("model") else {},
        automatic=automatic_share(evaluation),
        left_to_a_person=left_to_a_person(evaluation),
        title=evaluation["title"],
        notes=evaluation.get("notes") or [],
        demo_notice=evaluation.get("demo_notice"),
        classes=classes,
        metrics=metrics,
        lead="accuracy" if "accuracy" in metrics else next(iter(metrics), None),
        per_class=per_class,
        n_test=sum(map(sum, confusion)),
        n_right=sum(confusion[i][i] for i in range(len(classes))),
        n_drawn=len(drawn),
        confusions=commonest_confusions(confusion, classes),
        confusion_plot=plots.confusion_matrix(
            [[confusion[i][j] for j in drawn] for i in drawn], [classes[i] for i in drawn]
        )
        if any(map(any, confusion))
        else None,
        class_plot=plots.bar_per_class(kept) if kept else None,
        reliability_plot=plots.reliability_diagram(bins) if any(b.get("count") for b in bins) else None,
        selective=selective,
        flawless=flawless,
        risk_coverage_plot=plots.risk_coverage(curve, selective.get("deferral"))
        if curve and not flawless
        else None,
        costs=costs,
        dearest=dearest_mistakes(costs["matrix"], confusion, classes) if costs else [],
        slice_pairs=[
            {**pair, "metric": metric_in_words(str(pair["metric"]))} for pair in pairs[:MAX_LISTED_PAIRS]
        ],
        n_slice_pairs=len(pairs),
        worst_slice=evaluation.get("worst_slice"),
        training_report=evaluation.get("training_report"),
        examination_report=evaluation.get("examination_report"),
        mistakes=ranked[:MAX_PICTURED_MISTAKES],
        n_mistakes=len(ranked),
    )


def _or_nothing(confidence: Any) -> float:
    return float(confidence) if is_number(confidence) else -math.inf
