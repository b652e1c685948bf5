"""Photos in; image store, label history, manifest and quarantine out."""

from __future__ import annotations

from collections.abc import Iterator

from visionpipe.images.parameters import IngestionParameters
from visionpipe.pipelines.annotations import DataFrame, Photo


def ingest_photos(
    photos: list[Photo],
    reviewed_photos: list[Photo],
    stored_images: DataFrame,
    known_labels: DataFrame,
    known_files: DataFrame,
    parameters: IngestionParameters,
) -> Iterator[tuple[list[dict], list[dict], list[dict]]]:
    """Inspect new photos and yield rows for image store, label history and file index, chunk by chunk."""
    from visionpipe.images.ingest import ingest

    for chunk in ingest([*photos, *reviewed_photos], stored_images, known_labels, known_files, parameters):
        yield chunk.images, chunk.labels, chunk.files


def derive_manifest(
    image_store: DataFrame, label_history: DataFrame, file_index: DataFrame, parameters: IngestionParameters
) -> tuple[DataFrame, DataFrame]:
    """Derive the manifest and the quarantine from what is stored."""
    from visionpipe.images.ingest import build_quarantine
    from visionpipe.images.manifest import build_manifest

    manifest = build_manifest(image_store, label_history, parameters.split)
    return manifest, build_quarantine(file_index, image_store, manifest)
