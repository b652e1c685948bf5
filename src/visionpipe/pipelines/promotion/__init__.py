"""The promotion pipeline."""

from visionpipe.pipelines.promotion.pipeline import create_pipeline

__all__ = ["create_pipeline"]
