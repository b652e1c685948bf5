"""Let the candidate challenge the champion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from visionpipe.pipelines.annotations import Candidate, DataFrame, DataVersion, ImageReader, Registry
from visionpipe.promotion.parameters import PromotionParameters


def promote_candidate(
    registry: Registry,
    candidate: Candidate,
    evaluation: dict,
    admitted_manifest: DataFrame,
    image_bytes: ImageReader,
    data_version: DataVersion,
    provenance_of: Callable[[dict[str, Any]], dict[str, str]],
    all_parameters: dict[str, Any],
    parameters: PromotionParameters,
) -> dict:
    """Judge, register if it wins, and say why."""
    from visionpipe.promotion.contest import contest, report

    provenance = {**provenance_of(all_parameters), **data_version.tags()}
    promotion = contest(
        registry, candidate, evaluation, admitted_manifest, image_bytes, provenance, parameters
    )
    return report(
        promotion, registry.model_name, provenance, data_version.as_dict(), evaluation["demo_notice"]
    )


def render_decision(decision: dict) -> str:
    """Render the decision for a manager."""
    from visionpipe.reports.pages import decision_page

    return decision_page(decision)


def render_index(decision: dict, evaluation: dict, validation_result: dict) -> str:
    """Render the page that links every report of the run."""
    from visionpipe.reports.index import run_index

    return run_index(decision, evaluation, validation_result)
