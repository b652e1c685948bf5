"""From an admitted manifest to a candidate model."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from visionpipe.models.parameters import TrainingParameters
from visionpipe.pipelines.annotations import Candidate, DataFrame, ImagePlan, ImageReader, PreparedImages


def plan_decoding(
    admitted_manifest: DataFrame, image_bytes: ImageReader, parameters: TrainingParameters
) -> ImagePlan:
    """Say which images are decoded, and to what size; the dataset does it."""
    from visionpipe.images.prepare import ImagePlan

    return ImagePlan(tuple(admitted_manifest["image_id"]), parameters.image_size_px, image_bytes)


def fit_candidate(
    admitted_manifest: DataFrame,
    prepared_images: PreparedImages,
    checkpoints: Path,
    training_origin: dict[str, Any],
    clock: datetime,
    parameters: TrainingParameters,
) -> tuple[Candidate, dict]:
    """Fine-tune, calibrate and fingerprint a candidate that says what it was made from, and tell how it went."""
    from visionpipe.models.candidate import describe_model
    from visionpipe.models.processes import train_in_processes

    candidate = train_in_processes(admitted_manifest, prepared_images, parameters, checkpoints)
    log = {
        "started_at": clock.isoformat(),
        "model": describe_model(candidate),
        "classes": list(candidate.classifier.spec.classes),
        **candidate.training,
    }
    return replace(candidate, origin=training_origin), log


def discard_checkpoints(training_log: dict, checkpoints: Path) -> None:
    """Remove what the training could have gone on from; that its log can be read says that its model is saved."""
    from visionpipe.models.training.checkpoint import discard

    del training_log
    discard(checkpoints)
