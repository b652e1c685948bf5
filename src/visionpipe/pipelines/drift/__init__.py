"""The drift pipeline."""

from visionpipe.pipelines.drift.pipeline import create_pipeline

__all__ = ["create_pipeline"]
