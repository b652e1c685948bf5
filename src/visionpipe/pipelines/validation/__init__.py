"""The validation pipeline."""

from visionpipe.pipelines.validation.pipeline import create_pipeline

__all__ = ["create_pipeline"]
