"""Evaluation as data flow."""

from kedro.pipeline import Pipeline, node, pipeline

from visionpipe.pipelines.evaluation.nodes import evaluate_candidate, predict_test, render_evaluation


def create_pipeline() -> Pipeline:
    """Candidate, prepared images -> test predictions -> evaluation -> report."""
    return pipeline(
        [
            node(
                predict_test,
                inputs=["candidate", "admitted_manifest", "prepared_images"],
                outputs="test_predictions",
                name="predict_test",
            ),
            node(
                evaluate_candidate,
                inputs=["candidate", "test_predictions", "admitted_manifest", "params:evaluation"],
                outputs="evaluation",
                name="evaluate_candidate",
            ),
            node(
                render_evaluation,
                inputs=["evaluation", "test_predictions", "prepared_images", "params:evaluation"],
                outputs="evaluation_report",
                name="render_evaluation",
            ),
        ]
    )
