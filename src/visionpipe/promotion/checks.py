"""What the gate asks of a challenger before all else: a gain.

Shapes: N test images, K classes, B resamples. alpha is the one-sided error rate of this comparison: (1 - level) / 2,
2.5 % by default, or the part of it that test images which have decided before may still spend
(`visionpipe.promotion.wear`). Resamples and swaps grow with 1 / alpha, or no p-value could be below it.

- Gain: passes when the lower bound of its paired cluster bootstrap is above 0 and the swap test has p <= alpha.
  That test is exact for two equally good models, whatever the metric and the number of images, so at most alpha
  of A/A comparisons pass. Fails when the interval holds nothing above 0, or both models answer alike.
- Exact McNemar on right answers: for accuracy it must show the gain as well; for balanced accuracy and macro-F1
  it must not show a loss. AUROC ranks, it decides nothing: there it is only listed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from visionpipe.counting import counted
from visionpipe.metrics.classification import accuracy, auroc, balanced_accuracy, macro_f1
from visionpipe.promotion.decision import Check
from visionpipe.promotion.parameters import PromotionParameters
from visionpipe.promotion.wear import Wear
from visionpipe.stats.paired import (
    cluster_swap_test,
    effective_disagreements,
    mcnemar_exact,
    mcnemar_from_counts,
    paired_cluster_bootstrap,
)

BEYOND_ALPHA = 5  # resamples, and swaps, that are expected beyond alpha when there is nothing to find
POWER = 0.8  # with which `images_needed` would decide, if the estimates are true
MOST_IMAGES = 10_000_000  # a larger need means that there is nothing to find
WORDS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro-F1",
    "auroc": "AUROC",
}


@dataclass(frozen=True, kw_only=True)
class ScoredImages:
    """The test images with what is known of them and what the models say, as `judge` takes them."""

    labels_N: NDArray[np.int64]
    classes: list[str]
    image_ids_N: NDArray[Any]
    group_ids_N: NDArray[Any]
    challenger_NK: NDArray[np.float64]
    champion_NK: NDArray[np.float64] | None
    challenger_N: NDArray[np.int64]
    champion_N: NDArray[np.int64] | None
    slices: dict[str, NDArray[Any]]
    champion_classes: list[str]
    """Those of `classes` that the champion can give."""
    challenger_classes: list[str]


def gain_checks(
    test: ScoredImages,
    champion_NK: NDArray[np.float64],
    parameters: PromotionParameters,
    version: str | None,
    alpha: float,
    wear: Wear | None = None,
) -> list[Check]:
    """Return whether the challenger is better by the metric, and McNemar's test of its right answers."""
    n_images, resamples = len(test.labels_N), resamples_for(alpha, parameters)
    assert test.champion_N is not None
    models, metric = (champion_NK, test.challenger_NK), parameters.metric
    champion_N, challenger_N = test.champion_N, test.challenger_N
    words, incumbent = WORDS[metric], "the champion" + (f" (version {version})" if version else "")
    if answer_alike(test, metric):
        detail = f"the challenger gives the same predictions as {incumbent} on all {n_images} test images"
        check = Check(name=f"gain in {words}", kind="gain", value=0.0, limit=0.0, passed=False, detail=detail)
        return [check]

    champion, challenger = (
        _score(metric, test.labels_N, p, decided_N, len(test.classes))
        for p, decided_N in zip(models, (champion_N, challenger_N), strict=True)
    )
    gain = paired_cluster_bootstrap(
        champion,
        challenger,
        test.group_ids_N,
        resamples=resamples,
        level=1 - 2 * alpha,
        seed=parameters.seed,
    )
    p_value = cluster_swap_test(
        _swapped_gain(metric, test, champion_NK),
        test.group_ids_N,
        permutations=resamples,
        seed=parameters.seed,
    )
    proven, refuted = gain.low > 0 and p_value <= alpha, gain.high <= 0
    spread = (gain.high - gain.low) / (2 * z_of(alpha))
    z = abs(gain.estimate) / spread if spread > 0 else math.nan
    z = min(z, z_of(p_value)) if gain.estimate > 0 else z
    luck = ""
    if gain.low > 0 and not proven:
        luck = f", but chance alone gives as much with p = {p_value:.2g}, and {alpha:.2g} is needed"
    if spread == 0:
        luck += " (no width: every resample gives the same, so the interval tells nothing of chance)"
    interval = f"{100 * (1 - 2 * alpha):.4g} % interval {100 * gain.low:+.1f} to {100 * gain.high:+.1f}"
    if not math.isfinite(spread):  # `too_few_clusters`; no p-value is small enough then either
        n_groups, fewest = len(np.unique(test.group_ids_N)), math.ceil(math.log2(1 / alpha))
        interval = (
            f"its interval can't be told: the test images come from {counted(n_groups, 'group')}, and "
            f"{fewest} are needed, however many images they hold"
        )
    gained = Check(
        name=f"gain in {words}",
        kind="gain",
        value=gain.estimate,
        low=gain.low,
        high=gain.high,
        limit=0.0,
        p_value=p_value,
        passed=False if refuted else (True if proven else None),
        detail=f"{words} changes by {100 * gain.estimate:+.1f} points against {incumbent}, {interval}{luck}",
        images_needed=images_needed(n_images, z, alpha, wear),
    )
    return [gained, _mcnemar(test, champion_N, challenger_N, parameters, alpha, wear)]


