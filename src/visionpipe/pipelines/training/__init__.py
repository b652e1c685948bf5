"""The training pipeline."""

from visionpipe.pipelines.training.pipeline import create_pipeline

__all__ = ["create_pipeline"]
