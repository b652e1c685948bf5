"""The model as MLflow serves it: an image's bytes in, a label out. Logged as code, so nothing is unpickled."""

from __future__ import annotations

from pathlib import Path

import mlflow
import numpy as np
import pandas as pd


class ServedClassifier(mlflow.pyfunc.PythonModel):
    """Answers `mlflow models serve`: one row an image, column `image` with the file's bytes."""

    def load_context(self, context: mlflow.pyfunc.PythonModelContext) -> None:
        """Read the classifier's files, and which photos its project accepts."""
        from visionpipe.images.parameters import IngestionParameters
        from visionpipe.models.classifier import load_classifier
        from visionpipe.promotion.model_version import ACCEPTANCE

        self._classifier = load_classifier(Path(context.artifacts["candidate"]))
        acceptance = Path(context.artifacts["evaluation"]) / ACCEPTANCE
        # a version from before it was kept: the limits that a project has by default
        text = acceptance.read_text() if acceptance.is_file() else "{}"
        self._accepted = IngestionParameters.model_validate_json(text)

    def predict(
        self, context: mlflow.pyfunc.PythonModelContext, model_input: pd.DataFrame, params: dict | None = None
    ) -> pd.DataFrame:
        """Classify images.

        Parameters
        ----------
        model_input : DataFrame
            Column `image`: bytes of a photo (base64 in a JSON request).

        Returns
        -------
        DataFrame
            `predicted_label, confidence, deferred, probabilities` (in the order of the model's classes).

        Raises
        ------
        ValueError
            When a photo would not be accepted for training either; the message names the row and the reason.
        """
        from visionpipe.images.decode import decode_rgb
        from visionpipe.images.inspect import Refusal, inspect_photo

        spec = self._classifier.spec
        pixels = []
        for row, data in enumerate(model_input["image"]):
            _, verdict = inspect_photo(bytes(data), self._accepted)
            if isinstance(verdict, Refusal):
                raise ValueError(f"row {row}: {verdict.reason}: {verdict.detail}")
            pixels.append(decode_rgb(bytes(data), spec.image_size_px))
        side_px = spec.image_size_px
        predictions = self._classifier.predict(np.reshape(pixels, (-1, side_px, side_px, 3)).astype(np.uint8))
        return pd.DataFrame(
            {
                "predicted_label": predictions.labels,
                "confidence": predictions.confidence_N,
                "deferred": spec.defers(predictions.confidence_N),
                "probabilities": predictions.probabilities_NK.tolist(),
            }
        )


mlflow.models.set_model(ServedClassifier())
