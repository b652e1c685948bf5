"""Photos in; image store, label history, manifest and quarantine out."""

from __future__ import annotations

from collections.abc import Iterator

from visionpipe.images.parameters import IngestionParameters
from visionpipe.pipelines.annotations import DataFrame, Photo, StoredLooks


def ingest_photos(
    photos: list[Photo],
    reviewed_photos: list[Photo],
    stored_images: DataFrame,
    stored_looks: StoredLooks,
    known_labels: DataFrame,
    known_files: DataFrame,
    parameters: IngestionParameters,
) -> Iterator[tuple[list[dict], list[dict], list[dict]]]:
    """Inspect new photos and yield rows for label history, image store and file index, chunk by chunk."""
    from visionpipe.images.ingest import ingest

    arriving = [*photos, *reviewed_photos]
    for chunk in ingest(arriving, stored_images, stored_looks, known_labels, known_files, parameters):
        # in the order in which Kedro saves them: wherever a run is killed, no image is stored without its label,
        # and no file is taken for known before its image is stored
        yield chunk.labels, chunk.images, chunk.files


def derive_manifest(
    image_store: DataFrame, label_history: DataFrame, file_index: DataFrame, parameters: IngestionParameters
) -> tuple[DataFrame, DataFrame]:
    """Derive the manifest and the quarantine from what is stored."""
    from visionpipe.images.account import log_contradictions, log_moved
    from visionpipe.images.file_index import build_quarantine
    from visionpipe.images.manifest import build_manifest

    manifest = build_manifest(image_store, label_history, parameters)
    log_contradictions(manifest, image_store)
    log_moved(manifest, image_store)
    return manifest, build_quarantine(file_index, image_store, label_history, manifest)
