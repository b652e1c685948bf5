"""Find the labels that a person should look at again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from visionpipe.models.parameters import TrainingParameters
from visionpipe.pipelines.annotations import DataFrame, ImageReader
from visionpipe.quality.parameters import LabelAuditParameters, ValidationParameters


def predict_out_of_fold(
    manifest: DataFrame,
    image_bytes: ImageReader,
    training: TrainingParameters,
    parameters: LabelAuditParameters,
) -> Any:
    """Predict each image by a model of frozen features that saw neither it nor its near-duplicates."""
    from visionpipe.metrics.evaluation import codes_of
    from visionpipe.models.features import stored_features
    from visionpipe.quality.label_noise import out_of_fold_probabilities

    features_ND = stored_features(manifest["image_id"].tolist(), image_bytes, training)
    labels_N = codes_of(manifest["label"], sorted(manifest["label"].unique()))
    return out_of_fold_probabilities(features_ND, labels_N, manifest["group_id"], parameters)


def audit_agreement(
    label_history: DataFrame, manifest: DataFrame, image_store: DataFrame, validation: ValidationParameters
) -> tuple[dict, list[dict]]:
    """Measure agreement between annotators and list what they disagree about."""
    from visionpipe.quality.facts import agreement_facts
    from visionpipe.quality.votes import list_disagreements, measure_agreement

    disagreements = list_disagreements(label_history, image_store)
    measured = measure_agreement(label_history, manifest, validation.agreement)
    return agreement_facts(measured, disagreements, validation.agreement), disagreements


def rank_issues(
    manifest: DataFrame,
    image_store: DataFrame,
    probabilities_NK: Any,
    label_agreement: dict,
    parameters: LabelAuditParameters,
) -> tuple[DataFrame, dict]:
    """Rank all labels by how doubtful they are, and count the doubts."""
    from visionpipe.images.gallery import with_paths
    from visionpipe.quality.label_noise import rank_labels, summarise_audit

    classes = sorted(manifest["label"].unique())
    issues = with_paths(rank_labels(manifest, classes, probabilities_NK, parameters), image_store)
    return issues, {**summarise_audit(issues, len(manifest)), **label_agreement}


def render_audit(
    label_audit: dict,
    disagreements: list[dict],
    label_issues: DataFrame,
    image_bytes: ImageReader,
    parameters: LabelAuditParameters,
) -> str:
    """Render the labels to look at, with their pictures."""
    from visionpipe.images.gallery import photo_thumbnails
    from visionpipe.reports.label_pages import MAX_DISPUTED_PICTURES, label_audit_page

    doubtful = label_issues[label_issues["is_issue"]].head(parameters.max_pictures).to_dict("records")
    shown = [*disagreements[:MAX_DISPUTED_PICTURES], *doubtful]
    thumbnails = photo_thumbnails(image_bytes, {each["image_id"] for each in shown})
    return label_audit_page(label_audit, disagreements, doubtful, thumbnails)


def index_label_audit(earlier_reports: Mapping[str, dict], label_audit: dict) -> str:
    """Link this report on the page that links all reports."""
    from visionpipe.reports.index import run_index

    return run_index({**earlier_reports, "label_audit": label_audit})
