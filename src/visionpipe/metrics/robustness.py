"""How much of a model is left when its images are changed, and whether it notices images that are none of its business.

Legend: N images, M unrelated images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betainc

from visionpipe.metrics.classification import auroc
from visionpipe.stats.bootstrap import cluster_bootstrap
from visionpipe.stats.intervals import Interval, clopper_pearson, clustered_proportion, effective_size
from visionpipe.stats.paired import effective_disagreements, mcnemar_from_counts

_WANTED_RECALL = 0.95  # of the test images, the share that the FPR's threshold accepts


def accuracy_entry(correct_N: ArrayLike, group_ids_N: ArrayLike, level: float) -> dict[str, object]:
    """Return accuracy as `{estimate, low, high, level, n}`, exact interval (`clustered_proportion`)."""
    correct = np.asarray(correct_N, dtype=float)
    return {**clustered_proportion(correct, group_ids_N, level).as_dict(), "n": len(correct)}


def mean_accuracy(corruptions: Mapping[str, Sequence[Mapping[str, object]]]) -> float | None:
    """Return the mean accuracy over all corruptions and strengths; None without any."""
    estimates = [float(entry["estimate"]) for entries in corruptions.values() for entry in entries]
    return float(np.mean(estimates)) if estimates else None


def surely_worse_from(
    plain_N: ArrayLike, corrupted_SN: Sequence[ArrayLike], group_ids_N: ArrayLike, alpha: float
) -> int | None:
    """Return the lowest strength (1 to S) from which on accuracy is proven lower than on the unchanged images.

    One-sided exact McNemar tests on the same images, on the effective counts where groups hold several. They go
    from the strongest down to the first that proves nothing; in this fixed order each may use all of alpha (Maurer,
    Hothorn and Lehmacher 1995).

    Parameters
    ----------
    plain_N, corrupted_SN
        Right answers, bool; S strengths, ascending.
    group_ids_N
        Images of one group are not independent evidence.
    alpha
        Chance of a wrong claim, 0 to 1.
    """
    plain, groups = np.asarray(plain_N, dtype=bool), np.asarray(group_ids_N)
    found = None
    for strength in range(len(corrupted_SN), 0, -1):
        corrupted = np.asarray(corrupted_SN[strength - 1], dtype=bool)
        lost, gained, _ = effective_disagreements(plain, corrupted, groups, 1 - alpha)
        if mcnemar_from_counts(lost, gained).p_less > alpha:
            break
        found = strength
    return found


def systematic_sample(n_rows: int, count: int, seed: int) -> NDArray[np.int64]:
    """Draw every n-th of some rows from a random start: a sample that is spread over their order.

    Every row has the same chance. Where neighbours are alike, the sample resembles the whole more closely than one
    by lot (Cochran, Sampling Techniques, 1977, chapter 8).

    Examples
    --------
    >>> systematic_sample(100, 4, seed=0)
    array([15, 40, 65, 90])
    """
    if count >= n_rows:
        return np.arange(n_rows)
    start = np.random.default_rng(seed).random()
    return ((start + np.arange(count)) * (n_rows / max(count, 1))).astype(np.int64)


def detection(
    inside_N: ArrayLike,
    outside_M: ArrayLike,
    inside_group_ids_N: ArrayLike,
    *,
    resamples: int,
    level: float,
    seed: int,
) -> dict[str, object]:
    """Measure how well a score tells a model's own kind of images from unrelated ones.

    Parameters
    ----------
    inside_N, outside_M
        Scores of test images and of unrelated ones; higher should mean "one of mine".
    inside_group_ids_N
        Test images of one group are not independent evidence; unrelated ones count each for itself.
    resamples, level, seed
        Of the bootstrap.

    Returns
    -------
    dict
        `auroc` (`estimate, low, high, level, n`: the chance that a test image is scored above an unrelated one;
        0.5 is guessing), and `false_positive_rate` (share of unrelated images that pass for own ones, at the
        threshold that 95 % of the test images pass; its interval allows for the threshold's). Scores that are not
        finite give None and a `reason`.

    References
    ----------
    Hendrycks and Gimpel, A Baseline for Detecting Misclassified and Out-of-Distribution Examples, ICLR 2017.
    """
    inside, outside = np.asarray(inside_N, dtype=float), np.asarray(outside_M, dtype=float)
    n = len(inside) + len(outside)
    if not (np.isfinite(inside).all() and np.isfinite(outside).all()):
        return not_detected("scores are not finite", n, level)
    is_inside = np.repeat([1, 0], [len(inside), len(outside)])
    scores = np.concatenate([inside, outside])
    scores_2 = np.column_stack([-scores, scores])
    groups = [f"own {group}" for group in inside_group_ids_N] + [f"other {m}" for m in range(len(outside))]
    found = cluster_bootstrap(
        lambda weights_BN: np.asarray(auroc(is_inside, scores_2, weights_BN)),
        groups,
        resamples=resamples,
        level=level,
        seed=seed,
    )
    pairs = min(len(set(groups[: len(inside)])), len(outside))
    interval = _with_exact_end(found, pairs, level)
    return {
        "auroc": {**interval.as_dict(), "n": n},
        "false_positive_rate": {
            **_false_positive_rate(inside, outside, inside_group_ids_N, level).as_dict(),
            "n": len(outside),
        },
    }


def not_detected(reason: str, n: int, level: float) -> dict[str, object]:
    """Return what `detection` does of n images whose scores tell nothing, with the reason."""
    missing = {"estimate": None, "low": None, "high": None, "level": level, "n": n}
    return {"auroc": missing | {"reason": reason}, "false_positive_rate": None}


def _false_positive_rate(
    inside_N: NDArray[np.float64],
    outside_M: NDArray[np.float64],
    group_ids_N: ArrayLike,
    level: float,
) -> Interval:
    """Return the share of unrelated images at or above the threshold that 95 % of the own ones reach.

    The threshold is estimated, too. Half of the error goes to its exact interval, from the order of the scores
    (Conover, Practical Nonparametric Statistics, 1999, section 3.2), on the effective number of images; half to those
    of the shares at both its ends (Clopper-Pearson). Below some 86 images no score is surely below the threshold (at a
    level of 95 %), and then all unrelated images may pass.
    """
    missed = 1 - _WANTED_RECALL
    n, ascending_N = len(inside_N), np.sort(inside_N)
    threshold = ascending_N[int(missed * n + 1e-9)]  # 0.05 * 20 is 1, but for a rounding error
    n_effective = effective_size(inside_N < threshold, group_ids_N, level)
    below_N = np.arange(n) / n * n_effective
    up_to_N = np.arange(1, n + 1) / n * n_effective
    tail = (1 - level) / 4
    surely_low_N = betainc(below_N + 1, n_effective - below_N, missed) >= 1 - tail
    surely_high_N = betainc(up_to_N, n_effective - up_to_N + 1, missed) <= tail
    lowest = ascending_N[surely_low_N].max(initial=-np.inf)
    highest = ascending_N[surely_high_N].min(initial=np.inf)
    at_threshold, at_highest, at_lowest = (
        clopper_pearson(int((outside_M >= score).sum()), len(outside_M), (1 + level) / 2)
        for score in (threshold, highest, lowest)
    )
    return Interval(at_threshold.estimate, at_highest.low, at_lowest.high, level)


def energy(logits_NK: ArrayLike) -> NDArray[np.float64]:
    """Return logsumexp of the logits (N,): high for images like those that a model was trained on.

    References
    ----------
    Liu et al., Energy-based Out-of-distribution Detection, NeurIPS 2020, equation 3 at temperature 1, negated.
    """
    from scipy.special import logsumexp

    return logsumexp(np.asarray(logits_NK, dtype=float), axis=1)


def _with_exact_end(interval: Interval, pairs: int, level: float) -> Interval:
    """Widen a bootstrap interval of width 0: disjoint (own, unrelated) pairs that are all told apart, or none."""
    if interval.low == 1.0:
        return replace(interval, low=clopper_pearson(pairs, pairs, level).low)
    if interval.high == 0.0:
        return replace(interval, high=clopper_pearson(0, pairs, level).high)
    return interval.clipped(0.0, 1.0)
