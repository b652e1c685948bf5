"""Everything that is measured on a test set, in one JSON-safe dictionary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from visionpipe.errors import VisionpipeError
from visionpipe.metrics.calibration import reliability_bins
from visionpipe.metrics.parameters import EvaluationParameters
from visionpipe.metrics.summary import classification_metrics
from visionpipe.stats.intervals import clustered_proportion

if TYPE_CHECKING:
    import pandas as pd


def evaluate(
    predictions: pd.DataFrame,
    classes: Sequence[str],
    slice_columns: Sequence[str],
    parameters: EvaluationParameters,
) -> dict:
    """Measure predictions against labels.

    Parameters
    ----------
    predictions : DataFrame
        `label, predicted_label, probabilities (K), group_id` and the slice columns; one row a test image.
    classes : sequence of str
        The K classes, in the order of `probabilities`.
    slice_columns : sequence of str
        Attributes whose values are judged one by one.
    parameters : EvaluationParameters
        Confidence level, resamples and seed.

    Returns
    -------
    dict
        `classes, n, metrics, per_class, confusion, reliability, slices, notes`; intervals as
        `{estimate, low, high, level, n}`.
    """
    labels_N = codes_of(predictions["label"], classes)
    probabilities_NK = np.stack(predictions["probabilities"].to_list())
    predicted_N = codes_of(predictions["predicted_label"], classes)
    groups_N = predictions["group_id"].to_numpy()
    measured = classification_metrics(
        labels_N,
        probabilities_NK,
        classes,
        groups_N,
        resamples=parameters.resamples,
        level=parameters.level,
        seed=parameters.seed,
        predicted_N=predicted_N,
    )
    confusion_KK = np.zeros((len(classes), len(classes)), dtype=int)
    np.add.at(confusion_KK, (labels_N, predicted_N), 1)
    scalar = {name: value for name, value in measured.items() if isinstance(value, dict) and "[" not in name}
    return {
        "classes": list(classes),
        "n": len(predictions),
        "metrics": scalar,
        "per_class": {
            name: {
                "recall": measured[f"recall[{name}]"],
                "precision": measured[f"precision[{name}]"],
                "n": int(confusion_KK[k].sum()),
            }
            for k, name in enumerate(classes)
        },
        "confusion": confusion_KK.tolist(),
        "reliability": [bin_.as_dict() for bin_ in reliability_bins(labels_N, probabilities_NK)],
        "slices": _slices(predictions, labels_N == predicted_N, slice_columns, parameters),
        "notes": [],
    }


def codes_of(labels: pd.Series, classes: Sequence[str]) -> np.ndarray:
    """Return each label's position in `classes`, int64.

    Raises
    ------
    VisionpipeError
        For a label that is none of the classes.
    """
    position = {name: code for code, name in enumerate(classes)}
    unknown = sorted(set(labels) - set(position))
    if unknown:
        raise VisionpipeError(f"labels {unknown} are none of the classes {', '.join(classes)}")
    return labels.map(position).to_numpy(dtype=np.int64)


def _slices(
    predictions: pd.DataFrame, correct_N: np.ndarray, columns: Sequence[str], parameters: EvaluationParameters
) -> dict[str, dict[str, dict]]:
    slices: dict[str, dict[str, dict]] = {}
    for column in columns:
        values = predictions[column].astype("string").fillna("unknown")
        judged = {}
        for value in sorted(values.unique()):
            inside_N = (values == value).to_numpy()
            if inside_N.sum() < parameters.min_slice_images:
                continue
            accuracy = clustered_proportion(
                correct_N[inside_N].astype(float),
                predictions["group_id"].to_numpy()[inside_N],
                parameters.level,
            )
            judged[str(value)] = {"n": int(inside_N.sum()), "accuracy": accuracy.as_dict()}
        if judged:
            slices[column] = judged
    return slices
