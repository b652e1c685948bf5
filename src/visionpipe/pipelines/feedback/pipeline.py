"""Feedback as data flow."""

from kedro.pipeline import Pipeline, node, pipeline

from visionpipe.pipelines.feedback.nodes import collect_reviews


def create_pipeline() -> Pipeline:
    """Arrivals, delayed labels -> reviews, which ingestion reads."""
    return pipeline(
        [
            node(
                collect_reviews,
                inputs=["known_arrivals", "known_delayed_labels", "known_reviews", "params:feedback"],
                outputs="reviews",
                name="collect_reviews",
            ),
        ]
    )
