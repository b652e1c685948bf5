"""The evaluation pipeline, and the part of it that a training run by hand ends with."""

from visionpipe.pipelines.evaluation.pipeline import create_pipeline, create_training_report

__all__ = ["create_pipeline", "create_training_report"]
