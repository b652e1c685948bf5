"""How often each interval of the evaluation and of the gate holds the truth: simulations in which it is known.

Legend: N images, K classes, G groups, S simulations.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from visionpipe.metrics.classification import accuracy, auroc, balanced_accuracy, macro_f1
from visionpipe.metrics.summary import classification_metrics
from visionpipe.stats.intervals import clopper_pearson
from visionpipe.stats.paired import effective_disagreements, non_inferiority, paired_cluster_bootstrap
from visionpipe.stats.youden import youden_difference

LEVEL = 0.95
_TRUTH_IMAGES = 400_000


@dataclass(frozen=True)
class Draw:
    """Test images with the answers of two models."""

    labels_N: np.ndarray
    group_ids_N: np.ndarray
    champion_NK: np.ndarray
    challenger_NK: np.ndarray


@dataclass(frozen=True)
class World:
    """Where test images come from.

    Attributes
    ----------
    prior : tuple of float
        Shares of the K classes.
    largest_group : int
        Images come in groups of 1 to so many, which share their label and most of what makes them hard.
    sharpness : float
        Of the stated probabilities; more than 1 is overconfident.
    skill : float
        By how many standard deviations of the noise the champion's logit at the label is raised.
    gain : float
        By how many more the challenger's is.
    """

    prior: tuple[float, ...]
    largest_group: int = 1
    sharpness: float = 1.5
    skill: float = 1.2
    gain: float = 0.3

    @property
    def classes(self) -> list[str]:
        """Names of the classes."""
        return [f"class{k}" for k in range(len(self.prior))]

    def draw(self, n_images: int, random: np.random.Generator) -> Draw:
        """Draw about so many images: whole groups."""
        n_groups = round(n_images / ((1 + self.largest_group) / 2))
        groups_N = np.repeat(np.arange(n_groups), random.integers(1, self.largest_group + 1, size=n_groups))
        n, n_classes = len(groups_N), len(self.prior)
        labels_N = random.choice(n_classes, size=n_groups, p=self.prior)[groups_N]
        of_group, of_image = (1.0, 0.4) if self.largest_group > 1 else (0.0, 1.0)

        def noise_NK() -> np.ndarray:
            return (
                of_group * random.normal(size=(n_groups, n_classes))[groups_N]
                + of_image * random.normal(size=(n, n_classes))
            ) / np.hypot(of_group, of_image)

        hard_NK, answers = noise_NK(), []
        for skill in (self.skill, self.skill + self.gain):
            logits_NK = 0.8 * hard_NK + 0.6 * noise_NK()
            logits_NK[np.arange(n), labels_N] += skill
            answers.append(_softmax(self.sharpness * skill * logits_NK + np.log(self.prior)))
        return Draw(labels_N, groups_N, *answers)


def _softmax(logits_NK: np.ndarray) -> np.ndarray:
    raised_NK = np.exp(logits_NK - logits_NK.max(axis=1, keepdims=True))
    return raised_NK / raised_NK.sum(axis=1, keepdims=True)


@dataclass
class Coverage:
    """Of one kind of interval: simulations in which the truth was above it, below it, or inside."""

    truth: float
    above: int = 0
    below: int = 0
    simulations: int = 0
    width: float = 0.0

    def count(self, low: float, high: float) -> None:
        """Add one interval."""
        self.above += self.truth > high
        self.below += self.truth < low
        self.width += high - low
        self.simulations += 1

    @property
    def share(self) -> float:
        """How often the truth was inside."""
        return 1 - (self.above + self.below) / self.simulations

    def row(self) -> str:
        """Return the cells of a Markdown table: truth, coverage with its own interval, sides missed, mean width."""
        inside = self.simulations - self.above - self.below
        exact = clopper_pearson(inside, self.simulations)
        return (
            f"{self.truth:.3f} | {self.share:.1%} ({exact.low:.1%} to {exact.high:.1%}) "
            f"| {self.below / self.simulations:.1%} | {self.above / self.simulations:.1%} "
            f"| {self.width / self.simulations:.3f}"
        )


def coverage(
    world: World, n_images: int, simulations: int, *, resamples: int = 500, allow_unseen: bool = False
) -> dict[str, Coverage]:
    """Simulate test sets and count for each interval how often it holds the truth.

    `allow_unseen` as in `classification_metrics`: as the gate judges acceptance limits.
    An interval that does not exist in a simulation (no image of a class) is not counted there.
    """
    names = dict(intervals(world, world.draw(n_images, np.random.default_rng(0)), resamples=100, seed=0))
    truth = true_values(world)
    found = {name: Coverage(truth[name]) for name in names if name in truth}
    random = np.random.default_rng(1)
    for seed in range(simulations):
        for name, (low, high) in intervals(
            world, world.draw(n_images, random), resamples=resamples, seed=seed, allow_unseen=allow_unseen
        ):
            if name in found and low is not None and high is not None:
                found[name].count(low, high)
    return found


def true_values(world: World) -> dict[str, float]:
    """Return what each interval is about, of so many images that chance no longer matters."""
    many = world.draw(_TRUTH_IMAGES, np.random.default_rng(2))
    many = replace(
        many, group_ids_N=np.arange(len(many.labels_N)) % 2
    )  # estimates alone: two groups are fast
    measured = _summary(world, many, 1, 0)
    truth = {name: entry["estimate"] for name, entry in measured.items()}
    both = [many.champion_NK, many.challenger_NK]
    for name, score in _gains(world, many).items():
        truth[f"gain in {name}"] = score(both[1]) - score(both[0])
    champion_N, challenger_N = (p.argmax(axis=1) for p in both)
    truth["gain in accuracy (Tango)"] = truth["gain in accuracy"]
    truth["gain in Youden's J"] = float(_youden(champion_N, challenger_N, many.labels_N)[1])
    return truth


def intervals(
    world: World, draw: Draw, *, resamples: int, seed: int, allow_unseen: bool = False
) -> Iterator[tuple[str, tuple[float | None, float | None]]]:
    """Yield name and bounds of every interval that evaluation and gate make of these images."""
    for name, entry in _summary(world, draw, resamples, seed, allow_unseen).items():
        yield name, (entry["low"], entry["high"])
    options = {"resamples": resamples, "level": LEVEL, "seed": seed}
    for name, score in _gains(world, draw).items():
        champion, challenger = (partial(score, p) for p in (draw.champion_NK, draw.challenger_NK))
        gain = paired_cluster_bootstrap(champion, challenger, draw.group_ids_N, **options)
        yield f"gain in {name}", (gain.low, gain.high)
    champion_N, challenger_N = (p.argmax(axis=1) for p in (draw.champion_NK, draw.challenger_NK))
    right = (champion_N == draw.labels_N, challenger_N == draw.labels_N)
    slice_ = non_inferiority(
        *effective_disagreements(*right, draw.group_ids_N, LEVEL), margin=0.05, level=LEVEL
    )
    yield "gain in accuracy (Tango)", (slice_.low, slice_.high)
    labelled_N = draw.labels_N == 1
    if 0 < labelled_N.sum() < len(labelled_N):
        called = (champion_N == 1, challenger_N == 1, labelled_N)
        yield "gain in Youden's J", youden_difference(*called, draw.group_ids_N, level=LEVEL).interval(LEVEL)


def _summary(
    world: World, draw: Draw, resamples: int, seed: int, allow_unseen: bool = False
) -> Mapping[str, dict]:
    measured = classification_metrics(
        draw.labels_N,
        draw.challenger_NK,
        world.classes,
        draw.group_ids_N,
        resamples=resamples,
        level=LEVEL,
        seed=seed,
        allow_unseen=allow_unseen,
    )
    return {name: entry for name, entry in measured.items() if isinstance(entry, dict)}


def _gains(world: World, draw: Draw) -> dict[str, partial]:
    """Return the metrics that may decide, each as a function of probabilities and weights."""
    labels_N, n_classes = draw.labels_N, len(world.classes)

    def of_answers(score: partial, probabilities_NK: np.ndarray, weights: np.ndarray | None = None):  # noqa: ANN202
        return score(probabilities_NK.argmax(axis=1), weights=weights)

    return {
        "accuracy": partial(of_answers, partial(accuracy, labels_N)),
        "balanced accuracy": partial(
            of_answers, lambda codes_N, weights: balanced_accuracy(labels_N, codes_N, n_classes, weights)
        ),
        "macro-F1": partial(
            of_answers, lambda codes_N, weights: macro_f1(labels_N, codes_N, n_classes, weights)
        ),
        "AUROC": lambda probabilities_NK, weights=None: auroc(labels_N, probabilities_NK, weights),
    }


def _youden(champion_N: np.ndarray, challenger_N: np.ndarray, labels_N: np.ndarray) -> tuple[float, float]:
    of_class = labels_N == 1
    j = [(p[of_class] == 1).mean() - (p[~of_class] == 1).mean() for p in (champion_N, challenger_N)]
    return j[0], j[1] - j[0]
