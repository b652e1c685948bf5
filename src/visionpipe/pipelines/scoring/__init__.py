"""The scoring pipeline."""

from visionpipe.pipelines.scoring.pipeline import create_pipeline

__all__ = ["create_pipeline"]
