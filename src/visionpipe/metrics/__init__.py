"""How good is a classifier? Accuracy-like and ranking metrics, calibration, each with its interval."""

from visionpipe.metrics.calibration import (
    ReliabilityBin,
    brier,
    expected_calibration_error,
    nll,
    reliability_bins,
)
from visionpipe.metrics.classification import (
    accuracy,
    auroc,
    average_precision,
    balanced_accuracy,
    class_precision,
    class_recall,
    macro_f1,
)
from visionpipe.metrics.summary import classification_metrics

__all__ = [
    "ReliabilityBin",
    "accuracy",
    "auroc",
    "average_precision",
    "balanced_accuracy",
    "brier",
    "class_precision",
    "class_recall",
    "classification_metrics",
    "expected_calibration_error",
    "macro_f1",
    "nll",
    "reliability_bins",
]
