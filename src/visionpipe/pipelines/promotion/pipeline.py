"""Promotion as data flow."""

from kedro.pipeline import Pipeline, node, pipeline

from visionpipe.pipelines.promotion.nodes import (
    gather_card_facts,
    promote_candidate,
    render_decision,
    render_index,
    render_model_card,
)


def create_pipeline() -> Pipeline:
    """Candidate, evaluation, registry -> decision -> report, model card, index."""
    return pipeline(
        [
            node(
                gather_card_facts,
                inputs=[
                    "candidate",
                    "evaluation",
                    "examination",
                    "validation_result",
                    "admitted_manifest",
                    "environment",
                    "params:promotion",
                    "params:ingestion",
                ],
                outputs="card_facts",
                name="gather_card_facts",
            ),
            node(
                promote_candidate,
                inputs=[
                    "model_registry",
                    "candidate",
                    "card_facts",
                    "admitted_manifest",
                    "image_bytes",
                    "data_version",
                    "params:promotion",
                    "params:ingestion",
                ],
                outputs="decision",
                name="promote_candidate",
            ),
            node(render_decision, inputs="decision", outputs="decision_report", name="render_decision"),
            node(
                render_model_card,
                inputs=["card_facts", "decision"],
                outputs=["model_card", "model_card_markdown"],
                name="render_model_card",
            ),
            node(
                render_index,
                inputs=["earlier_reports", "decision", "evaluation", "examination", "validation_result"],
                outputs="report_index",
                name="render_index",
            ),
        ]
    )
