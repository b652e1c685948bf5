"""The label audit pipeline."""

from visionpipe.pipelines.label_audit.pipeline import create_pipeline

__all__ = ["create_pipeline"]
