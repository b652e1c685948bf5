"""Judge the data before anything learns from them."""

from __future__ import annotations

from visionpipe.pipelines.annotations import DataFrame
from visionpipe.promotion.parameters import PromotionParameters
from visionpipe.quality.parameters import ValidationParameters


def validate_data(
    manifest: DataFrame, quarantine: DataFrame, parameters: ValidationParameters
) -> tuple[dict, dict[str, bytes]]:
    """Run the Great Expectations suites; return their result and Data Docs."""
    from visionpipe.quality.expectations import validate_manifest

    outcome = validate_manifest(manifest, quarantine, parameters)
    return outcome.result, outcome.docs


def admit_data(manifest: DataFrame, validation_result: dict, promotion: PromotionParameters) -> DataFrame:
    """Let the manifest through to training only if every expectation was met and the limits name its classes."""
    from visionpipe.quality.expectations import require_success

    require_success(validation_result)
    promotion.require_classes(manifest["label"].unique())
    return manifest
