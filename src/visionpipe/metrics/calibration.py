"""Are the probabilities true? ECE, classwise ECE, reliability bins, Brier score and log loss.

Shapes: N images, K classes, B resamples. Every score takes weights: None (a float), weights_N (a float) or
weights_BN (values_B), so that one call scores all resamples of a bootstrap.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from visionpipe.metrics.weighting import Scores, as_scores, mean_over_images, sum_by_code, weight_rows
from visionpipe.stats.intervals import CELLS_PER_CHUNK, Interval, cluster_index, clustered_proportion

Floats = NDArray[np.float64]
SUM_TOLERANCE = 1e-3  # of a row of probabilities: what half precision on the way here may cost


@dataclass(frozen=True)
class ReliabilityBin:
    """One bar of a reliability diagram: the images whose confidence lies in (lower, upper]."""

    lower: float
    upper: float
    count: int
    confidence: float | None
    """Mean confidence of its images; None in an empty bin."""
    accuracy: Interval | None
    """Share of right answers with its exact interval; None in an empty bin."""

    def as_dict(self) -> dict[str, float | int | None]:
        """Return a flat JSON-safe mapping, the interval as ``accuracy``, ``low`` and ``high``."""
        interval = self.accuracy
        return {
            "lower": self.lower,
            "upper": self.upper,
            "count": self.count,
            "confidence": self.confidence,
            "accuracy": interval.estimate if interval else None,
            "low": interval.low if interval else None,
            "high": interval.high if interval else None,
        }


def expected_calibration_error(
    labels_N: ArrayLike, probabilities_NK: ArrayLike, bins: int = 15, weights: ArrayLike | None = None
) -> Scores:
    """Return the mean gap between confidence and accuracy over equal-width bins, 0 to 1.

    ECE = sum over bins of (images in bin / N) * |accuracy - mean confidence|, with confidence the largest
    probability and bins ((m - 1) / bins, m / bins] (Guo et al. 2017, equation 3). On few images it is too
    large on average: noise in a bin counts as error, whichever way it points.

    Parameters
    ----------
    labels_N
        Class codes, 0 to K - 1.
    probabilities_NK
        Rows that sum to 1.
    bins
        Number of bins, >= 1.
    weights
        None, weights_N or weights_BN (see the module).

    Examples
    --------
    >>> ece = expected_calibration_error([0, 1], [[0.8, 0.2], [0.8, 0.2]])   # says 80 %, is right 50 %
    >>> round(ece, 6)
    0.3
    """
    ((bin_N, gap_N),) = calibration_gaps(labels_N, probabilities_NK, bins)
    weights_BN, single = weight_rows(weights, len(gap_N))
    sums_B = np.abs(sum_by_code(weights_BN, bin_N, bins, values_N=gap_N)).sum(axis=1)
    return as_scores(sums_B, weights_BN.sum(axis=1), single)


def classwise_calibration_error(
    labels_N: ArrayLike, probabilities_NK: ArrayLike, bins: int = 15, weights: ArrayLike | None = None
) -> Scores:
    """Return the mean gap between the probability of a class and its share, over bins and classes, 0 to 1.

    Classwise ECE = (1 / K) sum over classes j, sum over bins of (images in bin / N) * |share of class j - mean p_j|,
    with the bins of `expected_calibration_error` on p_j (Kull et al. 2019, equation 3). It also sees a class whose
    probabilities are wrong while it is never the likeliest. As the ECE, it is too large on few images.

    Parameters
    ----------
    labels_N, probabilities_NK, bins, weights
        As in `expected_calibration_error`.

    Examples
    --------
    >>> error = classwise_calibration_error([0, 1], [[0.8, 0.2], [0.8, 0.2]])   # both classes are off by 30 %
    >>> round(error, 6)
    0.3
    """
    probabilities = np.asarray(probabilities_NK, dtype=float)
    weights_BN, single = weight_rows(weights, len(probabilities))
    sums_B = _classwise_gaps(np.asarray(labels_N), probabilities, bins, weights_BN)
    return as_scores(sums_B / probabilities.shape[1], weights_BN.sum(axis=1), single)


def chance_calibration_error(
    probabilities_NK: ArrayLike,
    cluster_ids_N: ArrayLike,
    bins: int = 15,
    *,
    draws: int,
    level: float,
    seed: int,
    classwise: bool = False,
) -> float:
    """Return the calibration error that a perfectly calibrated model would reach here by chance alone.

    Right answers are drawn with the stated confidence, or labels with the stated probabilities (consistency
    resampling, Broecker and Smith 2007); it is the quantile (1 + level) / 2 of their calibration errors. An estimate
    up to it does not refute an error of 0.

    Parameters
    ----------
    probabilities_NK, bins
        As in `expected_calibration_error`.
    cluster_ids_N
        Images of one cluster are right or wrong together.
    draws, level, seed
        Number of draws (>= 1), confidence (0 to 1) and the seed.
    classwise
        Whether the error is that of `classwise_calibration_error`.
    """
    shares_NE, bin_NE = (each[:, None] for each in _confidence_bins(probabilities_NK, bins))
    if classwise:  # the events E: each class; else one, the answer's being right
        shares_NE = np.asarray(probabilities_NK, dtype=float)
        bin_NE = _bin_of(shares_NE, bins)
    index_N, sizes_G = cluster_index(cluster_ids_N)
    (n_images, n_events), n_cells = shares_NE.shape, shares_NE.shape[1] * bins
    cell_NE = bin_NE + bins * np.arange(n_events)
    expected_C = np.bincount(cell_NE.ravel(), weights=shares_NE.ravel(), minlength=n_cells)
    cell_NX = np.column_stack([cell_NE, np.full(n_images, n_cells)])  # none of the events has a cell, too
    # the event that happens is the one between whose marks luck falls; each image has its marks 2 above the last one's
    above_N = 2.0 * np.arange(n_images)
    marks = (shares_NE.cumsum(axis=1) + above_N[:, None]).ravel()
    random = np.random.default_rng(seed)
    rows = max(1, CELLS_PER_CHUNK // max(n_images, n_cells))
    errors = []
    for start in range(0, draws, rows):
        luck_BN = random.random((min(rows, draws - start), len(sizes_G)))[:, index_N]
        event_BN = np.searchsorted(marks, luck_BN + above_N, side="right") - n_events * np.arange(n_images)
        cell_BN = cell_NX[np.arange(n_images), event_BN]
        cell_BN += (n_cells + 1) * np.arange(len(luck_BN))[:, None]
        happened_BX = np.bincount(cell_BN.ravel(), minlength=len(luck_BN) * (n_cells + 1))
        gap_BC = happened_BX.reshape(len(luck_BN), -1)[:, :-1] - expected_C
        errors.append(np.abs(gap_BC).sum(axis=1) / n_images / n_events)
    return float(np.quantile(np.concatenate(errors), (1 + level) / 2))


def reliability_bins(
    labels_N: ArrayLike,
    probabilities_NK: ArrayLike,
    bins: int = 15,
    level: float = 0.95,
    *,
    cluster_ids_N: ArrayLike | None = None,
) -> list[ReliabilityBin]:
    """Return the bins of a reliability diagram, accuracy with its exact interval.

    Empty bins are returned too, so that the list always covers 0 to 1. Images of one cluster are one piece of evidence;
    without `cluster_ids_N` each image is its own.
    """
    clusters_N = np.arange(len(np.asarray(labels_N))) if cluster_ids_N is None else np.asarray(cluster_ids_N)
    confidence_N, correct_N, bin_N = _binned(labels_N, probabilities_NK, bins)
    edges = np.linspace(0, 1, bins + 1)
    result = []
    for m in range(bins):
        inside = bin_N == m
        count = int(inside.sum())
        result.append(
            ReliabilityBin(
                float(edges[m]),
                float(edges[m + 1]),
                count,
                float(confidence_N[inside].mean()) if count else None,
                clustered_proportion(correct_N[inside], clusters_N[inside], level) if count else None,
            )
        )
    return result


def brier(labels_N: ArrayLike, probabilities_NK: ArrayLike, weights: ArrayLike | None = None) -> Scores:
    """Return the Brier score (1950), lower is better.

    Two classes: mean (p_1 - y)^2, 0 to 1. More: the mean over images of sum_k (p_k - y_k)^2, 0 to 2. This is
    scikit-learn's convention, too.
    """
    return mean_over_images(brier_of_images(labels_N, probabilities_NK), weights)


def brier_of_images(labels_N: ArrayLike, probabilities_NK: ArrayLike) -> Floats:
    """Return what each image (N,) adds to the Brier score."""
    probabilities = np.asarray(probabilities_NK, dtype=float)
    at_label = np.take_along_axis(probabilities, np.asarray(labels_N)[:, None], axis=1)[:, 0]
    per_image_N = (probabilities**2).sum(axis=1) + 1 - 2 * at_label
    return per_image_N / (2 if probabilities.shape[1] == 2 else 1)


def nll(labels_N: ArrayLike, probabilities_NK: ArrayLike, weights: ArrayLike | None = None) -> Scores:
    """Return the mean negative log-likelihood (log loss) in nats, lower is better.

    A probability of 0 counts as the smallest that float64 tells apart from it (2.2e-16: 36 nats), as in
    scikit-learn.
    """
    return mean_over_images(nll_of_images(labels_N, probabilities_NK), weights)


def nll_of_images(labels_N: ArrayLike, probabilities_NK: ArrayLike) -> Floats:
    """Return the negative log-likelihood of each image (N,), in nats."""
    probabilities = np.asarray(probabilities_NK, dtype=float)
    at_label = np.take_along_axis(probabilities, np.asarray(labels_N)[:, None], axis=1)[:, 0]
    smallest = np.finfo(float).eps
    return -np.log(np.clip(at_label, smallest, 1 - smallest))


def worst_nll(probabilities_NK: ArrayLike) -> float:
    """Return the largest negative log-likelihood to reckon with, in nats: what the probabilities could have cost.

    That of the least likely class, where it is smallest; at least that of a probability of 1 in 1,000, which a
    sample without any very sure answer does not rule out.
    """
    smallest = max(float(np.finfo(float).eps), min(1e-3, float(np.asarray(probabilities_NK).min())))
    return -math.log(smallest)


def calibration_gaps(
    labels_N: ArrayLike, probabilities_NK: ArrayLike, bins: int, *, classwise: bool = False
) -> list[tuple[NDArray[np.int64], Floats]]:
    """Return what a calibration error adds up: the bin of each image, and its outcome (0 or 1) less its probability.

    One pair (bin_N, gap_N) for the answer's being right; classwise, one for each class.
    """
    if not classwise:
        confidence_N, correct_N, bin_N = _binned(labels_N, probabilities_NK, bins)
        return [(bin_N, correct_N - confidence_N)]
    probabilities = np.asarray(probabilities_NK, dtype=float)
    gap_NK = (np.asarray(labels_N)[:, None] == np.arange(probabilities.shape[1])) - probabilities
    return list(zip(_bin_of(probabilities, bins).T, gap_NK.T, strict=True))


def _classwise_gaps(
    labels_N: NDArray[np.int64], probabilities_NK: Floats, bins: int, weights_BN: Floats
) -> Floats:
    """Return sums_B over classes and bins of the absolute weighted gap between a class's share and probability.

    Of many classes, an image has nearly all in the lowest bin: its gap is what the others leave of all.
    """
    from scipy.sparse import csr_array

    n_classes = probabilities_NK.shape[1]
    gap_NK = (labels_N[:, None] == np.arange(n_classes)) - probabilities_NK
    row_H, class_H = np.nonzero(bin_NK := _bin_of(probabilities_NK, bins))
    cells_C, cell_H = np.unique(class_H * bins + bin_NK[row_H, class_H], return_inverse=True)
    higher_NC = csr_array((gap_NK[row_H, class_H], (row_H, cell_H)), shape=(len(gap_NK), len(cells_C)))
    rows, sums = max(1, CELLS_PER_CHUNK // max(len(cells_C), n_classes)), []
    for start in range(0, len(weights_BN), rows):
        chunk_BN = weights_BN[start : start + rows]
        higher_BC = chunk_BN @ higher_NC
        lowest_BK = chunk_BN @ gap_NK - sum_by_code(higher_BC, cells_C // bins, n_classes)
        sums.append(np.abs(higher_BC).sum(axis=1) + np.abs(lowest_BK).sum(axis=1))
    return np.concatenate(sums)


def _binned(
    labels_N: ArrayLike, probabilities_NK: ArrayLike, bins: int
) -> tuple[Floats, Floats, NDArray[np.int64]]:
    confidence_N, bin_N = _confidence_bins(probabilities_NK, bins)
    correct_N = np.asarray(probabilities_NK, dtype=float).argmax(axis=1) == np.asarray(labels_N)
    return confidence_N, correct_N.astype(float), bin_N


def _confidence_bins(probabilities_NK: ArrayLike, bins: int) -> tuple[Floats, NDArray[np.int64]]:
    confidence_N = np.asarray(probabilities_NK, dtype=float).max(axis=1, initial=-math.inf)
    return confidence_N, _bin_of(confidence_N, bins)


def _bin_of(probabilities: Floats, bins: int) -> NDArray[np.int64]:
    if bins < 1:
        raise ValueError(f"bins is {bins}: at least one is needed")
    return np.digitize(probabilities, np.linspace(0, 1, bins + 1)[1:-1], right=True)


def probability_problems(probabilities_NK: Floats, n_images: int, n_classes: int) -> list[str]:
    """Return what keeps an array from being N rows of K probabilities, in words; empty when nothing does."""
    if probabilities_NK.shape != (n_images, n_classes):
        return [f"shape {probabilities_NK.shape} instead of ({n_images}, {n_classes})"]
    finite_N = np.isfinite(probabilities_NK).all(axis=1)
    rows = probabilities_NK[finite_N]
    outside = int(np.sum((rows < -1e-6).any(axis=1) | (np.abs(rows.sum(axis=1) - 1) > SUM_TOLERANCE)))
    counted = ((int(np.sum(~finite_N)), "not finite"), (outside, "negative or do not sum to 1"))
    return [f"{count} of {n_images} rows are {what}" for count, what in counted if count]