def answer_alike(test: ScoredImages, metric: str) -> bool:
    """Return whether both models say the same of every test image, as far as the metric can see."""
    if test.champion_NK is None or test.champion_N is None:
        return False
    if metric == "auroc":
        return np.allclose(test.champion_NK, test.challenger_NK, rtol=0, atol=1e-7)
    return np.array_equal(test.champion_N, test.challenger_N)


def resamples_for(alpha: float, parameters: PromotionParameters) -> int:
    """Return how many resamples or swaps judge at alpha: a few must lie beyond it."""
    return max(parameters.resamples, math.ceil(BEYOND_ALPHA / alpha))


def _score(
    metric: str,
    labels_N: NDArray[np.int64],
    probabilities_NK: NDArray[np.float64],
    predicted_N: NDArray[np.int64],
    n_classes: int,
) -> Callable[[NDArray[np.float64]], Any]:
    if metric == "auroc":
        return partial(auroc, labels_N, probabilities_NK)
    if metric == "accuracy":
        return partial(accuracy, labels_N, predicted_N)
    return partial(
        balanced_accuracy if metric == "balanced_accuracy" else macro_f1, labels_N, predicted_N, n_classes
    )


def _swapped_gain(
    metric: str, test: ScoredImages, champion_NK: NDArray[np.float64]
) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """Return the gain when some answers are exchanged: both models in one list, weights say whose answer counts."""
    answers = [test.challenger_NK, champion_NK]
    if metric == "auroc":  # ranks, so that exchanged scores are on one scale (Venkatraman and Begg 1996)
        from scipy.stats import rankdata

        answers = [rankdata(scores_NK, axis=0) for scores_NK in answers]
    decided = np.concatenate([test.challenger_N, test.champion_N])
    both = _score(metric, np.tile(test.labels_N, 2), np.concatenate(answers), decided, len(test.classes))
    return lambda swapped_BN: (
        both(np.hstack([1 - swapped_BN, swapped_BN])) - both(np.hstack([swapped_BN, 1 - swapped_BN]))
    )


def _mcnemar(
    test: ScoredImages,
    champion_N: NDArray[np.int64],
    challenger_N: NDArray[np.int64],
    parameters: PromotionParameters,
    alpha: float,
    wear: Wear | None,
) -> Check:
    right = [champion_N == test.labels_N, challenger_N == test.labels_N]
    answers, n_images = mcnemar_exact(*right), len(champion_N)
    # worn images excuse no loss: the less of alpha is left, the fewer images a group of them counts for
    gained, lost = (
        mcnemar_from_counts(*effective_disagreements(*right, test.group_ids_N, level)[:2])
        for level in (1 - 2 * alpha, parameters.level)
    )
    metric = parameters.metric
    supported = gained.p_greater <= alpha if metric == "accuracy" else metric != "auroc"
    contradicted = metric != "auroc" and lost.p_less <= parameters.alpha
    return Check(
        name="right answers (exact McNemar)",
        kind="gain",
        value=(answers.c - answers.b) / n_images,
        limit=0.0,
        p_value=(lost if contradicted else gained).p_value,
        passed=False if contradicted else (True if supported else None),
        detail=f"only the challenger is right on {counted(answers.c, 'test image')}, only the champion on {answers.b}",
        blocking=metric != "auroc",
        images_needed=images_needed(n_images, z_of(gained.p_greater), alpha, wear),
    )


def z_of(p_value: float) -> float:
    """Return the standard normal deviate with this upper tail."""
    return -float(ndtri(p_value))


def images_needed(n_images: int, z: float, alpha: float, wear: Wear | None = None) -> int | None:
    """Return how many images would turn an effect of z standard errors into proof; None if that is hopeless.

    They are judged at alpha, or at what so many images may spend if the present ones have been used as `wear` says.
    """
    if not z > 0:
        return None
    needed = n_images + 1
    while needed <= MOST_IMAGES:
        spent = alpha if wear is None else wear.spendable(needed)
        proof = n_images * ((z_of(spent) + z_of(1 - POWER)) / z) ** 2 if spent > 0 else math.inf
        if proof <= needed:
            return needed
        if wear is None:
            needed = math.ceil(min(proof, MOST_IMAGES + 1))
        else:  # in small steps: more images are worn less and spend more, so that fewer than `proof` may do
            needed += max(1, needed // 200)
    return None
