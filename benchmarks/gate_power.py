"""How probable a promotion is, given the true gain: draws of real photos and answers, and what theory expects.

Legend: N photos of the population, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from gate_studies import Comparison, gain_proven
from scipy.stats import binom, norm

from visionpipe.promotion.parameters import PromotionParameters


def tilted(population: Comparison, gain: float) -> np.ndarray:
    """Weigh photos so that a draw from them has exactly this true gain, in accuracy and in balanced accuracy.

    In each class the share of photos on which only one of the two is right stays what it is, and so does the share of
    the class; only who of the two wins is tilted. The photos, and what the models say of them, stay real.

    Returns
    -------
    numpy.ndarray
        (N,) probabilities.

    Raises
    ------
    ValueError
        When a class has too few disagreements for this gain.
    """
    champion_N, challenger_N = population.right_2N
    weights_N = np.ones(len(champion_N))
    for code in np.unique(population.labels_N):
        of_class = population.labels_N == code
        lost, won = of_class & champion_N & ~challenger_N, of_class & challenger_N & ~champion_N
        apart = (lost.sum() + won.sum()) / of_class.sum()
        if apart < gain or not (lost.any() and won.any()):
            raise ValueError(
                f"class {code}: the models disagree on {apart:.1%}, a gain of {gain:.1%} needs more"
            )
        weights_N[won] = (apart + gain) / 2 / (won.sum() / of_class.sum())
        weights_N[lost] = (apart - gain) / 2 / (lost.sum() / of_class.sum())
    return weights_N / weights_N.sum()


@dataclass(frozen=True)
class Power:
    """Of so many draws with one true gain: how many were found, beside the shares that theory expects."""

    proven: int
    """Every check of the gain passed."""
    promoted: int
    """And nothing else stood against it."""
    exact: float | None
    """Power of the exact McNemar test; None for another metric than accuracy."""
    normal: float


def power_of(
    population: Comparison, gain: float, n_images: int, draws: int, parameters: PromotionParameters
) -> Power:
    """Judge independent draws of `n_images` photos whose true gain is `gain` (see `tilted`)."""
    weights_N = tilted(population, gain)
    random = np.random.default_rng(round(1e6 * gain))
    decisions = [
        population.rows(random.choice(len(weights_N), size=n_images, p=weights_N)).judged(
            parameters.model_copy(update={"seed": seed})
        )
        for seed in range(draws)
    ]
    alpha = (1 - parameters.level) / 2
    apart_N = population.disagreement_N
    if parameters.metric == "accuracy":
        exact = mcnemar_power(gain, float(apart_N.mean()), n_images, alpha)
        normal = normal_power(gain, [float(apart_N.mean())], [n_images], alpha)
    else:
        exact = None
        of_class = [population.labels_N == code for code in np.unique(population.labels_N)]
        apart_K = [float(apart_N[rows].mean()) for rows in of_class]
        normal = normal_power(gain, apart_K, [n_images * rows.mean() for rows in of_class], alpha)
    return Power(
        proven=sum(map(gain_proven, decisions)),
        promoted=[decision.outcome for decision in decisions].count("promote"),
        exact=exact,
        normal=normal,
    )


def mcnemar_power(gain: float, disagreement: float, n_images: int, alpha: float) -> float:
    """Return the exact power of the one-sided exact McNemar test: a sum over all numbers of disagreements.

    Parameters
    ----------
    gain, disagreement
        P(only the challenger is right) less, and plus, P(only the champion is right).
    """
    counts = np.arange(n_images + 1)
    needed = binom.isf(alpha, counts, 0.5) + 1  # the fewest wins of so many with a tail of at most alpha
    won = (disagreement + gain) / (2 * disagreement)
    return float(binom.pmf(counts, n_images, disagreement) @ binom.sf(needed - 1, counts, won))


def normal_power(gain: float, disagreements_K: Sequence[float], n_K: Sequence[float], alpha: float) -> float:
    """Return the power of a z test of the mean gain over K classes, each with its share of disagreements and images.

    With one class it is Connor's (Biometrics 43:207, 1987) for McNemar's test, with more the same for the mean over
    classes: the variance without a gain decides, the one with it spreads.
    """
    of_class = list(zip(disagreements_K, n_K, strict=True))
    without = np.sqrt(sum(d / n for d, n in of_class)) / len(of_class)
    with_gain = np.sqrt(sum((d - gain**2) / n for d, n in of_class)) / len(of_class)
    return float(norm.cdf((gain - norm.isf(alpha) * without) / with_gain))
