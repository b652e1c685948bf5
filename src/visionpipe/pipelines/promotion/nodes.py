"""Let the candidate challenge the champion."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from visionpipe.images.parameters import IngestionParameters
from visionpipe.pipelines.annotations import Candidate, DataFrame, DataVersion, ImageReader, Registry
from visionpipe.promotion.parameters import PromotionParameters


def gather_card_facts(
    candidate: Candidate,
    evaluation: dict,
    examination: dict,
    validation_result: dict,
    admitted_manifest: DataFrame,
    environment: dict,
    parameters: PromotionParameters,
    ingestion: IngestionParameters,
) -> dict:
    """Gather what a model card says, but for the verdict."""
    from visionpipe.images.composition import composition
    from visionpipe.models.classifier import weights_sha256

    return {
        "card": parameters.card.model_dump(),
        "evaluation": evaluation,
        "examination": examination,
        "validation": validation_result,
        "composition": composition(admitted_manifest),
        "privacy": ingestion.privacy.model_dump(),
        "environment": environment,
        "written_on": environment["day"],
        "weights_sha256": weights_sha256(candidate.classifier),
    }


def promote_candidate(
    registry: Registry,
    candidate: Candidate,
    card_facts: dict,
    admitted_manifest: DataFrame,
    image_bytes: ImageReader,
    data_version_of: Callable[[dict[str, Any] | None], DataVersion],
    parameters: PromotionParameters,
    ingestion: IngestionParameters,
) -> dict:
    """Judge, register with its card and with what it accepts if it wins, and say why.

    Data and provenance are those of its training.
    """
    from visionpipe.promotion.contest import contest, report
    from visionpipe.promotion.model_version import ACCEPTANCE
    from visionpipe.reports.automation import left_to_a_person
    from visionpipe.reports.model_card import card_papers

    data_version = data_version_of(candidate.origin)
    evaluation, provenance = card_facts["evaluation"], candidate.origin["provenance"]
    about = {"model_name": registry.model_name, "provenance": provenance, "data": data_version.as_dict()}
    card = card_papers(card_facts, about)
    promotion = contest(
        registry,
        candidate,
        evaluation,
        admitted_manifest,
        image_bytes,
        {**provenance, **data_version.tags()},
        parameters,
        examination=card_facts["examination"],
        papers=lambda decision: {**card(decision), ACCEPTANCE: ingestion.acceptance()},
    )
    said = report(
        promotion,
        registry.model_name,
        {**provenance, **data_version.tags()},
        data_version.as_dict(),
        evaluation["demo_notice"],
    )
    return {
        **said,
        "decided_on": card_facts["written_on"],
        "model": evaluation["model"],  # the index tells by it whose pages it links
        "left_to_a_person": left_to_a_person(evaluation),
    }


def render_decision(decision: dict) -> str:
    """Render the decision for a manager."""
    from visionpipe.reports.pages import decision_page

    return decision_page(decision)


def render_model_card(card_facts: dict, decision: dict) -> tuple[str, str]:
    """Render the model card as a page and as Markdown."""
    from visionpipe.reports.model_card import model_card

    card = model_card(card_facts, decision)
    return card.html, card.markdown


def render_index(
    earlier_reports: Mapping[str, dict],
    decision: dict,
    evaluation: dict,
    examination: dict,
    validation_result: dict,
) -> str:
    """Render the page that links every report of the run, and those of other pipelines."""
    from visionpipe.reports.index import run_index

    run = {
        "decision": decision,
        "evaluation": evaluation,
        "examination": examination,
        "validation": validation_result,
    }
    return run_index({**earlier_reports, **run})
