"""Promotion as data flow."""

from kedro.pipeline import Pipeline, node, pipeline

from visionpipe.pipelines.promotion.nodes import promote_candidate, render_decision, render_index


def create_pipeline() -> Pipeline:
    """Candidate, evaluation, registry -> decision -> report, index."""
    return pipeline(
        [
            node(
                promote_candidate,
                inputs=[
                    "model_registry",
                    "candidate",
                    "evaluation",
                    "admitted_manifest",
                    "image_bytes",
                    "data_version",
                    "provenance",
                    "parameters",
                    "params:promotion",
                ],
                outputs="decision",
                name="promote_candidate",
            ),
            node(render_decision, inputs="decision", outputs="decision_report", name="render_decision"),
            node(
                render_index,
                inputs=["decision", "evaluation", "validation_result"],
                outputs="report_index",
                name="render_index",
            ),
        ]
    )
