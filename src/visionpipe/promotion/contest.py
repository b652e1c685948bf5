"""Champion against challenger: both scored again on the same test images, then the gate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from visionpipe.images.manifest import attribute_columns
from visionpipe.images.prepare import decode_batches
from visionpipe.images.store import ImageReader
from visionpipe.metrics.evaluation import codes_of
from visionpipe.models.candidate import Candidate
from visionpipe.models.classifier import Predictions
from visionpipe.promotion.decision import Decision
from visionpipe.promotion.gate import judge
from visionpipe.promotion.parameters import PromotionParameters

if TYPE_CHECKING:
    from visionpipe.promotion.registry import Champion, Promotion, Registry


def contest(
    registry: Registry,
    candidate: Candidate,
    evaluation: dict,
    manifest: pd.DataFrame,
    read: ImageReader,
    tags: Mapping[str, str],
    parameters: PromotionParameters,
) -> Promotion:
    """Let the candidate challenge whoever is champion now.

    Parameters
    ----------
    registry : Registry
        Where the champion is, and where a winner is registered.
    candidate : Candidate
        The challenger.
    evaluation : dict
        Its evaluation, kept with the version.
    manifest : DataFrame
        Its test split is the common test set.
    read : ImageReader
        Streams image bytes.
    tags : mapping
        Provenance of the challenger.
    parameters : PromotionParameters
        Metric, margins and limits.
    """
    test = manifest[manifest["split"] == "test"]
    return registry.promote(
        judge_of(test, read, candidate, parameters), mode=parameters.mode, evaluation=evaluation, tags=tags
    )


def judge_of(
    test: pd.DataFrame, read: ImageReader, challenger: Candidate, parameters: PromotionParameters
) -> Callable[[Champion | None], Decision]:
    """Return the gate as a function of the champion, the challenger's predictions made once."""
    challenger_says = _predictions(challenger, test, read)

    def decide(champion: Champion | None) -> Decision:
        models = [challenger, *([champion.candidate] if champion else [])]
        classes = sorted(
            {*test["label"], *(name for model in models for name in model.classifier.spec.classes)}
        )
        seen = champion.candidate.seen if champion else challenger.seen.head(0)
        champion_says = _predictions(champion.candidate, test, read) if champion else None
        return judge(
            labels_N=codes_of(test["label"], classes),
            classes=classes,
            image_ids_N=test["image_id"],
            group_ids_N=test["group_id"],
            challenger_probabilities_NK=_in_columns(challenger_says, challenger, classes),
            champion_probabilities_NK=_in_columns(champion_says, champion.candidate, classes)
            if champion and champion_says
            else None,
            challenger_decided_N=_codes(challenger_says, classes),
            champion_decided_N=_codes(champion_says, classes) if champion_says else None,
            slices={column: test[column].to_numpy() for column in attribute_columns(test)},
            champion_seen_ids=set(seen["image_id"]),
            challenger_seen_ids=set(challenger.seen["image_id"]),
            champion_seen_groups=set(seen["group_id"]),
            challenger_seen_groups=set(challenger.seen["group_id"]),
            parameters=parameters,
            champion_version=champion.version if champion else None,
        )

    return decide


def _predictions(model: Candidate, test: pd.DataFrame, read: ImageReader) -> Predictions:
    """Predict the test images at the model's own size, in the order of `test`."""
    image_ids = test["image_id"].tolist()
    row_of = {image_id: row for row, image_id in enumerate(image_ids)}
    ids: list[str] = []

    def pixels():  # noqa: ANN202 - a local stream
        for batch_ids, pixels_BHWC in decode_batches(read, image_ids, model.classifier.spec.image_size_px):
            ids.extend(batch_ids)
            yield pixels_BHWC

    return model.classifier.predict_batches(pixels()).take(np.argsort([row_of[image_id] for image_id in ids]))


def _codes(predictions: Predictions, classes: list[str]) -> np.ndarray:
    """Return what the model's decision rule says, as codes of `classes`."""
    return np.array([classes.index(label) for label in predictions.labels], dtype=np.int64)


def _in_columns(predictions: Predictions, model: Candidate, classes: list[str]) -> np.ndarray:
    """Spread a model's columns over the union of classes; a class it does not know has probability 0."""
    aligned_NK = np.zeros((len(predictions.labels), len(classes)))
    columns = [classes.index(name) for name in model.classifier.spec.classes]
    aligned_NK[:, columns] = predictions.probabilities_NK
    return aligned_NK


def report(
    promotion: Promotion, model_name: str, provenance: Mapping[str, str], data: dict, notice: str | None
) -> dict:
    """Put the outcome of a promotion into one JSON-safe dictionary, for the report and the record."""
    return {
        **promotion.decision.as_dict(),
        "model_name": model_name,
        "challenger_version": promotion.version,
        "alias": promotion.alias,
        "provenance": dict(provenance),
        "data": data,
        "demo_notice": notice,
    }
