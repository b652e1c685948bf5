"""Bring reviewed labels back as training data."""

from __future__ import annotations

from visionpipe.pipelines.annotations import DataFrame
from visionpipe.retraining.parameters import FeedbackParameters


def collect_reviews(
    known_arrivals: DataFrame,
    known_delayed_labels: DataFrame,
    known_reviews: DataFrame,
    parameters: FeedbackParameters,
) -> list[dict]:
    """Return new rows for the review table: those of simulated reviewers, where the demo asks for them."""
    from visionpipe.retraining.reviews import simulate_reviews

    return simulate_reviews(known_arrivals, known_delayed_labels, known_reviews, parameters)
