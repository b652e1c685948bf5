"""The pipelines by name."""

from kedro.pipeline import Pipeline

from visionpipe.pipelines import (
    drift,
    evaluation,
    feedback,
    fitting,
    ingestion,
    label_audit,
    promotion,
    scoring,
    training,
    validation,
)


def register_pipelines() -> dict[str, Pipeline]:
    """Name the pipelines; the default one always ends in the gate's verdict.

    `training` is what a person runs: it ends with its report. DVC runs `fitting`, so that no page's template makes it
    train again.
    """
    to_a_model = {
        "ingestion": ingestion.create_pipeline(),
        "validation": validation.create_pipeline(),
        "fitting": fitting.create_pipeline(),
        "evaluation": evaluation.create_pipeline(),
        "promotion": promotion.create_pipeline(),
    }
    default = sum(to_a_model.values(), start=Pipeline([]))
    return {
        "__default__": default,
        **to_a_model,
        "training": training.create_pipeline() + evaluation.create_training_report(),
        "label_audit": label_audit.create_pipeline(),
        "scoring": scoring.create_pipeline(),
        "drift": drift.create_pipeline(),
        "feedback": feedback.create_pipeline(),
        "retraining": feedback.create_pipeline() + default,
    }
