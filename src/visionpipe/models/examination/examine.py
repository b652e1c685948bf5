"""The examination: everything that is measured of a model beyond its test predictions, in one JSON-safe dictionary.

Legend: N sampled test images, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from visionpipe.images.importers import Photo
from visionpipe.images.prepare import PreparedImages
from visionpipe.metrics.evaluation import codes_of
from visionpipe.metrics.parameters import EvaluationParameters
from visionpipe.metrics.robustness import (
    accuracy_entry,
    detection,
    energy,
    mean_accuracy,
    not_detected,
    surely_worse_from,
    systematic_sample,
)
from visionpipe.models.classifier import ImageClassifier, Predictions
from visionpipe.models.examination.adversarial import fgsm, pgd
from visionpipe.models.examination.corruptions import CORRUPTIONS, STRENGTHS, corrupt
from visionpipe.models.examination.shortcuts import hide, shortcuts
from visionpipe.models.examination.speed import model_size, time_predictions
from visionpipe.models.examination.unrelated import unrelated_pictures
from visionpipe.stats.intervals import clopper_pearson

_TIMED_IMAGES = 32
_NO_ENERGY = "with mc_dropout_passes, logits are logarithms of a mean probability, whose energy is always 0"


def examine(
    classifier: ImageClassifier,
    manifest: pd.DataFrame,
    predictions: pd.DataFrame,
    images: PreparedImages,
    unrelated_photos: Sequence[Photo],
    parameters: EvaluationParameters,
) -> dict[str, Any]:
    """Drive a model beyond its test images.

    Parameters
    ----------
    classifier : ImageClassifier
        The candidate's.
    manifest : DataFrame
        DESIGN's manifest, all splits.
    predictions : DataFrame
        The classifier's of all test images: `image_id, label, group_id, probabilities`.
    images : PreparedImages
        Pixels of all its images at the classifier's size.
    unrelated_photos : sequence of Photo
        Photos of nothing that the model knows; when empty, pictures are drawn.
    parameters : EvaluationParameters
        Level and seed, and how much of everything (`examination`).

    Returns
    -------
    dict
        `sample` (`n`, `accuracy`: of the images below, unchanged), `corruptions` (name -> accuracy at strength 1 to 5,
        each with `strength`, `amount`), `corruption_units`, `surely_worse_from` (name -> strength or None),
        `mean_corruption_accuracy`, `adversarial` (`n`, `accuracy`, `fgsm` and `pgd`: lists of `epsilon`, `accuracy`),
        `out_of_distribution` (`n`, `origin`, `max_probability` and `energy`: see `detection`, `deferred`), `hidden`
        (accuracy with the `centre` or the `edge` hidden, `border`, `majority`), `size`, `speed` and `shortcuts`. A
        part that is switched off is None.
    """
    chosen = parameters.examination
    sample = spread_sample(predictions, chosen.images, classifier.spec.classes, parameters.seed)
    pixels_NHWC = images.pixels_NHWC[images.rows(sample["image_id"].tolist())]
    examined = _Examined(classifier, sample, pixels_NHWC, parameters)
    timed_N = images.rows(predictions["image_id"].head(_TIMED_IMAGES).tolist())
    corruptions, surely_worse = examined.corruptions()
    return {
        "sample": examined.sample(),
        "corruptions": corruptions,
        "surely_worse_from": surely_worse,
        "corruption_units": {name: corruption.unit for name, corruption in CORRUPTIONS.items()},
        "mean_corruption_accuracy": mean_accuracy(corruptions or {}),
        "adversarial": examined.adversarial(),
        "out_of_distribution": examined.out_of_distribution(unrelated_photos),
        "hidden": examined.hidden(),
        "size": model_size(classifier),
        "speed": time_predictions(
            classifier, images.pixels_NHWC[timed_N], chosen.timed_predictions, parameters.level
        )
        if chosen.timed_predictions
        else None,
        "shortcuts": shortcuts(manifest, images, parameters),
    }


class _Examined:
    """A model, the sampled test images and how they are judged."""

    def __init__(
        self,
        classifier: ImageClassifier,
        sample: pd.DataFrame,
        pixels_NHWC: np.ndarray,
        parameters: EvaluationParameters,
    ) -> None:
        self._classifier, self._pixels, self._parameters = classifier, pixels_NHWC, parameters
        self._labels, self._groups = sample["label"].to_numpy(), sample["group_id"].to_numpy()
        self._codes = codes_of(sample["label"], classifier.spec.classes)
        self._plain: Predictions = classifier.predict(pixels_NHWC)

    def sample(self) -> dict[str, Any]:
        return {
            "n": len(self._labels),
            "accuracy": self._entry(self._right(self._plain)) if len(self._labels) else None,
        }

    def corruptions(self) -> tuple[dict[str, list[dict[str, Any]]] | None, dict[str, int | None] | None]:
        """Return accuracy by corruption and strength, and the strengths from which it is surely lower."""
        if not len(self._labels):
            return None, None
        seed, alpha = self._parameters.seed, (1 - self._parameters.level) / len(CORRUPTIONS)
        plain_N, entries, surely_worse = self._right(self._plain), {}, {}
        for name, corruption in CORRUPTIONS.items():
            right_SN = [
                self._right(self._classifier.predict(corrupt(self._pixels, name, strength, seed)))
                for strength in STRENGTHS
            ]
            entries[name] = [
                {"strength": strength, "amount": amount, **self._entry(right_N)}
                for strength, amount, right_N in zip(STRENGTHS, corruption.amounts, right_SN, strict=True)
            ]
            surely_worse[name] = surely_worse_from(plain_N, right_SN, self._groups, alpha)
        return entries, surely_worse

    def adversarial(self) -> dict[str, Any] | None:
        chosen = self._parameters.examination
        n = min(chosen.attacked_images, len(self._labels))
        if not n or not chosen.epsilons:
            return None
        rows_M = systematic_sample(len(self._labels), n, self._parameters.seed)
        attacked = (self._classifier, self._pixels[rows_M], self._codes[rows_M], chosen.epsilons)
        survivors = {
            "fgsm": fgsm(*attacked),
            "pgd": pgd(*attacked, steps=chosen.pgd_steps, seed=self._parameters.seed),
        }
        return {
            "n": n,
            "accuracy": self._entry(self._right(self._plain)[rows_M], rows_M),
            **{
                name: [
                    {"epsilon": epsilon, "accuracy": self._entry(survives_M, rows_M)}
                    for epsilon, survives_M in zip(chosen.epsilons, survives_EN, strict=True)
                ]
                for name, survives_EN in survivors.items()
            },
        }

    def out_of_distribution(self, photos: Sequence[Photo]) -> dict[str, Any] | None:
        chosen, spec = self._parameters.examination, self._classifier.spec
        if not chosen.unrelated_images or not len(self._labels):
            return None
        pixels_MHWC, origin = unrelated_pictures(
            photos, chosen.unrelated_images, spec.image_size_px, self._parameters.seed
        )
        outside = self._classifier.predict(pixels_MHWC)
        scores = {
            "max_probability": [p.probabilities_NK.max(axis=1) for p in (self._plain, outside)],
        }
        if not spec.mc_dropout_passes:
            scores["energy"] = [energy(p.logits_NK) for p in (self._plain, outside)]
        found = {
            name: detection(
                *both,
                self._groups,
                resamples=self._parameters.resamples,
                level=self._parameters.level,
                seed=self._parameters.seed,
            )
            for name, both in scores.items()
        }
        if spec.mc_dropout_passes:
            n = len(self._labels) + len(pixels_MHWC)
            found["energy"] = not_detected(_NO_ENERGY, n, self._parameters.level)
        deferred = int(spec.defers(outside.confidence_N).sum())
        return {
            "n": len(pixels_MHWC),
            "origin": origin,
            **found,
            "deferred": {
                **clopper_pearson(deferred, len(pixels_MHWC), self._parameters.level).as_dict(),
                "n": len(pixels_MHWC),
            },
        }

    def hidden(self) -> dict[str, Any] | None:
        """Predict with the centre hidden, and with the border hidden, under the mean colour of what is hidden."""
        if not len(self._labels):
            return None
        border = self._parameters.examination.border
        return {
            "border": border,
            "majority": float(np.unique(self._labels, return_counts=True)[1].max() / len(self._labels)),
            "centre": self._accuracy_of(hide(self._pixels, border, centre=True)),
            "edge": self._accuracy_of(hide(self._pixels, border, centre=False)),
        }

    def _accuracy_of(self, pixels_NHWC: np.ndarray) -> dict[str, Any]:
        return self._entry(self._right(self._classifier.predict(pixels_NHWC)))

    def _right(self, predictions: Predictions) -> np.ndarray:
        return np.array(predictions.labels) == self._labels

    def _entry(self, right_M: np.ndarray, rows_M: np.ndarray | None = None) -> dict[str, Any]:
        groups_M = self._groups if rows_M is None else self._groups[rows_M]
        return accuracy_entry(right_M, groups_M, self._parameters.level)


def spread_sample(predictions: pd.DataFrame, count: int, classes: Sequence[str], seed: int) -> pd.DataFrame:
    """Draw test images that are spread over the classes and over how sure the model is of the truth.

    Every image has the same chance, and the accuracy on the sample is close to that on all.

    Parameters
    ----------
    predictions : DataFrame
        `image_id, label, probabilities`.
    count : int
        At most so many.
    classes : sequence of str
        In the order of `probabilities`.
    seed : int
        Of the draw; the order of the rows is of no importance.
    """
    codes_N = codes_of(predictions["label"], classes)
    truth_N = np.array([row[code] for row, code in zip(predictions["probabilities"], codes_N, strict=True)])
    order_N = np.lexsort((predictions["image_id"].to_numpy(dtype=str), truth_N, codes_N))
    return predictions.iloc[order_N[systematic_sample(len(order_N), count, seed)]]
