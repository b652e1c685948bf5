"""Validation as data flow."""

from kedro.pipeline import Pipeline, node, pipeline

from visionpipe.pipelines.validation.nodes import admit_data, validate_data


def create_pipeline() -> Pipeline:
    """Manifest, quarantine, labels -> validation result, Data Docs, disagreements, index -> admitted manifest."""
    return pipeline(
        [
            node(
                validate_data,
                inputs=[
                    "manifest",
                    "quarantine",
                    "label_history",
                    "image_store",
                    "earlier_reports",
                    "params:validation",
                    "params:ingestion",
                ],
                outputs=["validation_result", "data_docs", "disagreements", "validation_index"],
                name="validate_data",
            ),
            node(
                admit_data,
                inputs=["manifest", "validation_result", "params:promotion"],
                outputs="admitted_manifest",
                name="admit_data",
            ),
        ]
    )
