"""Predictions of a model that is often right, drawn at random."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def predictions(
    n: int, n_classes: int, seed: int, decimals: int | None = None
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Draw labels_N, every class among them, and probabilities_NK; logits rounded to few decimals have many ties."""
    random = np.random.default_rng(seed)
    labels_N = random.integers(0, n_classes, size=n)
    labels_N[:n_classes] = np.arange(n_classes)
    logits_NK = random.normal(size=(n, n_classes))
    logits_NK[np.arange(n), labels_N] += 1
    if decimals is not None:
        logits_NK = np.round(logits_NK, decimals)
    return labels_N, np.exp(logits_NK) / np.exp(logits_NK).sum(axis=1, keepdims=True)
