"""Predict what arrives, as rows of the prediction log, and sum up how it went."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from visionpipe.counting import counted
from visionpipe.images.prepare import decode_batches
from visionpipe.images.store import ImageReader
from visionpipe.metrics.evaluation import evaluate
from visionpipe.metrics.parameters import EvaluationParameters
from visionpipe.metrics.robustness import accuracy_entry
from visionpipe.models.classifier import ImageClassifier
from visionpipe.monitoring.prediction_log import PredictionLog

logger = logging.getLogger(__name__)
_MEASURED = ["brightness", "contrast", "sharpness"]


def score_new(
    classifier: ImageClassifier,
    model_version: str,
    arrivals: pd.DataFrame,
    read: ImageReader,
    logged: Callable[..., PredictionLog],
    now: datetime,
    *,
    seen: pd.DataFrame,
) -> pd.DataFrame:
    """Predict the arrivals that this champion has not predicted yet, but for those that it learned from.

    Reviewed arrivals come back as training images of the next champion, which answers them by heart: to it they are
    no production.

    Parameters
    ----------
    classifier : ImageClassifier
        The model in production.
    model_version : str
        Its version in the registry.
    arrivals : DataFrame
        Index of the arrivals' store.
    read : ImageReader
        Streams their bytes.
    logged : callable
        Reads the prediction log, given `classes` and `model_version`.
    now : datetime
        Time of the request [UTC].
    seen : DataFrame
        `visionpipe.models.candidate.Candidate.seen` of the champion: what it was trained or tuned on.

    Returns
    -------
    DataFrame
        Rows of the prediction log; none when there is nothing new.
    """
    rows = logged(classes=classifier.spec.classes, model_version=model_version).rows
    is_learned_N = _is_learned(arrivals["image_id"], seen)
    if is_learned_N.any():
        logger.info(
            "%s left out: version %s was trained or tuned on them, so what it says of them is no evidence",
            *(counted(int(is_learned_N.sum()), "arrival"), model_version),
        )
    new = arrivals[~is_learned_N & ~arrivals["image_id"].isin(rows["image_id"])]
    predicted = list(_predictions(classifier, read, new["image_id"].tolist()))
    if not predicted:
        return pd.DataFrame()
    attributes = pd.DataFrame([dict(pairs or ()) for pairs in new["attributes"]], index=new["image_id"])
    measured = new.set_index("image_id")[_MEASURED].join(attributes)
    table = pd.DataFrame(predicted).join(measured, on="image_id")
    return table.assign(
        prediction_id=[_prediction_id(model_version, image_id) for image_id in table["image_id"]],
        requested_at=pd.Timestamp(now),
        model_version=model_version,
        deferred=classifier.spec.defers(table["confidence"].to_numpy()),
        review_probability=np.nan,
    )


def summarise(
    classes: Sequence[str],
    model_version: str,
    own_test: dict,
    logged: Callable[..., PredictionLog],
    delayed_labels: pd.DataFrame,
    parameters: EvaluationParameters,
    *,
    arrivals: pd.DataFrame,
    seen: pd.DataFrame,
    group_by: str | None = None,
) -> dict:
    """Put the champion's arrivals beside its own test images.

    Parameters
    ----------
    classes : sequence of str
        Classes of the model in production.
    model_version : str
        Its version in the registry.
    own_test : dict
        Its evaluation when it was registered.
    logged : callable
        Reads the prediction log, given `classes` and `model_version`.
    delayed_labels : DataFrame
        Labels of arrivals that became known; they are used here and nowhere else.
    parameters : EvaluationParameters
        Level, resamples and seed of the intervals.
    arrivals : DataFrame
        Index of the arrivals' store.
    seen : DataFrame
        `visionpipe.models.candidate.Candidate.seen` of the champion; predictions of these photos don't count.
    group_by : str, optional
        Attribute (sender, patient, machine) whose arrivals are one piece of evidence; without it, a photo is.

    Returns
    -------
    dict
        `model_version, n_logged, n_deferred, n_learned_from` (arrivals that are left out since the model was trained
        or tuned on them), `own_test` (metrics) and `arrivals` (metrics, None without known labels).
        Arrivals of a class that the model does not know count as wrong in the accuracy, and in no other metric;
        `arrivals["unknown_classes"]` says how many there are of each.
    """
    rows = logged(classes=classes, model_version=model_version).rows
    rows = rows[~_is_learned(rows["image_id"], seen)]  # whoever logged them
    labels = delayed_labels.drop_duplicates("image_id", keep="last").set_index("image_id")["label"]
    judged = rows[rows["image_id"].isin(labels.index)]
    judged = judged.assign(label=judged["image_id"].map(labels), group_id=_groups(judged, group_by))
    return {
        "model_version": model_version,
        "n_logged": len(rows),
        "n_deferred": int(rows["deferred"].astype(bool).sum()),
        "n_learned_from": int(_is_learned(arrivals["image_id"], seen).sum()),
        "own_test": _key_figures(own_test),
        "arrivals": _of_arrivals(judged, classes, parameters) if len(judged) else None,
    }


def _is_learned(image_ids_N: pd.Series, seen: pd.DataFrame) -> pd.Series:
    """Tell which photos a model was trained or tuned on; of their near-duplicates, the one that names the group."""
    return image_ids_N.isin({*seen["image_id"], *seen["group_id"]})


def _groups(judged: pd.DataFrame, group_by: str | None) -> pd.Series:
    photo = "photo " + judged["image_id"]
    if group_by not in judged.columns:
        return photo
    return ("group " + judged[group_by].astype("str")).where(judged[group_by].notna(), photo)


def _of_arrivals(judged: pd.DataFrame, classes: Sequence[str], parameters: EvaluationParameters) -> dict:
    is_known = judged["label"].isin(classes)
    unknown = judged.loc[~is_known, "label"].value_counts()
    figures: dict[str, Any] = {"n": 0, "metrics": {}, "per_class": {}}
    if is_known.any():
        figures = _key_figures(evaluate(judged[is_known], classes, [], parameters))
    if len(unknown):  # whatever was predicted for them is wrong, and nothing else can be said of them
        correct_N = judged["label"] == judged["predicted_label"]
        accuracy = accuracy_entry(correct_N, judged["group_id"], parameters.level)
        figures = {**figures, "n": len(judged), "metrics": {**figures["metrics"], "accuracy": accuracy}}
    return {**figures, "unknown_classes": {str(name): int(n) for name, n in unknown.items()}}


def _key_figures(evaluation: dict) -> dict:
    return {key: evaluation[key] for key in ("n", "metrics", "per_class")}


def _predictions(
    classifier: ImageClassifier, read: ImageReader, image_ids: list[str]
) -> Iterator[dict[str, Any]]:
    for batch_ids, pixels_BHWC in decode_batches(read, image_ids, classifier.spec.image_size_px):
        started = time.perf_counter()
        found = classifier.predict(pixels_BHWC)
        latency_ms = 1000 * (time.perf_counter() - started) / len(batch_ids)
        for row, image_id in enumerate(batch_ids):
            yield {
                "image_id": image_id,
                "predicted_label": found.labels[row],
                "confidence": float(found.confidence_N[row]),
                "probabilities": found.probabilities_NK[row],
                "embedding": found.embeddings_NE[row],
                "latency_ms": latency_ms,
            }


def _prediction_id(model_version: str, image_id: str) -> str:
    """Name a prediction by what was predicted and by whom, so that scoring twice logs it once."""
    return hashlib.sha256(f"{model_version}/{image_id}".encode()).hexdigest()[:32]
