"""What the candidate is worth on images that it has never seen."""

from __future__ import annotations

from visionpipe.metrics.parameters import EvaluationParameters
from visionpipe.pipelines.annotations import Candidate, DataFrame, PreparedImages


def predict_test(
    candidate: Candidate, admitted_manifest: DataFrame, prepared_images: PreparedImages
) -> DataFrame:
    """Predict the test split."""
    from visionpipe.models.candidate import predict_split

    return predict_split(candidate, admitted_manifest, prepared_images, "test")


def evaluate_candidate(
    candidate: Candidate,
    test_predictions: DataFrame,
    admitted_manifest: DataFrame,
    parameters: EvaluationParameters,
) -> dict:
    """Measure the predictions, each metric with its interval."""
    from visionpipe.images.manifest import attribute_columns
    from visionpipe.metrics.evaluation import evaluate
    from visionpipe.models.candidate import describe_data, describe_model

    return {
        "model": describe_model(candidate),
        "data": describe_data(admitted_manifest),
        "title": "Evaluation on unseen images",
        "demo_notice": parameters.notice_of(admitted_manifest["source"].unique()),
        **evaluate(
            test_predictions,
            candidate.classifier.spec.classes,
            attribute_columns(admitted_manifest),
            parameters,
        ),
    }


def render_training(training_log: dict, evaluation: dict) -> str:
    """Render how the candidate was trained."""
    from visionpipe.reports.training_page import training_page

    return training_page(
        {**training_log, "model": evaluation["model"], "demo_notice": evaluation["demo_notice"]}
    )


def render_evaluation(
    evaluation: dict,
    test_predictions: DataFrame,
    prepared_images: PreparedImages,
    parameters: EvaluationParameters,
) -> str:
    """Render the evaluation with its worst mistakes as pictures."""
    from visionpipe.images.gallery import worst_mistakes
    from visionpipe.reports.pages import evaluation_page

    return evaluation_page(
        {**evaluation, "training_report": "training.html"},
        worst_mistakes(test_predictions, prepared_images, parameters.gallery_images),
    )
