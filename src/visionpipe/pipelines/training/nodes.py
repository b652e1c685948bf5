"""From an admitted manifest to a candidate model."""

from __future__ import annotations

from visionpipe.models.parameters import TrainingParameters
from visionpipe.pipelines.annotations import Candidate, DataFrame, ImagePlan, ImageReader, PreparedImages


def plan_decoding(
    admitted_manifest: DataFrame, image_bytes: ImageReader, parameters: TrainingParameters
) -> ImagePlan:
    """Say which images are decoded, and to what size; the dataset does it."""
    from visionpipe.images.prepare import ImagePlan

    return ImagePlan(tuple(admitted_manifest["image_id"]), parameters.image_size_px, image_bytes)


def fit_candidate(
    admitted_manifest: DataFrame, prepared_images: PreparedImages, parameters: TrainingParameters
) -> Candidate:
    """Fine-tune, calibrate and fingerprint a candidate."""
    from visionpipe.models.candidate import train_candidate

    return train_candidate(admitted_manifest, prepared_images, parameters)
