"""How accurate the predictions above a deferral threshold are on new images, and how many they are.

    python benchmarks/deferral_accuracy.py [--simulations 2000]

In each simulation a threshold is found on validation images and tried on 4,000 others. Confidences are drawn between
0.5 and 1 from a Beta distribution and come true as often as they say. "As seen" is the lowest threshold that reaches
the wanted accuracy on validation; "one more wrong" is `deferral_confidence`. "Wrong" is the mean share of wrong
predictions among those that are given, 0 where none is; the last two columns are means too.

Expected: wrong is at most 1 - wanted with one more wrong, in every row.
"""

from __future__ import annotations

import argparse
import itertools

import numpy as np
from setting import machine

from visionpipe.models.calibrate import deferral_confidence

_WORLDS = {"sure": (1.5, 0.5), "less sure": (2.0, 0.7), "unsure": (1.0, 1.0)}
_TEST_IMAGES = 4000


def as_seen(confidence_N: np.ndarray, correct_N: np.ndarray, wanted: float) -> float | None:
    """Return the lowest confidence that reaches the accuracy on these very images."""
    order = np.argsort(-confidence_N)
    good = np.flatnonzero(np.cumsum(correct_N[order]) / np.arange(1, len(order) + 1) >= wanted)
    return float(confidence_N[order][good[-1]]) if len(good) else None


def drawn(
    n_images: int, shape: tuple[float, float], chance: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return confidences (N,), 0.5 to 1, and whether each prediction is right (N,), bool."""
    confidence_N = 0.5 + chance.beta(*shape, n_images) / 2
    return confidence_N, chance.random(n_images) < confidence_N


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--simulations", type=int, default=2000)
    count = parser.parse_args().simulations
    print(f"{machine()}\n{count:,} simulations each\n")
    print(
        "| confidences | validation images | wanted | rule | wrong | there is one | accuracy above it | answered |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for (world, shape), n_images, wanted in itertools.product(
        _WORLDS.items(), (50, 150, 500, 2000), (0.95, 0.99)
    ):
        for name, rule in {"as seen": as_seen, "one more wrong": deferral_confidence}.items():
            chance = np.random.default_rng([n_images, round(100 * wanted)])
            wrong, answered = [], []
            for _ in range(count):
                threshold = rule(*drawn(n_images, shape, chance), wanted)
                confidence_N, correct_N = drawn(_TEST_IMAGES, shape, chance)
                given_N = confidence_N >= (2 if threshold is None else threshold)
                answered.append(given_N.mean())
                wrong.append((given_N & ~correct_N).sum() / max(1, given_N.sum()))
            answers = np.greater(answered, 0)
            accuracy = f"{1 - np.mean(wrong, where=answers):.1%}" if answers.any() else ""
            print(f"| {world} | {n_images:,} | {wanted:.0%} | {name} | {np.mean(wrong):.1%} "
                  f"| {answers.mean():.0%} | {accuracy} | {np.mean(answered):.0%} |")  # fmt: skip


if __name__ == "__main__":
    main()
