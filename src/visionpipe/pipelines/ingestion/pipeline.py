"""Ingestion as data flow."""

from kedro.pipeline import Pipeline, node, pipeline

from visionpipe.pipelines.ingestion.nodes import derive_manifest, ingest_photos


def create_pipeline() -> Pipeline:
    """Photos -> label history, image store, file index -> manifest, quarantine."""
    return pipeline(
        [
            node(
                ingest_photos,
                inputs=[
                    "photos",
                    "reviewed_photos",
                    "stored_images",
                    "stored_looks",
                    "known_labels",
                    "known_files",
                    "params:ingestion",
                ],
                outputs=["label_history", "image_store", "file_index"],
                name="ingest_photos",
            ),
            node(
                derive_manifest,
                inputs=["image_store", "label_history", "file_index", "params:ingestion"],
                outputs=["manifest", "quarantine"],
                name="derive_manifest",
            ),
        ]
    )
