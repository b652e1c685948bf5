"""The evaluation pipeline."""

from visionpipe.pipelines.evaluation.pipeline import create_pipeline

__all__ = ["create_pipeline"]
