"""Evaluation as data flow."""

from kedro.pipeline import Pipeline, node, pipeline

from visionpipe.pipelines.evaluation.nodes import (
    evaluate_candidate,
    predict_test,
    render_evaluation,
    render_training,
)


def create_pipeline() -> Pipeline:
    """Candidate, prepared images -> test predictions -> evaluation -> reports on it and on the training."""
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
            # not in the training pipeline: there, DVC would train again when a page's template changes
            node(
                render_training,
                inputs=["training_log", "evaluation"],
                outputs="training_report",
                name="render_training",
            ),
        ]
    )
