"""Judge the data before anything learns from them."""

from __future__ import annotations

from visionpipe.images.parameters import IngestionParameters
from visionpipe.pipelines.annotations import DataFrame
from visionpipe.promotion.parameters import PromotionParameters
from visionpipe.quality.parameters import ValidationParameters


def validate_data(
    manifest: DataFrame,
    quarantine: DataFrame,
    label_history: DataFrame,
    image_store: DataFrame,
    parameters: ValidationParameters,
    ingestion: IngestionParameters,
) -> tuple[dict, dict[str, bytes], dict]:
    """Run the Great Expectations suites; return their result, Data Docs, and the labels that contradict each other."""
    from visionpipe.quality.expectations import validate_tables
    from visionpipe.reports.label_pages import validation_page

    group_by = ingestion.split.group_by
    outcome = validate_tables(manifest, quarantine, label_history, image_store, parameters, group_by=group_by)
    page = validation_page(outcome.result, outcome.sections)
    return outcome.result, {"index.html": page.encode()}, {"images": outcome.disagreements}


def admit_data(manifest: DataFrame, validation_result: dict, promotion: PromotionParameters) -> DataFrame:
    """Let the manifest through to training only if every expectation was met and the gate's names are its own."""
    from visionpipe.images.manifest import attribute_columns
    from visionpipe.quality.expectations import require_success

    require_success(validation_result)
    promotion.require_names(manifest["label"].unique(), attribute_columns(manifest))
    return manifest
