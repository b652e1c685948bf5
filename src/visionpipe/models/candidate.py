"""A candidate: a trained classifier with what drift and the gate need to know of it, as a folder of plain files.

`weights.safetensors`, `model.json`, `reference.parquet` (validation predictions, embeddings, image statistics),
`seen.parquet` (the images it was trained and tuned on), `curves.json` and `origin.json` (data, code and settings).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from visionpipe import __version__
from visionpipe.errors import VisionpipeError
from visionpipe.images.labels import rival_shares
from visionpipe.images.manifest import attribute_columns
from visionpipe.images.prepare import PreparedImages
from visionpipe.metrics.evaluation import codes_of
from visionpipe.models.backbones import build_backbone
from visionpipe.models.calibrate import calibrate, check_decision
from visionpipe.models.classifier import (
    ImageClassifier,
    ModelSpec,
    Predictions,
    load_classifier,
    save_classifier,
    weights_sha256,
)
from visionpipe.models.parameters import TrainingParameters
from visionpipe.models.training.checkpoint import Checkpoints, training_key
from visionpipe.models.training.distributed import SOLO, Team
from visionpipe.models.training.finetune import choose_device, repeatable, train
from visionpipe.models.training.frozen_trunk import LabelledPixels, soft_targets
from visionpipe.models.training.recipe import freezes, log_choices, resolve, unread
from visionpipe.models.training.story import story
from visionpipe.progress import progress_bar

logger = logging.getLogger(__name__)
ORIGIN = "origin.json"
"""Which data, commit and settings it is of: two trainings of different commits may give the same model."""
_UNSAVED = {"images_per_s", "seconds", "head"}
"""Curves with timings, which would make two equal trainings differ."""
_BATCH = 256  # images read from the memory map at a time


@dataclass(frozen=True)
class Candidate:
    """A trained classifier and its papers.

    Attributes
    ----------
    classifier : ImageClassifier
        Ready to predict.
    reference : DataFrame
        Its predictions on the validation images: what drift is measured against.
    seen : DataFrame
        `image_id, group_id, split` of every image it was trained or tuned on.
    curves : dict
        Lists by epoch (`visionpipe.models.training.curves.Curves`), without timings: the same training gives the
        same bytes.
    training : dict
        What is told of the training and not saved with it: `curves` with timings, `moved` (part, n_parameters,
        moved), `recipe` (name, value, why of what was `auto`) and `kept_epoch`.
    origin : dict or None
        What it was made from (`visionpipe.lineage.origin.Origin`); None where nobody measured that.
    """

    classifier: ImageClassifier
    reference: pd.DataFrame
    seen: pd.DataFrame
    curves: dict[str, list[Any]]
    training: dict[str, Any] = field(default_factory=dict)
    origin: dict[str, Any] | None = None


def train_candidate(
    manifest: pd.DataFrame,
    images: PreparedImages,
    parameters: TrainingParameters,
    *,
    team: Team = SOLO,
    checkpoints: Path | None = None,
) -> Candidate:
    """Train on the manifest's training images, choose and calibrate on its validation images.

    Parameters
    ----------
    manifest : DataFrame
        DESIGN's manifest.
    images : PreparedImages
        Pixels of all its images at `parameters.image_size_px`.
    parameters : TrainingParameters
        Backbone and recipe.
    team : Team
        The processes that train it together.
    checkpoints : Path or None
        Folder in which the training is kept, to go on from when it is started again, until it is discarded
        (`visionpipe.models.training.checkpoint.discard`) because the candidate is saved.

    Raises
    ------
    VisionpipeError
        When a split or a class has nothing to learn from.
    """
    classes = sorted(manifest["label"].unique())
    in_training = manifest["split"] == "train"
    in_validation = manifest["split"] == "validation"
    _require_images(manifest, classes, in_training, in_validation)
    check_decision(parameters.calibration, classes)
    classifier = _untrained(classes, parameters)
    training, validation = (
        _labelled(manifest[chosen], images, classes) for chosen in (in_training, in_validation)
    )
    device = team.device or choose_device(parameters.device)
    resolved, choices = resolve(parameters, training.targets_NK, device)
    own = checkpoints and Checkpoints(
        checkpoints, training_key(manifest, resolved, classifier.stages, device)
    )
    log_choices(choices)
    for name in unread(parameters, resolved):
        logger.warning("training.%s is not used by this training (mode: %s)", name, resolved.mode)
    if freezes(resolved) and resolved.weights == "none":
        logger.warning("Random layers are frozen (training.weights: none); training.mode: scratch trains all")
    curves = train(classifier, training, validation, resolved, team=team, checkpoints=own)
    told = story(classifier, curves, choices, training, validation)
    validation_rows = manifest[in_validation]
    predictions = predict_manifest(classifier, validation_rows, images)
    codes_N = codes_of(validation_rows["label"], classes)
    classifier.spec = calibrate(classifier.spec, predictions.logits_NK, codes_N, parameters)
    calibrated = classifier.spec.read(predictions.logits_NK, predictions.embeddings_NE)
    seen = manifest.loc[in_training | in_validation, ["image_id", "group_id", "split"]]
    return Candidate(
        classifier=classifier.cpu(),
        reference=prediction_table(validation_rows, calibrated),
        seen=seen.reset_index(drop=True),
        curves={name: values for name, values in told["curves"].items() if name not in _UNSAVED},
        training=told,
    )


def _untrained(classes: list[str], parameters: TrainingParameters) -> ImageClassifier:
    spec = ModelSpec(
        backbone=parameters.backbone,
        weights="none" if parameters.mode == "scratch" else parameters.weights,
        classes=classes,
        image_size_px=parameters.image_size_px,
        mc_dropout_passes=parameters.calibration.mc_dropout_passes,
        mc_dropout_rate=parameters.dropout,
        averaged_views=parameters.views if parameters.average_views else ("identity",),
        visionpipe_version=__version__,
    )
    with repeatable(parameters.seed, torch.device("cpu")):  # without pretrained weights they are drawn here
        backbone = build_backbone(spec.backbone, spec.weights, spec.image_size_px)
    return ImageClassifier(spec, backbone)


def predict_manifest(
    classifier: ImageClassifier, manifest: pd.DataFrame, images: PreparedImages
) -> Predictions:
    """Classify the manifest's images, in its order, without reading them all into memory."""
    rows_N = images.rows(manifest["image_id"].tolist())
    with progress_bar() as progress:
        task = progress.add_task("Predicting", total=len(rows_N), note="")

        def batches() -> Iterator[np.ndarray]:
            for start in range(0, len(rows_N), _BATCH):
                rows_B = rows_N[start : start + _BATCH]
                yield images.pixels_NHWC[rows_B]
                progress.advance(task, len(rows_B))

        return classifier.predict_batches(batches())


