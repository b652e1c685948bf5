"""Make confidence mean what it says: temperature scaling, and the threshold below which a person decides."""

from __future__ import annotations

import numpy as np

_TEMPERATURES = (0.05, 20.0)


def fit_temperature(logits_NK: np.ndarray, labels_N: np.ndarray) -> float:
    """Find the temperature with the least negative log-likelihood (Guo et al., ICML 2017, section 4.2).

    Parameters
    ----------
    logits_NK : numpy.ndarray
        Validation logits.
    labels_N : numpy.ndarray
        Class codes, int.

    Returns
    -------
    float
        Above 1 softens, below 1 sharpens; within [0.05, 20].
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    rows, logits_NK = np.arange(len(labels_N)), logits_NK.astype(np.float64)

    def negative_log_likelihood(log_temperature: float) -> float:
        return -log_softmax(logits_NK / np.exp(log_temperature), axis=1)[rows, labels_N].mean()

    bounds = (np.log(_TEMPERATURES[0]), np.log(_TEMPERATURES[1]))
    found = minimize_scalar(negative_log_likelihood, bounds=bounds, method="bounded")
    return float(np.exp(found.x))


def deferral_confidence(
    confidence_N: np.ndarray, correct_N: np.ndarray, wanted_accuracy: float
) -> float | None:
    """Find the lowest confidence from which on predictions are as accurate as wanted.

    Parameters
    ----------
    confidence_N : numpy.ndarray
        Validation confidences, 0 to 1.
    correct_N : numpy.ndarray
        Whether each prediction was right, bool.
    wanted_accuracy : float
        Of the predictions at or above the threshold, 0 to 1.

    Returns
    -------
    float or None
        None when no threshold reaches it.

    Examples
    --------
    >>> deferral_confidence(np.array([0.6, 0.7, 0.9]), np.array([False, True, True]), 1.0)
    0.7
    """
    order = np.argsort(-confidence_N, kind="stable")
    accuracy_N = np.cumsum(correct_N[order]) / np.arange(1, len(order) + 1)
    last_of_ties = np.append(np.diff(confidence_N[order]) != 0, True)
    good = np.flatnonzero((accuracy_N >= wanted_accuracy) & last_of_ties)
    return float(confidence_N[order][good[-1]]) if len(good) else None
