"""Real models compared by the real gate: the same head trained with two seeds.

Legend: N test images, K classes, M resampled images.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from probe_heads import Predict, SeenPhotos, train_head
from real_photos import RealPhotos
from scipy.stats import norm

from visionpipe.metrics.classification import accuracy, auroc, balanced_accuracy, macro_f1
from visionpipe.promotion.decision import Decision
from visionpipe.promotion.gate import judge
from visionpipe.promotion.parameters import PromotionParameters

METRICS = {
    "balanced_accuracy": lambda labels_N, _, codes_N, n_classes: balanced_accuracy(
        labels_N, codes_N, n_classes
    ),
    "accuracy": lambda labels_N, _, codes_N, __: accuracy(labels_N, codes_N),
    "macro_f1": lambda labels_N, _, codes_N, n_classes: macro_f1(labels_N, codes_N, n_classes),
    "auroc": lambda labels_N, probabilities_NK, *_: auroc(labels_N, probabilities_NK),
}
_ARRAYS = ("labels_N", "group_ids_N", "champion_NK", "challenger_NK")


@dataclass(frozen=True)
class Comparison:
    """What the gate is given of champion and challenger."""

    classes: list[str]
    labels_N: np.ndarray
    group_ids_N: np.ndarray
    champion_NK: np.ndarray
    challenger_NK: np.ndarray
    slices: dict[str, np.ndarray] = field(default_factory=dict)

    def judged(self, parameters: PromotionParameters, **others: object) -> Decision:
        """Ask the gate; `others` are handed on to `judge`."""
        arguments: dict = {
            "labels_N": self.labels_N,
            "classes": self.classes,
            "image_ids_N": np.arange(len(self.labels_N)).astype(str),
            "group_ids_N": self.group_ids_N,
            "challenger_probabilities_NK": self.challenger_NK,
            "champion_probabilities_NK": self.champion_NK,
            "slices": self.slices,
            "champion_seen_ids": (),
            "challenger_seen_ids": (),
            "champion_seen_groups": (),
            "challenger_seen_groups": (),
            "parameters": parameters,
            "champion_version": "1",
        }
        return judge(**(arguments | others))

    def rows(self, rows_M: np.ndarray) -> Comparison:
        """Return these images, each a group of its own."""
        return replace(
            self,
            labels_N=self.labels_N[rows_M],
            group_ids_N=np.arange(len(rows_M)),
            champion_NK=self.champion_NK[rows_M],
            challenger_NK=self.challenger_NK[rows_M],
            slices={name: values_N[rows_M] for name, values_N in self.slices.items()},
        )

    def joined(self, other: Comparison) -> Comparison:
        """Return the images of both."""
        pairs = {name: (getattr(self, name), getattr(other, name)) for name in _ARRAYS}
        slices = {name: np.append(values, other.slices[name]) for name, values in self.slices.items()}
        return replace(self, slices=slices, **{name: np.concatenate(both) for name, both in pairs.items()})

    def shuffled(self, seed: int) -> Comparison:
        """Exchange the two models' answers, group by group, by the toss of a coin: then neither is better in truth."""
        _, index_N = np.unique(self.group_ids_N, return_inverse=True)
        tossed_NK = (np.random.default_rng(seed).random(index_N.max() + 1) < 0.5)[index_N][:, None]
        return replace(
            self,
            champion_NK=np.where(tossed_NK, self.challenger_NK, self.champion_NK),
            challenger_NK=np.where(tossed_NK, self.champion_NK, self.challenger_NK),
        )

    def gain(self, metric: str) -> float:
        """Return by how much the challenger is better."""
        champion, challenger = (
            METRICS[metric](self.labels_N, p, p.argmax(axis=1), len(self.classes))
            for p in (self.champion_NK, self.challenger_NK)
        )
        return float(challenger - champion)

    @property
    def right_2N(self) -> np.ndarray:
        """Whether champion and challenger are right, bool."""
        return np.stack([p.argmax(axis=1) == self.labels_N for p in (self.champion_NK, self.challenger_NK)])

    @property
    def disagreement_N(self) -> np.ndarray:
        """Where only one of the two is right, bool."""
        champion_N, challenger_N = self.right_2N
        return champion_N != challenger_N


def gain_proven(decision: Decision) -> bool:
    """Return whether every check of the gain passed, whatever else was found."""
    return all(c.passed for c in decision.checks if c.kind == "gain" and c.blocking)