def prediction_table(manifest: pd.DataFrame, predictions: Predictions) -> pd.DataFrame:
    """Put predictions beside what is known of each image.

    Returns
    -------
    DataFrame
        `image_id, label, group_id, predicted_label, confidence, probabilities, embedding, brightness, contrast,
        sharpness` and the attributes.
    """
    known = ["image_id", "label", "group_id", "brightness", "contrast", "sharpness"]
    return (
        manifest[known + attribute_columns(manifest)]
        .reset_index(drop=True)
        .assign(
            predicted_label=predictions.labels,
            confidence=predictions.confidence_N,
            probabilities=list(predictions.probabilities_NK),
            embedding=list(predictions.embeddings_NE),
        )
    )


def save_candidate(candidate: Candidate, folder: Path) -> None:
    """Write all files of a candidate into an existing, empty folder."""
    save_classifier(candidate.classifier, folder)
    candidate.reference.to_parquet(folder / "reference.parquet", index=False)
    candidate.seen.to_parquet(folder / "seen.parquet", index=False)
    (folder / "curves.json").write_text(json.dumps(candidate.curves, indent=1) + "\n")
    if candidate.origin is not None:
        (folder / ORIGIN).write_text(json.dumps(candidate.origin, indent=1) + "\n")


def load_candidate(folder: Path) -> Candidate:
    """Read a candidate back.

    Raises
    ------
    VisionpipeError
        When a file is missing or damaged.
    """
    classifier = load_classifier(folder)
    try:
        return Candidate(
            classifier=classifier,
            reference=pd.read_parquet(folder / "reference.parquet"),
            seen=pd.read_parquet(folder / "seen.parquet"),
            curves=json.loads((folder / "curves.json").read_text()),
            origin=json.loads((folder / ORIGIN).read_text()) if (folder / ORIGIN).exists() else None,
        )
    except (OSError, ValueError) as error:
        raise VisionpipeError(
            f"{folder}: this model cannot be loaded: {str(error).splitlines()[0]}"
        ) from error


def _labelled(manifest: pd.DataFrame, images: PreparedImages, classes: list[str]) -> LabelledPixels:
    codes_N, confidence_N = codes_of(manifest["label"], classes), manifest["label_confidence"].to_numpy(float)
    targets_NK = soft_targets(codes_N, confidence_N, len(classes), list(rival_shares(manifest, classes)))
    own_N = targets_NK.gather(1, torch.tensor(codes_N)[:, None])[:, 0]
    if against := int((own_N < targets_NK.max(1).values).sum()):
        logger.warning(
            "%d of %d %s images: votes, weighed by confidence, are rather for another class than the label, and so "
            "training learns; have them reviewed",
            *(against, len(codes_N), manifest["split"].iloc[0]),
        )
    return LabelledPixels(images.pixels_NHWC, images.rows(manifest["image_id"].tolist()), targets_NK)


def _require_images(
    manifest: pd.DataFrame, classes: list[str], in_training: pd.Series, in_validation: pd.Series
) -> None:
    if len(classes) < 2:
        raise VisionpipeError(f"training needs at least two classes, the manifest has {classes}")
    if not in_validation.any():
        raise VisionpipeError("training: no image fell into the validation split; add images")
    absent = sorted(set(classes) - set(manifest.loc[in_training, "label"]))
    if absent:
        raise VisionpipeError(f"training: no training image of {', '.join(absent)}; add images of it")


def predict_split(
    candidate: Candidate, manifest: pd.DataFrame, images: PreparedImages, split: str
) -> pd.DataFrame:
    """Predict one split of the manifest.

    Raises
    ------
    VisionpipeError
        When no image is in it.
    """
    chosen = manifest[manifest["split"] == split]
    if chosen.empty:
        raise VisionpipeError(
            f"no image fell into the {split} split: add images, or raise ingestion.split.{split}"
        )
    return prediction_table(chosen, predict_manifest(candidate.classifier, chosen, images))


def describe_model(candidate: Candidate) -> dict:
    """Say in a few facts what was trained: `model.json` less the class list, and which weights these are."""
    facts = candidate.classifier.spec.model_dump(exclude={"classes"})
    return {
        **facts,
        "n_parameters": sum(weight.numel() for weight in candidate.classifier.parameters()),
        "weights_sha256": weights_sha256(candidate.classifier),
    }
