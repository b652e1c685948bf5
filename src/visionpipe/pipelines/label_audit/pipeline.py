"""The label audit as data flow."""

from kedro.pipeline import Pipeline, node, pipeline

from visionpipe.pipelines.label_audit.nodes import (
    audit_agreement,
    index_label_audit,
    predict_out_of_fold,
    rank_issues,
    render_audit,
)


def create_pipeline() -> Pipeline:
    """Manifest, image bytes, label history -> label issues, audit -> report, index."""
    return pipeline(
        [
            node(
                predict_out_of_fold,
                inputs=["manifest", "image_bytes", "params:training", "params:label_audit"],
                outputs="out_of_fold_probabilities",
                name="predict_out_of_fold",
            ),
            node(
                audit_agreement,
                inputs=["label_history", "manifest", "image_store", "params:validation"],
                outputs=["label_agreement", "label_disagreements"],
                name="audit_agreement",
            ),
            node(
                rank_issues,
                inputs=[
                    "manifest",
                    "image_store",
                    "out_of_fold_probabilities",
                    "label_agreement",
                    "params:label_audit",
                ],
                outputs=["label_issues", "label_audit"],
                name="rank_issues",
            ),
            node(
                render_audit,
                inputs=[
                    "label_audit",
                    "label_disagreements",
                    "label_issues",
                    "image_bytes",
                    "params:label_audit",
                ],
                outputs="label_audit_report",
                name="render_audit",
            ),
            node(
                index_label_audit,
                inputs=["earlier_reports", "label_audit"],
                outputs="label_audit_index",
                name="index_label_audit",
            ),
        ]
    )
