"""Score what arrives with the champion, and log it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from visionpipe.images.parameters import IngestionParameters
from visionpipe.metrics.parameters import EvaluationParameters
from visionpipe.pipelines.annotations import Champion, DataFrame, ImageReader, Photo


def receive_photos(
    arriving_photos: list[Photo],
    known_arrivals: DataFrame,
    known_delayed_labels: DataFrame,
    known_arrival_files: DataFrame,
    parameters: IngestionParameters,
) -> Iterator[tuple[list[dict], list[dict], list[dict]]]:
    """Keep arriving photos, and yield rows for arrivals, delayed labels and their file index."""
    from visionpipe.errors import VisionpipeError
    from visionpipe.images.ingest import receive

    if not arriving_photos and known_arrivals.empty:
        raise VisionpipeError(
            "no photos to score: the sources of `arriving_photos` hold no file; name yours in "
            "conf/local/catalog.yml, as conf/base/catalog.yml shows"
        )
    known = (known_arrivals, known_delayed_labels, known_arrival_files)
    for chunk in receive(arriving_photos, *known, parameters):
        yield chunk.images, chunk.labels, chunk.files


def score_arrivals(
    champion: Champion,
    arrivals: DataFrame,
    arrival_bytes: ImageReader,
    logged_predictions: Callable[..., Any],
    now: datetime,
) -> DataFrame:
    """Predict the arrivals that this champion has neither predicted nor learned from; return rows for the log."""
    from visionpipe.monitoring.scoring import score_new

    candidate = champion.candidate
    return score_new(
        candidate.classifier,
        champion.version,
        arrivals,
        arrival_bytes,
        logged_predictions,
        now,
        seen=candidate.seen,
    )


def summarise_scoring(
    champion: Champion,
    prediction_log: Callable[..., Any],
    arrivals: DataFrame,
    delayed_labels: DataFrame,
    parameters: EvaluationParameters,
    ingestion: IngestionParameters,
) -> dict:
    """Compare the champion on its own test images with its arrivals, as far as their labels are known by now."""
    from visionpipe.monitoring.scoring import summarise

    candidate = champion.candidate
    return summarise(
        candidate.classifier.spec.classes,
        champion.version,
        champion.evaluation,
        prediction_log,
        delayed_labels,
        parameters,
        arrivals=arrivals,
        seen=candidate.seen,
        group_by=ingestion.split.group_by,
    )
