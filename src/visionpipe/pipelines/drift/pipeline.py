"""Drift detection as data flow."""

from kedro.pipeline import Pipeline, node, pipeline

from visionpipe.pipelines.drift.nodes import detect_drift, index_drift, render_drift


def create_pipeline() -> Pipeline:
    """Champion's reference, prediction log -> verdict -> reports, index."""
    return pipeline(
        [
            node(
                detect_drift,
                inputs=["champion", "logged_predictions", "params:drift", "clock"],
                outputs=["drift_verdict", "judged_reference", "judged_predictions"],
                name="detect_drift",
            ),
            node(
                render_drift,
                inputs=[
                    "champion",
                    "drift_verdict",
                    "judged_reference",
                    "judged_predictions",
                    "params:drift",
                ],
                outputs=["drift_report", "drift_evidently_report"],
                name="render_drift",
            ),
            node(
                index_drift,
                inputs=["earlier_reports", "drift_verdict"],
                outputs="drift_index",
                name="index_drift",
            ),
        ]
    )
