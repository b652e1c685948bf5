"""Intervals from test images in groups: few mistakes, groups of very unequal sizes, and few groups.

`python benchmarks/group_intervals.py` simulates images of which a part takes after its group and the rest after none,
and counts how often a bound is wrong. A 95 % interval may err by 2.5 % on each side.

Legend: N images, G groups.
"""

from __future__ import annotations

import argparse

import numpy as np
from setting import machine

from visionpipe.stats.bootstrap import cluster_bootstrap
from visionpipe.stats.bootstrap_t import clustered_mean
from visionpipe.stats.intervals import clustered_proportion
from visionpipe.stats.paired import effective_disagreements, non_inferiority

UNEQUAL = {  # as the senders of real photos are
    "1 of 200, 40 of 5": np.repeat([200, 5], [1, 40]),
    "50, the k-th of 200 / k": 200 // np.arange(1, 51),
    "20, the k-th of 100 / k": 100 // np.arange(1, 21),
    "1 of 40, 100 of 2, 200 of 1": np.repeat([40, 2, 1], [1, 100, 200]),
}
SIZES = {f"{n} of {size}": np.repeat(size, n) for n in (15, 40, 60, 100, 150, 200) for size in (3, 5, 10)}
SIZES |= UNEQUAL
SHARES = (  # right answers, part that takes after its group, images of the groups
    (0.97, 0.7, "60 of 10"),
    (0.98, 0.7, "100 of 10"),
    (0.95, 0.7, "40 of 10"),
    (0.95, 0.7, "15 of 10"),
    (0.97, 0.5, "60 of 5"),
    (0.95, 0.5, "200 of 3"),
    (0.9, 0.7, "40 of 10"),
    (0.8, 0.7, "40 of 10"),
    (0.97, 0.0, "60 of 10"),
    (0.9, 0.0, "60 of 10"),
    *((share, alike, sizes) for sizes in UNEQUAL for share in (0.97, 0.9, 0.8) for alike in (0.0, 0.3, 0.7)),
)
LOSSES = (
    (0.05, 0.7, "60 of 5"),
    (0.05, 0.7, "60 of 10"),
    (0.03, 0.7, "60 of 10"),
    (0.03, 0.7, "150 of 10"),
    (0.03, 0.0, "60 of 10"),
    *((loss, alike, sizes) for sizes in UNEQUAL for loss in (0.05, 0.15) for alike in (0.0, 0.7)),
)
GROUPS = (6, 7, 8, 12, 20, 50)


def groups_of(sizes: str) -> np.ndarray:
    """Return the group of each image, 0 to G - 1 (N,)."""
    return np.repeat(np.arange(len(SIZES[sizes])), SIZES[sizes])


def in_groups(random: np.random.Generator, share: float, alike: float, groups_N: np.ndarray) -> np.ndarray:
    """Draw N booleans, true with the share; this part of them has the value of its group."""
    of_group_G = random.random(groups_N.max() + 1) < share
    own_N = random.random(len(groups_N)) < share
    return np.where(random.random(len(groups_N)) < alike, of_group_G[groups_N], own_N)


def print_shares(simulations: int) -> None:
    """Print how often a bound of a share lies on the wrong side of it."""
    print(
        "\n| right | alike | groups | lower bound too high | upper bound too low | width |\n|---|---|---|---|---|---|"
    )
    for share, alike, sizes in SHARES:
        random, groups_N = np.random.default_rng(0), groups_of(sizes)
        drawn = (in_groups(random, share, alike, groups_N) for _ in range(simulations))
        found = [clustered_proportion(right_N, groups_N) for right_N in drawn]
        above, below = np.mean([(i.low > share, i.high < share) for i in found], axis=0)
        width = np.mean([i.high - i.low for i in found])
        print(
            f"| {share:.0%} | {alike:.0%} | {sizes} | {above:.1%} | {below:.1%} | {width:.3f} |",
            flush=True,
        )


def print_losses(simulations: int) -> None:
    """Print how often a challenger that loses just the margin is said not to be worse."""
    print("\n| loses, and may lose | alike | groups | said not to be worse |\n|---|---|---|---|")
    for loss, alike, sizes in LOSSES:
        random, groups_N = np.random.default_rng(0), groups_of(sizes)
        champion_N, proven = np.ones(len(groups_N), dtype=bool), 0
        for _ in range(simulations):
            challenger_N = ~in_groups(random, loss, alike, groups_N)
            counts = effective_disagreements(champion_N, challenger_N, groups_N, 0.95)
            proven += non_inferiority(*counts, margin=loss).p_value < 0.025
        print(f"| {loss:.0%} | {alike:.0%} | {sizes} | {proven / simulations:.1%} |", flush=True)


def print_means(simulations: int) -> None:
    """Print how often an interval of a mean over few groups misses it."""
    print("\n| groups of 30 | bootstrap (AUROC, macro-F1) | studentised (log loss, Brier) |\n|---|---|---|")
    for n_groups in GROUPS:
        random, groups_N, missed = np.random.default_rng(0), np.repeat(np.arange(n_groups), 30), np.zeros(2)
        for seed in range(simulations):
            values_N = (
                1 + 0.3 * random.normal(size=n_groups)[groups_N] + 0.3 * random.normal(size=len(groups_N))
            )
            mean = lambda weights_BN, values_N=values_N: weights_BN @ values_N / weights_BN.sum(axis=1)  # noqa: E731
            plain = cluster_bootstrap(mean, groups_N, resamples=400, level=0.95, seed=seed)
            studentised = clustered_mean(values_N, groups_N, resamples=400, seed=seed)
            missed += [not i.low <= 1 <= i.high for i in (plain, studentised)]
        print(f"| {n_groups} | {missed[0] / simulations:.1%} | {missed[1] / simulations:.1%} |", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--simulations", type=int, default=1000, help="of each world")
    simulations = parser.parse_args().simulations
    print(f"{machine()}, numpy {np.__version__}; {simulations} simulations of each world")
    print_shares(simulations)
    print_losses(simulations)
    print_means(simulations)


if __name__ == "__main__":
    main()
