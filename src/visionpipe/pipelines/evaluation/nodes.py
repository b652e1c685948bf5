"""What the candidate is worth on images that it has never seen."""

from __future__ import annotations

from collections.abc import Mapping

from visionpipe.metrics.parameters import EvaluationParameters
from visionpipe.pipelines.annotations import Candidate, DataFrame, Photo, PreparedImages


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
    from visionpipe.images.manifest import describe_manifest, telling_columns
    from visionpipe.metrics.evaluation import evaluate
    from visionpipe.models.candidate import describe_model
    from visionpipe.progress import doing

    with doing("measuring, each metric with its interval"):  # minutes, with many classes
        measured = evaluate(
            test_predictions,
            candidate.classifier.spec.classes,
            telling_columns(admitted_manifest),
            parameters,
            deferral_confidence=candidate.classifier.spec.deferral_confidence,
            costs_KK=candidate.classifier.spec.decision.costs_KK,
        )
    return {
        "model": describe_model(candidate),
        "data": describe_manifest(admitted_manifest),
        "title": "Evaluation on unseen images",
        "demo_notice": parameters.notice_of(admitted_manifest["source"].unique()),
        **measured,
    }


def examine_candidate(
    candidate: Candidate,
    admitted_manifest: DataFrame,
    test_predictions: DataFrame,
    prepared_images: PreparedImages,
    unrelated_photos: list[Photo],
    parameters: EvaluationParameters,
) -> dict:
    """Drive the candidate beyond its test images: corruption, attack, unrelated pictures, speed, shortcuts."""
    from visionpipe.models.candidate import describe_model
    from visionpipe.models.examination.examine import examine

    return {
        "model": describe_model(candidate),
        "classes": list(candidate.classifier.spec.classes),
        "demo_notice": parameters.notice_of(admitted_manifest["source"].unique()),
        **examine(
            candidate.classifier,
            admitted_manifest,
            test_predictions,
            prepared_images,
            unrelated_photos,
            parameters,
        ),
    }


def render_examination(
    examination: dict,
    candidate: Candidate,
    test_predictions: DataFrame,
    prepared_images: PreparedImages,
    image_store: DataFrame,
    unrelated_photos: list[Photo],
    parameters: EvaluationParameters,
) -> str:
    """Render the examination, with what the candidate looked at in its worst mistakes."""
    from visionpipe.images.gallery import with_paths
    from visionpipe.models.examination.gradcam import mistakes_looked_at
    from visionpipe.models.examination.pictures import example_pictures
    from visionpipe.reports.examination_page import examination_page

    named = with_paths(test_predictions, image_store)
    mistakes = mistakes_looked_at(
        candidate.classifier, named, prepared_images, parameters.examination.gradcam_images
    )
    examples = example_pictures(
        test_predictions, candidate.classifier.spec.classes, prepared_images, unrelated_photos, parameters
    )
    return examination_page(examination, mistakes, examples)


def render_training(
    training_log: dict,
    candidate: Candidate,
    admitted_manifest: DataFrame,
    earlier_reports: Mapping[str, dict],
    parameters: EvaluationParameters,
) -> tuple[str, dict, str]:
    """Render how the candidate was trained, and the index, which may now show pages of two models.

    The page comes with what the index says of it, now and when later runs write it anew.
    """
    from visionpipe.models.candidate import describe_model
    from visionpipe.reports.index import run_index
    from visionpipe.reports.training_page import training_page

    log = {  # those of early versions do not say what was trained
        "model": describe_model(candidate),
        "classes": list(candidate.classifier.spec.classes),
        **training_log,
    }
    notice = parameters.notice_of(admitted_manifest["source"].unique())
    page = training_page({**log, "demo_notice": notice})
    summary = {key: log[key] for key in ("model", "started_at") if key in log}
    return page, summary, run_index({**earlier_reports, "training_summary": summary})


def render_evaluation(
    evaluation: dict,
    test_predictions: DataFrame,
    prepared_images: PreparedImages,
    image_store: DataFrame,
    parameters: EvaluationParameters,
) -> str:
    """Render the evaluation with its worst mistakes as pictures."""
    from visionpipe.images.gallery import with_paths, worst_mistakes
    from visionpipe.reports.evaluation_page import evaluation_page

    return evaluation_page(
        {**evaluation, "training_report": "training.html", "examination_report": "examination.html"},
        worst_mistakes(with_paths(test_predictions, image_store), prepared_images, parameters.gallery_images),
    )


def render_index(earlier_reports: Mapping[str, dict], evaluation: dict, examination: dict) -> str:
    """Render the index anew: its pages on the candidate are of this run, its verdict is not yet."""
    from visionpipe.reports.index import run_index

    return run_index({**earlier_reports, "evaluation": evaluation, "examination": examination})
