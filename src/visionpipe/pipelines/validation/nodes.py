"""Judge the data before anything learns from them."""

from __future__ import annotations

from collections.abc import Mapping

from visionpipe.images.parameters import IngestionParameters
from visionpipe.pipelines.annotations import DataFrame
from visionpipe.promotion.parameters import PromotionParameters
from visionpipe.quality.parameters import ValidationParameters


def validate_data(
    manifest: DataFrame,
    quarantine: DataFrame,
    label_history: DataFrame,
    image_store: DataFrame,
    earlier_reports: Mapping[str, dict],
    parameters: ValidationParameters,
    ingestion: IngestionParameters,
) -> tuple[dict, dict[str, bytes], dict, str]:
    """Run the Great Expectations suites; return their result, Data Docs, contradicting labels, and the index.

    The index is written here already, because data that fail end the run.
    """
    from visionpipe.quality.expectations import validate_tables
    from visionpipe.reports.index import run_index
    from visionpipe.reports.label_pages import validation_page

    group_by = ingestion.split.group_by
    outcome = validate_tables(manifest, quarantine, label_history, image_store, parameters, group_by=group_by)
    page = validation_page(outcome.result, outcome.sections)
    index = run_index({**earlier_reports, "validation": outcome.result})
    return outcome.result, {"index.html": page.encode()}, {"images": outcome.disagreements}, index


def admit_data(manifest: DataFrame, validation_result: dict, promotion: PromotionParameters) -> DataFrame:
    """Let the manifest through to training only if every expectation was met and the gate's names are its own."""
    from visionpipe.images.manifest import attribute_columns
    from visionpipe.quality.expectations import require_success

    require_success(validation_result)
    promotion.require_names(manifest["label"].unique(), attribute_columns(manifest))
    return manifest
