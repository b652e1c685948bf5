"""What a model is worth when it may leave its least sure answers to a person: risk, coverage, deferral.

Shapes: N images, B resamples, T thresholds. Coverage is the share of the images that the model answers itself,
risk the share of wrong answers among them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from visionpipe.metrics.weighting import Scores, as_scores, totals_at_thresholds, weight_rows
from visionpipe.stats.intervals import clustered_proportion

Floats = NDArray[np.float64]


def aurc(correct_N: ArrayLike, confidence_N: ArrayLike, weights: ArrayLike | None = None) -> Scores:
    """Return the area under the risk-coverage curve, 0 to 1, lower is better.

    AURC = (1 / N) sum over images i of the risk among the images at least as sure as i (Geifman and El-Yaniv 2017;
    Geifman, Uziel and El-Yaniv 2019, equation 3). A confidence that tells nothing has the error rate as its AURC.
    No threshold can part images that are equally sure, so the order of the rows does not matter.

    Parameters
    ----------
    correct_N
        Whether each answer is right, bool or 0 and 1.
    confidence_N
        The larger, the surer; only the order counts.
    weights
        None (a float), weights_N (a float) or weights_BN (values_B).

    Examples
    --------
    >>> aurc([True, True, False, True], [0.9, 0.8, 0.7, 0.6])   # risks 0, 0, 1/3 and 1/4
    0.14583333333333331
    """
    weights_BN, single = weight_rows(weights, len(np.asarray(correct_N)))
    answered_BT, wrong_BT = totals_at_thresholds(
        confidence_N, 1.0 - np.asarray(correct_N, dtype=float), weights_BN
    )
    risk_BT = np.divide(wrong_BT, answered_BT, out=np.zeros_like(wrong_BT), where=answered_BT > 0)
    gained_BT = np.diff(answered_BT, axis=1, prepend=0.0)
    return as_scores(np.einsum("bt,bt->b", gained_BT, risk_BT), answered_BT[:, -1], single)


def aurc_of_images(correct_N: ArrayLike, confidence_N: ArrayLike) -> Floats:
    """Return what each image (N,) adds to the AURC: their mean is `aurc`.

    A mistake raises the risk at every threshold up to its own confidence, so it costs more the surer it was: at
    most 1 + 1/2 + ... + 1/N. A right answer adds nothing.
    """
    confidence, wrong_N = np.asarray(confidence_N, dtype=float), 1.0 - np.asarray(correct_N, dtype=float)
    _, step_N, gained_T = np.unique(-confidence, return_inverse=True, return_counts=True)
    per_mistake_T = (gained_T / gained_T.cumsum())[::-1].cumsum()[::-1]
    return wrong_N * per_mistake_T[step_N.reshape(-1)]


def risk_coverage_curve(
    correct_N: ArrayLike, confidence_N: ArrayLike, points: int = 100
) -> list[tuple[float, float]]:
    """Return (coverage, risk) at thresholds from the surest image to all of them, at most ``points``.

    Parameters
    ----------
    correct_N, confidence_N
        As in `aurc`; no image gives no point.
    points
        >= 1; where there are more thresholds, those nearest to evenly spaced coverages are taken.

    Examples
    --------
    >>> risk_coverage_curve([True, False], [0.9, 0.6])
    [(0.5, 0.0), (1.0, 0.5)]
    """
    n_images = len(np.asarray(correct_N))
    if n_images == 0:
        return []
    answered_BT, wrong_BT = totals_at_thresholds(
        confidence_N, 1.0 - np.asarray(correct_N, dtype=float), np.ones((1, n_images))
    )
    coverage_T, risk_T = answered_BT[0] / n_images, wrong_BT[0] / answered_BT[0]
    wanted = np.arange(1, points + 1) / points
    chosen = np.unique(np.searchsorted(coverage_T, wanted - 1e-9))
    return [(float(coverage_T[t]), float(risk_T[t])) for t in chosen]


def deferral(
    correct_N: ArrayLike, confidence_N: ArrayLike, group_ids_N: ArrayLike, threshold: float, level: float
) -> dict[str, object]:
    """Return how many images the model answers itself at a threshold, and how often it is right then.

    Parameters
    ----------
    correct_N, confidence_N
        As in `aurc`.
    group_ids_N
        Images of one group are not independent evidence.
    threshold
        Images below this confidence go to a person.
    level
        Confidence of the exact intervals, 0 to 1.

    Returns
    -------
    dict
        ``threshold, n`` (images answered), ``coverage`` and ``accuracy`` (intervals, JSON-safe; an accuracy of None
        with a ``reason`` where every image is deferred).
    """
    answered_N = np.asarray(confidence_N) >= threshold
    groups_N, correct = np.asarray(group_ids_N), np.asarray(correct_N, dtype=float)
    accuracy = clustered_proportion(correct[answered_N], groups_N[answered_N], level).as_dict()
    if not answered_N.any():
        accuracy |= {"low": None, "high": None, "reason": "every test image is left to a person"}
    return {
        "threshold": float(threshold),
        "n": int(answered_N.sum()),
        "coverage": clustered_proportion(answered_N.astype(float), groups_N, level).as_dict(),
        "accuracy": accuracy,
    }
