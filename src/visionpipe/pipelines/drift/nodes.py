"""Has production moved away from what the champion was validated on? Judged without labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from visionpipe.monitoring.parameters import DriftParameters
from visionpipe.pipelines.annotations import Champion, DataFrame


def detect_drift(
    champion: Champion, logged_predictions: Callable[..., Any], parameters: DriftParameters, now: datetime
) -> tuple[dict, DataFrame, DataFrame]:
    """Test the logged predictions against the champion's reference; return verdict and the rows compared."""
    from visionpipe.monitoring.drift import detect_drift as detect
    from visionpipe.monitoring.tested_rows import choose_rows

    candidate = champion.candidate
    classes = candidate.classifier.spec.classes
    log = logged_predictions(
        classes=classes, model_version=champion.version, window_days=parameters.window_days
    )
    verdict = detect(
        candidate.reference,
        log.rows,
        classes,
        parameters,
        model_version=champion.version,
        refused_rows=log.refused_rows,
        refused_files=log.refused_files,
        other_versions=log.other_versions,
        now=now,
    )
    rows = choose_rows(candidate.reference, log.rows, parameters, model_version=champion.version)
    return verdict.as_dict(), rows.reference, rows.current


def render_drift(
    champion: Champion,
    drift_verdict: dict,
    judged_reference: DataFrame,
    judged_predictions: DataFrame,
    parameters: DriftParameters,
) -> tuple[str, str]:
    """Render our page and Evidently's report."""
    from visionpipe.monitoring.evidently_report import render_evidently
    from visionpipe.reports.pages import drift_page

    evidently = render_evidently(
        judged_reference,
        judged_predictions,
        ["predicted_label", *parameters.features],
        verdict=drift_verdict["reason"],
    )
    notice = (champion.evaluation or {}).get("demo_notice")
    shown = {**drift_verdict, "evidently_report": "drift_evidently.html", "demo_notice": notice}
    return drift_page(shown), evidently


def index_drift(earlier_reports: Mapping[str, dict], drift_verdict: dict) -> str:
    """Link this report on the page that links all reports."""
    from visionpipe.reports.index import run_index

    return run_index({**earlier_reports, "drift": drift_verdict})
