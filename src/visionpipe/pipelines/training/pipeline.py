"""Training as data flow."""

from kedro.pipeline import Pipeline, node, pipeline

from visionpipe.pipelines.training.nodes import discard_checkpoints, fit_candidate, plan_decoding


def create_pipeline() -> Pipeline:
    """Admitted manifest, image bytes -> prepared images -> candidate and how it was trained."""
    return pipeline(
        [
            node(
                plan_decoding,
                inputs=["admitted_manifest", "image_bytes", "params:training"],
                outputs="prepared_images",
                name="plan_decoding",
            ),
            node(
                fit_candidate,
                inputs=[
                    "admitted_manifest",
                    "prepared_images",
                    "checkpoints",
                    "training_origin",
                    "clock",
                    "params:training",
                ],
                outputs=["candidate", "training_log"],
                name="fit_candidate",
            ),
            node(
                discard_checkpoints,
                inputs=["training_log", "checkpoints"],
                outputs=None,
                name="discard_checkpoints",
            ),
        ]
    )
