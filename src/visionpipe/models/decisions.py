"""From probabilities to a label: the likeliest, the one of least expected cost, or one under a false-positive cap.

Legend: N images, K classes.
"""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat


class Decision(BaseModel):
    """The rule that gives an image its label, as it stands in `model.json`; empty, it takes the likeliest class."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    costs_KK: list[list[FiniteFloat]] | None = None
    """What it costs to give class j (column) to an image of class k (row); the least expected cost decides."""
    prior_weights_K: list[FiniteFloat] | None = None
    """By what the probabilities are multiplied before costs are weighed, so that they match the classes' shares."""
    capped_class: Annotated[int, Field(ge=0)] | None = None
    """Code of the class that is given when, and only when, its probability reaches `capped_from`."""
    capped_from: FiniteFloat | None = None
    """Found on validation for the wanted false-positive rate."""

    def fits(self, n_classes: int) -> bool:
        """Say whether the rule is complete and made for so many classes."""
        if (self.costs_KK is None) != (self.prior_weights_K is None):
            return False
        if (self.capped_class is None) != (self.capped_from is None):
            return False
        rows = [] if self.costs_KK is None else [self.prior_weights_K, self.costs_KK, *self.costs_KK]
        return all(len(row) == n_classes for row in rows) and (self.capped_class or 0) < n_classes

    def choose(self, probabilities_NK: np.ndarray) -> np.ndarray:
        """Return the class codes (N,), int64, that the rule gives to rows of probabilities (N, K)."""
        if self.costs_KK is not None:
            weighted_NK = probabilities_NK * np.asarray(self.prior_weights_K)
            return (weighted_NK @ np.asarray(self.costs_KK)).argmin(axis=1)
        if self.capped_class is None:
            return probabilities_NK.argmax(axis=1)
        others_NK = probabilities_NK.copy()
        others_NK[:, self.capped_class] = -1
        given_N = probabilities_NK[:, self.capped_class] >= self.capped_from
        return np.where(given_N, self.capped_class, others_NK.argmax(axis=1))

    def decide(self, probabilities_NK: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the class codes (N,), int64, that the rule gives, and the probabilities (N,) of these classes."""
        codes_N = self.choose(probabilities_NK)
        return codes_N, probabilities_NK[np.arange(len(codes_N)), codes_N]


def fit_prior_weights(probabilities_NK: np.ndarray, labels_N: np.ndarray) -> np.ndarray:
    """Find the weights of the classes that make the probabilities likeliest on validation.

    A model that was trained on balanced classes believes in balanced classes; multiplied by these weights and
    scaled to sum to 1, its mean probability of a class is the class's share of the images. With two classes and
    a fitted temperature this is Platt's (1999) calibration. One made-up image that says nothing, a part of it of each
    class, keeps the weights finite where no image is wrong.

    Parameters
    ----------
    probabilities_NK : numpy.ndarray
        After the temperature.
    labels_N : numpy.ndarray
        Class codes, int.

    Returns
    -------
    numpy.ndarray
        (K,) float64, geometric mean 1.

    References
    ----------
    Alexandari et al., Maximum Likelihood with Bias-Corrected Calibration, ICML 2020, section 4 (bias terms).
    """
    from scipy.optimize import minimize
    from scipy.special import log_softmax, softmax

    n_classes = probabilities_NK.shape[1]
    made_up_KK = np.full((n_classes, n_classes), 1 / n_classes)
    log_p_MK = np.log(np.maximum(np.vstack([probabilities_NK, made_up_KK]), np.finfo(float).tiny))
    codes_M = np.append(labels_N, np.arange(n_classes))
    weights_M = np.append(np.ones(len(labels_N)), np.full(n_classes, 1 / n_classes)) / (len(labels_N) + 1)
    rows, shares_K = np.arange(len(codes_M)), np.bincount(codes_M, weights_M)

    def negative_log_likelihood(bias_K: np.ndarray) -> tuple[float, np.ndarray]:
        loss = -weights_M @ log_softmax(log_p_MK + bias_K, axis=1)[rows, codes_M]
        return loss, weights_M @ softmax(log_p_MK + bias_K, axis=1) - shares_K

    bias_K = minimize(negative_log_likelihood, np.zeros(n_classes), jac=True, options={"gtol": 1e-8}).x
    return np.exp(bias_K - bias_K.mean())


def capped_threshold(probability_N: np.ndarray, of_class_N: np.ndarray, max_rate: float) -> float | None:
    """Find the lowest probability from which on a class may be given under a cap on its false-positive rate.

    Of the n validation images of other classes, at most max_rate * (n + 1) - 1 lie at or above the threshold.
    Then the expected rate on new images of the same kind is at most max_rate: the rank of a new image among them
    is uniform (conformal prediction).

    Parameters
    ----------
    probability_N : numpy.ndarray
        Of the class, 0 to 1.
    of_class_N : numpy.ndarray
        Whether the image is of the class, bool.
    max_rate : float
        0 to 1.

    Returns
    -------
    float or None
        None when there are too few images of other classes to keep any promise: 1 / max_rate - 1 are needed.

    References
    ----------
    Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005, proposition 2.4.

    Examples
    --------
    >>> scores, positive = np.array([0.9, 0.8, 0.6, 0.3, 0.2]), np.array([True, False, True, False, False])
    >>> 0.3 < capped_threshold(scores, positive, 0.5) < 0.301
    True
    """
    others = np.sort(probability_N[~of_class_N])[::-1]
    allowed = math.floor(max_rate * (len(others) + 1) + 1e-9) - 1  # 0.29 * 100 is 29, less a rounding error
    if allowed < 0:
        return None
    if allowed >= len(others):
        return 0.0
    return float(np.nextafter(others[allowed], 2))
