"""Reviewed labels: what reviewers hand in, and the simulated reviewers of the demo."""

from __future__ import annotations

import hashlib

import pandas as pd

from visionpipe.retraining.parameters import FeedbackParameters

SIMULATED = "simulated-reviewer"


def simulate_reviews(
    arrivals: pd.DataFrame,
    delayed_labels: pd.DataFrame,
    reviews: pd.DataFrame,
    parameters: FeedbackParameters,
) -> list[dict]:
    """Let simulated reviewers label a random share of the arrivals.

    Each arrival is drawn by a hash of its id, whatever the model thought of it: a random audit, fit for the test
    split.

    Parameters
    ----------
    arrivals : DataFrame
        Index of the arrivals.
    delayed_labels : DataFrame
        The labels that simulated reviewers know.
    reviews : DataFrame
        Reviews handed in already; none is made twice.
    parameters : FeedbackParameters
        Share and salt.

    Returns
    -------
    list of dict
        Rows of the review table, `annotator` "simulated-reviewer".
    """
    simulated = arrivals.loc[arrivals["source"].isin(parameters.simulated_sources), "image_id"]
    drawn = {
        image_id
        for image_id in simulated
        if _position(image_id, parameters.seed) < parameters.simulated_share
    }
    done = set(reviews["image_id"])
    known = delayed_labels[delayed_labels["image_id"].isin(drawn - done)]
    known = known.drop_duplicates("image_id", keep="last")  # a photo that arrived twice was labelled twice
    return [
        {
            "image_id": row.image_id,
            "label": row.label,
            "label_confidence": row.label_confidence,
            "annotator": SIMULATED,
            "labelled_at": row.labelled_at,
            "origin": "review",
            "selection": "random_audit",
        }
        for row in known.itertuples()
    ]


def _position(image_id: str, seed: str) -> float:
    return int.from_bytes(hashlib.sha256(f"{seed}:{image_id}".encode()).digest()[:8], "big") / 2**64