@dataclass(frozen=True)
class SeedStudy:
    """Two trainings that differ by their seed: judged on test photos, and looked at again on photos kept apart."""

    test: Comparison
    elsewhere: Comparison

    def gains(self, metric: str) -> tuple[float, float]:
        """Return the challenger's gain on the test photos and on those kept apart."""
        return self.test.gain(metric), self.elsewhere.gain(metric)


def true_spread(gains_2S: np.ndarray) -> float:
    """Return the standard deviation of the true gains: what two disjoint sets of photos find in common.

    Parameters
    ----------
    gains_2S
        Gains of S pairs of models on either set.
    """
    return float(np.sqrt(max(0.0, np.cov(gains_2S)[0, 1])))


def expected_share(spread: float, measured: float, alpha: float) -> float:
    """Return how often a z test at alpha finds a gain when true gains are normal around zero.

    Parameters
    ----------
    spread, measured
        Standard deviations of the true gains, and of the measured ones (which sampling widens).
    """
    sampling = np.sqrt(max(0.0, measured**2 - spread**2))
    return float(norm.sf(norm.isf(alpha) * sampling / np.hypot(sampling, spread)))


def other_seeds(photos: SeenPhotos, seed: int, *, by_group: bool, other_photos: bool = False) -> SeedStudy:
    """Draw a split (36 % learn, 9 % choose the epoch, 30 % test, 25 % are kept apart) and train two heads on it.

    Parameters
    ----------
    by_group
        No group is in two splits (its photos count as one piece of evidence); else splits have the strata of the whole.
    other_photos
        The two also learn from photos of their own: each from a random half.
    """
    listed = RealPhotos(photos.manifest)
    draw = listed.split_by_group if by_group else listed.split_by_stratum
    split_N = draw(0.25, 0.4, seed).manifest["split"].to_numpy()
    apart_M, test_M = np.flatnonzero(split_N == "test"), np.flatnonzero(split_N == "validation")
    rest_M = np.random.default_rng(seed).permutation(np.flatnonzero(split_N == "train"))
    hold_M, learn_M = np.split(rest_M, [len(rest_M) // 5])
    learned = np.array_split(learn_M, 2) if other_photos else [learn_M, learn_M]
    models = [train_head(photos, own_M, hold_M, 2 * seed + k) for k, own_M in enumerate(learned)]
    return SeedStudy(*(compared(photos, rows_M, *models) for rows_M in (test_M, apart_M)))


def compared(photos: SeenPhotos, rows_N: np.ndarray, champion: Predict, challenger: Predict) -> Comparison:
    """Let both models answer these photos."""
    return Comparison(
        classes=photos.classes,
        labels_N=photos.codes_N[rows_N],
        group_ids_N=photos.manifest["group_id"].to_numpy()[rows_N],
        champion_NK=champion(rows_N),
        challenger_NK=challenger(rows_N),
        slices={name: photos.manifest[name].to_numpy()[rows_N] for name in photos.slices},
    )


def planted(
    test: Comparison, column: str, value: object, *, loss: float, gain_elsewhere: float, seed: int
) -> Comparison:
    """Make a challenger of the champion: worse where `column` is `value`, better everywhere else.

    Parameters
    ----------
    loss, gain_elsewhere
        Share of the images there whose right answer goes wrong, and of the others whose wrong answer is put right.
    """
    random, n = np.random.default_rng(seed), len(test.labels_N)
    champion_N, _ = test.right_2N
    inside_N = test.slices[column] == value
    lost_N = inside_N & champion_N & (random.random(n) < loss / champion_N[inside_N].mean())
    won_N = ~inside_N & ~champion_N & (random.random(n) < gain_elsewhere / (~champion_N[~inside_N]).mean())
    challenger_NK = test.champion_NK.copy()
    order_NK = challenger_NK.argsort(axis=1)
    for changed_N, other_N in ((lost_N, order_NK[:, -2]), (won_N, order_NK[:, -1])):
        rows = np.flatnonzero(changed_N)
        label, other = test.labels_N[rows], other_N[rows]
        challenger_NK[rows, label], challenger_NK[rows, other] = (
            challenger_NK[rows, other],
            challenger_NK[rows, label],
        )
    return replace(test, challenger_NK=challenger_NK)
