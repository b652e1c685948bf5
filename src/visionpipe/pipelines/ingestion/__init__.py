"""The ingestion pipeline."""

from visionpipe.pipelines.ingestion.pipeline import create_pipeline

__all__ = ["create_pipeline"]
