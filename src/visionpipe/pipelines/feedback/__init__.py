"""The feedback pipeline."""

from visionpipe.pipelines.feedback.pipeline import create_pipeline

__all__ = ["create_pipeline"]
