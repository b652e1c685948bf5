"""What the mistakes of a model cost, in the user's own unit.

Shapes: N images, K classes, L steps from the cheapest outcome to the dearest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from visionpipe.stats.intervals import Interval, clustered_proportion, effective_size


def cost_matrix(costs: Mapping[str, Mapping[str, float]], classes: Sequence[str]) -> NDArray[np.float64]:
    """Return costs_KK of giving class j to an image of class k: 0 when right, 1 when wrong and not named.

    Raises
    ------
    ValueError
        When a cost names a class that is none of ``classes``.

    Examples
    --------
    >>> cost_matrix({"defective": {"functional": 10.0}}, ["defective", "functional"])
    array([[ 0., 10.],
           [ 1.,  0.]])
    """
    position = {name: code for code, name in enumerate(classes)}
    named = [*costs, *(given for by_given in costs.values() for given in by_given)]
    if unknown := sorted(set(named) - set(position)):
        raise ValueError(f"costs name {', '.join(map(repr, unknown))}; known classes: {', '.join(classes)}")
    costs_KK = 1 - np.eye(len(classes))
    for label, by_given in costs.items():
        for given, cost in by_given.items():
            costs_KK[position[label], position[given]] = cost
    return costs_KK


def expected_cost(
    labels_N: ArrayLike,
    predicted_N: ArrayLike,
    costs_KK: ArrayLike,
    group_ids_N: ArrayLike,
    level: float = 0.95,
) -> Interval:
    """Return the mean cost an image with its interval.

    A cost is a sum of steps: with v_0 < v_1 < ... the costs that can occur, the mean cost is
    v_0 + sum over l of (v_l - v_{l-1}) P(cost >= v_l). Each probability has its exact interval; they are combined
    with the correlation of nested events (MOVER, Zou, Taleban and Huo 2009). So a dear mistake that has not been
    seen yet still counts in the upper bound, where a bootstrap would take it to be impossible. With one cost for all
    mistakes this is that cost times the exact interval of the error rate.

    Parameters
    ----------
    labels_N, predicted_N
        Class codes, 0 to K - 1; at least one image.
    costs_KK
        Of giving class j (column) to an image of class k (row), finite.
    group_ids_N, level
        As in `visionpipe.stats.intervals.clustered_proportion`.

    Examples
    --------
    >>> found = expected_cost([0, 0, 1, 1], [0, 1, 1, 1], [[0, 10], [1, 0]], range(4))
    >>> round(found.estimate, 6), found.high < 10
    (2.5, True)
    """
    costs = np.asarray(costs_KK, dtype=float)
    cost_N = costs[np.asarray(labels_N), np.asarray(predicted_N)]
    values = np.unique(costs)
    if len(values) == 1:
        return Interval(*[float(values[0])] * 3, level)
    reached_LN = (cost_N >= values[1:, None]).astype(float)
    found = [clustered_proportion(reached_N, group_ids_N, level) for reached_N in reached_LN]
    steps_L = np.diff(values)
    below_L = steps_L * [each.estimate - each.low for each in found]
    above_L = steps_L * [each.high - each.estimate for each in found]
    sizes_L = np.array([effective_size(reached_N, group_ids_N, level) for reached_N in reached_LN])
    shares_L = (reached_LN.mean(axis=1) * sizes_L + 0.5) / (sizes_L + 1)  # never 0 or 1
    odds_L = np.sqrt(shares_L / (1 - shares_L))
    ratios_LL = odds_L[:, None] / odds_L
    correlation_LL = np.minimum(ratios_LL, ratios_LL.T)  # of two events, one of which implies the other
    mean = float(cost_N.mean())
    low = mean - float(np.sqrt(below_L @ correlation_LL @ below_L))
    high = mean + float(np.sqrt(above_L @ correlation_LL @ above_L))
    return Interval(mean, low, high, level).clipped(float(values[0]), float(values[-1]))
