"""Evaluation as data flow."""

from kedro.pipeline import Pipeline, node, pipeline

from visionpipe.pipelines.evaluation.nodes import (
    evaluate_candidate,
    examine_candidate,
    predict_test,
    render_evaluation,
    render_examination,
    render_index,
    render_training,
)


def create_pipeline() -> Pipeline:
    """Candidate, prepared images -> test predictions, evaluation, examination -> reports, also on the training."""
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
                inputs=[
                    "evaluation",
                    "test_predictions",
                    "prepared_images",
                    "image_store",
                    "params:evaluation",
                ],
                outputs="evaluation_report",
                name="render_evaluation",
            ),
            node(
                examine_candidate,
                inputs=[
                    "candidate",
                    "admitted_manifest",
                    "test_predictions",
                    "prepared_images",
                    "unrelated_photos",
                    "params:evaluation",
                ],
                outputs="examination",
                name="examine_candidate",
            ),
            node(
                render_examination,
                inputs=[
                    "examination",
                    "candidate",
                    "test_predictions",
                    "prepared_images",
                    "image_store",
                    "unrelated_photos",
                    "params:evaluation",
                ],
                outputs="examination_report",
                name="render_examination",
            ),
            node(
                render_index,
                inputs=["earlier_reports", "evaluation", "examination"],
                outputs="evaluation_index",
                name="render_evaluation_index",
            ),
            create_training_report(),
        ]
    )


def create_training_report() -> Pipeline:
    """Training log, candidate -> report on them and what the index says of it, index; asks no test image.

    A part of the evaluation as DVC runs it, which would train again if a page's template were part of the training.
    """
    return pipeline(
        [
            node(
                render_training,
                inputs=[
                    "training_log",
                    "candidate",
                    "admitted_manifest",
                    "earlier_reports",
                    "params:evaluation",
                ],
                outputs=["training_report", "training_summary", "training_index"],
                name="render_training",
            ),
        ]
    )
