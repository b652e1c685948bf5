"""Everything that is measured on a test set, in one JSON-safe dictionary."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from visionpipe.errors import VisionpipeError
from visionpipe.metrics.calibration import reliability_bins
from visionpipe.metrics.costs import expected_cost
from visionpipe.metrics.parameters import EvaluationParameters
from visionpipe.metrics.selective import deferral, risk_coverage_curve
from visionpipe.metrics.slices import (
    LOWER,
    JudgedSlice,
    Slice,
    cut,
    judge_slices,
    pairs_of_attributes,
    slices_of_classes,
    worst_slice,
)
from visionpipe.metrics.summary import classification_metrics
from visionpipe.stats.intervals import cluster_index

if TYPE_CHECKING:
    import pandas as pd


def evaluate(
    predictions: pd.DataFrame,
    classes: Sequence[str],
    slice_columns: Sequence[str],
    parameters: EvaluationParameters,
    deferral_confidence: float | None = None,
    costs_KK: Sequence[Sequence[float]] | None = None,
) -> dict:
    """Measure predictions against labels.

    Parameters
    ----------
    predictions : DataFrame
        `label, predicted_label, probabilities (K), group_id` and the slice columns; one row a test image.
    classes : sequence of str
        The K classes, in the order of `probabilities`.
    slice_columns : sequence of str
        Attributes whose values, pairs of values, and values within each class are judged one by one.
    parameters : EvaluationParameters
        Confidence level, resamples, seed and what a slice needs.
    deferral_confidence : float or None
        Below it a person decides, 0 to 1. None: the model has no such threshold.
    costs_KK : sequence of sequences of float or None
        Of giving class j (column) to an image of class k (row), by which the labels were chosen. None: by none.

    Returns
    -------
    dict
        `classes, n, metrics, per_class, confusion, reliability, selective, costs, slices, slice_pairs, worst_slice,
        notes`; intervals as `{estimate, low, high, level, n}`. `costs` is None without `costs_KK`; else it holds them
        as `matrix`, and what an image costs on average: with the labels given (`achieved`), with the likeliest
        (`likeliest`).
    """
    labels_N = codes_of(predictions["label"], classes)
    probabilities_NK = np.stack(predictions["probabilities"].to_list())
    predicted_N = codes_of(predictions["predicted_label"], classes)
    groups_N = cluster_index(predictions["group_id"])[0]
    correct_N = labels_N == predicted_N
    confidence_N = probabilities_NK[np.arange(len(labels_N)), predicted_N]
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
    deferred = (
        None
        if deferral_confidence is None
        else deferral(correct_N, confidence_N, groups_N, deferral_confidence, parameters.level)
    )
    judge = partial(
        judge_slices,
        correct_N=correct_N,
        groups_N=groups_N,
        level=parameters.level,
        precision=parameters.slice_precision,
    )
    return {
        "classes": list(classes),
        "n": len(predictions),
        "metrics": {
            name: value
            for name, value in measured.items()
            # without costs, the expected cost is the error rate
            if isinstance(value, dict) and "[" not in name and name != "expected_cost"
        },
        "per_class": {
            name: {
                **{
                    kind: measured[f"{kind}[{name}]"]
                    for kind in ("recall", "precision", "false_positive_rate")
                },
                "n": judged.n,
                "verdict": judged.verdict,
            }
            for name, judged in zip(classes, judge(slices_of_classes(labels_N, classes)), strict=True)
        },
        "confusion": confusion_KK.tolist(),
        "reliability": [
            bin_.as_dict()
            for bin_ in reliability_bins(
                labels_N, probabilities_NK, level=parameters.level, cluster_ids_N=groups_N
            )
        ],
        "selective": {
            "aurc": measured["aurc"],
            "curve": [list(point) for point in risk_coverage_curve(correct_N, confidence_N)],
            "deferral": deferred,
        },
        "costs": None
        if costs_KK is None
        else {
            "matrix": [list(row) for row in costs_KK],
            **{
                name: expected_cost(labels_N, given_N, costs_KK, groups_N, parameters.level).as_dict()
                for name, given_N in (
                    ("achieved", predicted_N),
                    ("likeliest", probabilities_NK.argmax(axis=1)),
                )
            },
        },
        **_sliced(predictions[list(slice_columns)], labels_N, classes, judge, parameters),
    }


def _sliced(
    attributes: pd.DataFrame,
    labels_N: np.ndarray,
    classes: Sequence[str],
    judge: Callable[[Sequence[Slice]], list[JudgedSlice]],
    parameters: EvaluationParameters,
) -> dict:
    """Return `slices`, `slice_pairs` (weakest first), `worst_slice` and `notes` on what is not listed."""
    columns = [
        cut(name, attributes[name].astype("string").fillna("unknown"), parameters.min_slice_images)
        for name in attributes
    ]
    singles = judge([each for column in columns for each in column.slices()])
    pairs, n_pairs = pairs_of_attributes(
        columns, labels_N, classes, least=parameters.min_slice_images, most=parameters.max_slice_pairs
    )
    judged_pairs = judge(pairs)
    in_order = iter(singles)
    slices = {
        column.name: {
            value: {"n": each.n, "accuracy": each.share.as_dict(), "verdict": each.verdict}
            for value, each in zip(column.values, in_order, strict=False)
        }
        for column in columns
        if column.values
    }
    worst = worst_slice([*singles, *judged_pairs])
    notes = []
    if rare := [f"{column.n_rare:,} of {column.name}" for column in columns if column.n_rare]:
        notes.append(
            f"Values with fewer than {parameters.min_slice_images} test images are not listed as slices: "
            f"{', '.join(rare)}."
        )
    if n_pairs > len(pairs):
        notes.append(f"Of {n_pairs:,} pairs of attributes, the {len(pairs):,} largest were judged.")
    weakest_first = sorted(judged_pairs, key=lambda each: (each.verdict != LOWER, each.share.high, each.name))
    return {
        "slices": slices,
        "slice_pairs": [each.as_dict() for each in weakest_first],
        "worst_slice": worst
        and {
            "name": worst.name,
            "n": worst.n,
            "accuracy": worst.share.as_dict(),
            "verdict": worst.verdict,
        },
        "notes": notes,
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
