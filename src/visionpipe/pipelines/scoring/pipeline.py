"""Scoring as data flow."""

from kedro.pipeline import Pipeline, node, pipeline

from visionpipe.pipelines.scoring.nodes import receive_photos, score_arrivals, summarise_scoring


def create_pipeline() -> Pipeline:
    """Arriving photos, champion -> arrivals, prediction log -> summary."""
    return pipeline(
        [
            node(
                receive_photos,
                inputs=[
                    "arriving_photos",
                    "known_arrivals",
                    "known_delayed_labels",
                    "known_arrival_files",
                    "params:ingestion",
                ],
                outputs=["arrivals", "delayed_labels", "arrival_files"],
                name="receive_photos",
            ),
            node(
                score_arrivals,
                inputs=["champion", "arrivals", "arrival_bytes", "logged_predictions", "clock"],
                outputs="prediction_log",
                name="score_arrivals",
            ),
            node(
                summarise_scoring,
                inputs=[
                    "champion",
                    "prediction_log",
                    "arrivals",
                    "delayed_labels",
                    "params:evaluation",
                    "params:ingestion",
                ],
                outputs="scoring_summary",
                name="summarise_scoring",
            ),
        ]
    )
