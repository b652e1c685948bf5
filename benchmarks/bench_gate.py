"""The gate's error rates: equally good models, true gains, and how often intervals hold the truth.

    python benchmarks/bench_gate.py [--clothing PHOTOS] [--parts seeds power coverage] [--comparisons 500]

seeds: the same head trained with two seeds on cached features of real photos (ELPV; clothing with senders as groups),
each pair judged on test photos that have never decided before, on photos whose uses are not counted (the whole error
rate), and there with the two models' answers exchanged at random, which makes them equally good in truth.
power: draws of real photos with their answers, tilted to a known true gain, beside the power of McNemar's test.
coverage: intervals of simulated test sets, with and without groups, beside the truth.

Expected: promoted in at most 5 % of the pairs; a power within a few points of theory; 93 to 97 % of the intervals hold
the truth on 400 images. Some 20 minutes on one core.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from gate_power import power_of
from gate_studies import (
    METRICS,
    Comparison,
    SeedStudy,
    expected_share,
    gain_proven,
    other_seeds,
    true_spread,
)
from interval_coverage import World, coverage
from probe_heads import seen_by_backbone
from real_photos import clothing, elpv
from setting import machine

from visionpipe.promotion.decision import Decision
from visionpipe.promotion.parameters import PromotionParameters
from visionpipe.promotion.wear import wear_of
from visionpipe.stats.intervals import clopper_pearson

SIDE_PX = 96
DEFAULT = ("balanced_accuracy",)
KINDS = ("fresh", "not counted", "not counted, answers exchanged")
GAINS = (0.0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06)
POWER_IMAGES, COVERED_IMAGES = 800, 400
WORLDS = {
    "2 classes (70, 30 %)": World((0.7, 0.3)),
    "the same in groups of 1 to 4": World((0.7, 0.3), largest_group=4),
    "3 classes (50, 30, 20 %)": World((0.5, 0.3, 0.2)),
    "these in groups of 1 to 4": World((0.5, 0.3, 0.2), largest_group=4),
    "10 classes (30 to 3 %) in groups of 1 to 8": World(
        (0.3, 0.2, 0.1, 0.1, 0.1, 0.05, 0.05, 0.04, 0.03, 0.03), largest_group=8, skill=2.5
    ),
}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", nargs="+", default=["seeds", "power", "coverage"], metavar="PART")
    parser.add_argument(
        "--clothing", type=Path, help="a folder of photos with images.csv; without it, ELPV alone"
    )
    parser.add_argument("--comparisons", type=int, default=500, help="of the same model with another seed")
    parser.add_argument("--draws", type=int, default=200, help="of test photos, for each true gain")
    parser.add_argument("--simulations", type=int, default=1000, help="of test sets, for the coverage")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{machine()}, numpy {np.__version__}")
    if "seeds" in arguments.parts:
        print_seeds(arguments.comparisons, arguments.clothing)
    if "power" in arguments.parts:
        print_power(arguments.draws)
    if "coverage" in arguments.parts:
        print_coverage(arguments.simulations)


def print_seeds(comparisons: int, clothing_folder: Path | None) -> None:
    """Judge trainings that differ by their seed alone."""
    cells = seen_by_backbone(elpv(), SIDE_PX)
    same = [other_seeds(cells, seed, by_group=False) for seed in range(comparisons)]
    tell_seeds("ELPV, the same training photos", same, tuple(METRICS))
    other = [other_seeds(cells, seed, by_group=False, other_photos=True) for seed in range(comparisons // 2)]
    tell_seeds("ELPV, each trained on a random half of the photos", other, DEFAULT)
    if clothing_folder is not None:
        clothes = seen_by_backbone(clothing(clothing_folder), SIDE_PX)
        grouped = [other_seeds(clothes, seed, by_group=True) for seed in range(comparisons)]
        tell_seeds("Clothing, senders as groups, the same training photos", grouped, DEFAULT)


def tell_seeds(title: str, studies: Sequence[SeedStudy], metrics: Sequence[str]) -> None:
    """Print how often one of two like models was promoted."""
    tests = [study.test for study in studies]
    print(
        f"\n## {title}\n\n{len(studies)} pairs; {np.mean([len(t.labels_N) for t in tests]):.0f} test photos, "
        f"{np.mean([t.right_2N.mean() for t in tests]):.1%} right; only one of the two is right on "
        f"{np.mean([t.disagreement_N.mean() for t in tests]):.1%}\n"
    )
    print(
        "| metric | spread of true gains | test photos | error rate | promoted | expected | gain proven | rejected |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for metric in metrics:
        gains_2S = np.array([study.gains(metric) for study in studies]).T
        for kind in KINDS:
            decisions = [judged(test, metric, kind, seed) for seed, test in enumerate(tests)]
            outcomes = [decision.outcome for decision in decisions]
            wear = decisions[0].wear
            alpha = wear.spent if wear else (1 - PromotionParameters().level) / 2
            spread = 0.0 if "exchanged" in kind else true_spread(gains_2S)
            cells = [
                metric,
                f"{100 * spread:.2f} points",
                kind,
                f"{alpha:.2%}",
                f"**{percent(outcomes.count('promote'), len(studies))}**",
                f"{expected_share(spread, gains_2S[0].std(), alpha):.1%}",
                percent(sum(map(gain_proven, decisions)), len(studies)),
                percent(outcomes.count("reject"), len(studies)),
            ]
            print(f"| {' | '.join(cells)} |", flush=True)


def judged(test: Comparison, metric: str, kind: str, seed: int) -> Decision:
    """Judge a pair as on fresh test photos, or at the whole error rate; exchanged answers are equally good in truth."""
    parameters = PromotionParameters(metric=metric, seed=seed)
    if kind == KINDS[0]:
        ids = np.arange(len(test.labels_N)).astype(str).tolist()
        wear = wear_of(ids, [], planned=parameters.planned_comparisons, alpha=parameters.alpha)
        return test.judged(parameters, wear=wear)
    return (test.shuffled(seed) if kind == KINDS[2] else test).judged(parameters)


def percent(count: int, of: int) -> str:
    """Return a share with its exact 95 % interval."""
    exact = clopper_pearson(count, of)
    return f"{exact.estimate:.1%} ({exact.low:.1%} to {exact.high:.1%})"


def power_population() -> Comparison:
    """Return photos of ELPV that neither of two models, each trained on photos of its own, has learned from."""
    study = other_seeds(seen_by_backbone(elpv(), SIDE_PX), 0, by_group=False, other_photos=True)
    return study.test.joined(study.elsewhere)


def print_power(draws: int) -> None:
    """Compare the share of promotions with theory, over the true gain."""
    population = power_population()
    print(
        f"\n## Promotion against the true gain\n\n{draws} draws of {POWER_IMAGES} photos from "
        f"{len(population.labels_N)} of ELPV that neither model has learned from; only one of the two is right on "
        f"{population.disagreement_N.mean():.1%}\n"
    )
    print(
        "| metric | true gain | gain proven | theory, exact | theory, normal | promoted |\n|---|---|---|---|---|---|"
    )
    for metric in ("accuracy", "balanced_accuracy"):
        for gain in GAINS:
            found = power_of(population, gain, POWER_IMAGES, draws, PromotionParameters(metric=metric))
            exact = "" if found.exact is None else f"{found.exact:.1%}"
            print(
                f"| {metric} | {100 * gain:g} points | {percent(found.proven, draws)} | {exact} | {found.normal:.1%} "
                f"| {percent(found.promoted, draws)} |",
                flush=True,
            )


def print_coverage(simulations: int) -> None:
    """Count how often each interval holds the truth."""
    print(f"\n## Coverage of 95 % intervals\n\n{simulations} test sets of {COVERED_IMAGES} images each")
    for name, world in WORLDS.items():
        print(f"\n### {name}\n\n| interval | truth | holds it | truth below | truth above | width |")
        print("|---|---|---|---|---|---|")
        for interval, found in coverage(world, COVERED_IMAGES, simulations).items():
            print(f"| {interval} | {found.row()} |", flush=True)


if __name__ == "__main__":
    main()
