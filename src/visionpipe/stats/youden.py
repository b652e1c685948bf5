"""Difference of two models in Youden's J for one class, on the same images."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm

from visionpipe.stats.paired import effective_disagreements, planned_disagreement


@dataclass(frozen=True)
class YoudenDifference:
    """Challenger's J less the champion's.

    Attributes
    ----------
    difference : float
        -2 to 2.
    standard_error : float
        Above 0 even without a disagreement: few images prove nothing.
    planned_error : float
        Standard error for an equally good challenger whose errors correlate by one half with the champion's.
    """

    difference: float
    standard_error: float
    planned_error: float

    def p_inferior(self, margin: float) -> float:
        """Return the p-value of the hypothesis that the true difference is at or below -margin."""
        return float(norm.sf((self.difference + margin) / self.standard_error))

    def p_worse(self) -> float:
        """Return the p-value of the hypothesis that the true difference is 0 or above."""
        return float(norm.sf(-self.difference / self.standard_error))

    def planned_reach(self, margin: float) -> float:
        """Return by how many planned standard errors an equally good challenger would clear the margin."""
        return margin / self.planned_error

    def interval(self, confidence: float) -> tuple[float, float]:
        """Return the normal interval at a two-sided confidence in (0, 1)."""
        half = float(norm.ppf(0.5 + confidence / 2)) * self.standard_error
        return self.difference - half, self.difference + half


def youden_difference(
    champion_called_N: ArrayLike,
    challenger_called_N: ArrayLike,
    labelled_N: ArrayLike,
    cluster_ids_N: ArrayLike,
    *,
    level: float,
) -> YoudenDifference:
    """Compare two models by J = recall + specificity - 1 of one class (Youden, Cancer 1950).

    J rewards a found image of the class as much as it punishes a false alarm, each as a share of its own kind:
    whoever calls everything by the name of the class has J = 0. Recall and specificity are paired differences of
    proportions on disjoint images; each has the Laplace-adjusted Wald variance of Bonett and Price (J. Educ. Behav.
    Stat. 2012).

    Parameters
    ----------
    champion_called_N, challenger_called_N : array of bool
        Whether each model gave the image this class.
    labelled_N : array of bool
        Whether the image has this class. Both kinds must occur.
    cluster_ids_N
        Disagreements in one cluster count by their effective number.
    level : float
        Confidence at which effective numbers are taken, as in `effective_disagreements`.

    Returns
    -------
    YoudenDifference

    Raises
    ------
    ValueError
        When all images are of the class, or none is.

    Examples
    --------
    >>> youden_difference([1, 0, 1, 1], [1, 1, 1, 0], [1, 1, 0, 0], [0, 1, 2, 3], level=0.95).difference
    1.0
    """
    labelled = np.asarray(labelled_N, dtype=bool)
    if labelled.all() or not labelled.any():
        raise ValueError("Youden's J needs images of the class and others")
    champion, challenger = (np.asarray(c, dtype=bool) for c in (champion_called_N, challenger_called_N))
    clusters = np.asarray(cluster_ids_N)
    difference, variance, planned = 0.0, 0.0, 0.0
    for rows, right_is in ((labelled, True), (~labelled, False)):
        was_right, is_right = champion[rows] == right_is, challenger[rows] == right_is
        difference += float(is_right.mean() - was_right.mean())
        b, c, n = effective_disagreements(was_right, is_right, clusters[rows], level)
        lost, won = (b + 1) / (n + 2), (c + 1) / (n + 2)
        variance += (lost + won - (won - lost) ** 2) / (n + 2)
        planned += (n * planned_disagreement(was_right) + 2) / (n + 2) ** 2
    return YoudenDifference(difference, math.sqrt(variance), math.sqrt(planned))
