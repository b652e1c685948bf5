"""Weights of images: what lets one call score every resample of a bootstrap.

Shapes: N images, B resamples, C codes (classes or bins), T thresholds.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Scores = float | NDArray[np.float64]
"""One value, or values_B when weights_BN were given."""


def weight_rows(weights: ArrayLike | None, n_images: int) -> tuple[NDArray[np.float64], bool]:
    """Return weights as (weights_BN, whether the caller wants a single value)."""
    if weights is None:
        return np.ones((1, n_images)), True
    array = np.asarray(weights, dtype=float)
    if array.ndim not in (1, 2) or array.shape[-1] != n_images:
        raise ValueError(f"weights of shape {array.shape} for {n_images} images; (N,) or (B, N) is needed")
    return np.atleast_2d(array), array.ndim == 1


def as_scores(sum_B: NDArray[np.float64], total_B: NDArray[np.float64], single: bool) -> Scores:
    """Return sum / total, NaN where the total is 0."""
    share_B = np.divide(sum_B, total_B, out=np.full(len(total_B), np.nan), where=total_B > 0)
    return float(share_B[0]) if single else share_B


def mean_over_images(values_N: NDArray[np.float64], weights: ArrayLike | None) -> Scores:
    """Return the weighted mean of one number an image."""
    weights_BN, single = weight_rows(weights, len(values_N))
    return as_scores(weights_BN @ values_N, weights_BN.sum(axis=1), single)


def sum_by_code(
    weights_BN: NDArray[np.float64],
    codes_N: NDArray[np.int64],
    n_codes: int,
    values_N: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Return sums_BC of weight (times value) over the images of each code: one sparse matrix product."""
    from scipy.sparse import csr_array

    values = np.ones(len(codes_N)) if values_N is None else values_N
    return weights_BN @ csr_array((values, (np.arange(len(codes_N)), codes_N)), shape=(len(codes_N), n_codes))


def totals_at_thresholds(
    scores_N: ArrayLike, events_N: ArrayLike, weights_BN: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the weight of the images at or above each threshold, and of the events (0 or 1) among them, both (B, T).

    Thresholds fall from the highest score; images of equal scores share one.
    """
    scores, events = np.asarray(scores_N, dtype=float), np.asarray(events_N)
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))  # last image of each run of ties
    ordered_BN = weights_BN[:, order]
    return np.cumsum(ordered_BN, axis=1)[:, ends], np.cumsum(ordered_BN * events[order], axis=1)[:, ends]
