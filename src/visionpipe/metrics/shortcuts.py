"""Shortcuts: what tells the label beside the object, such as the photo's border, its file or its camera.

A model that learns such a shortcut looks good on test images that were taken the same way, and fails elsewhere.

Legend: N images, K classes, F features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from visionpipe.metrics.summary import classification_metrics
from visionpipe.stats.paired import holm

if TYPE_CHECKING:
    import pandas as pd

_FOLDS = 5
_PERMUTATIONS = 500  # the true order of the labels among them
_RIDGE = (
    0.1  # of the number of images: the variance of noise that is thought to lie on each standardised feature
)
_NUMBER_BINS = 10  # a number is cut at its deciles, so that any dependence on it can be learned
_LEAST_COUNT = 5  # rarer values of a column are taken together
_MOST_VALUES = 50


def find_shortcuts(
    sources: Mapping[str, NDArray[np.float64]],
    labels: Sequence[str],
    group_ids: Sequence[str],
    *,
    level: float,
    seed: int,
) -> list[dict[str, Any]]:
    """Predict the label from each source of features alone, and compare with chance.

    A ridge regression on the classes' indicators is fitted on four fifths of the groups and predicts the last fifth,
    five times; the class whose score is highest beside its share is taken. Errors of cross-validation depend on one
    another, so the verdict does not rest on the interval: the labels are exchanged between groups of one size many
    times, and the source predicts only if it does better with the true ones (an exact permutation test, Ojala and
    Garriga 2010, test 1), after Holm's correction over the sources.

    Parameters
    ----------
    sources : mapping
        Name -> features_NF, float and finite.
    labels, group_ids : sequence of str
        Of the N images; images of one group are never in two folds.
    level, seed
        Confidence, 0 to 1, and the seed of folds and permutations.

    Returns
    -------
    list of dict
        For each source, in the given order: `name, n, balanced_accuracy` (interval), `guessing` (1 / K), `majority`
        (share of the commonest class, the accuracy of always naming it), `p_value` (adjusted), `verdict` (`predicts
        the label`, `no sign` or `not judged`) and, where not judged, a `reason`.
    """
    labels_N, groups_N = np.asarray(labels, dtype=str), np.asarray(group_ids, dtype=str)
    classes, codes_N, counts_K = np.unique(labels_N, return_inverse=True, return_counts=True)
    groups_of_K = [len(np.unique(groups_N[codes_N == k])) for k in range(len(classes))]
    if len(classes) < 2 or min(groups_of_K) < _FOLDS:
        unjudged = dict.fromkeys(("balanced_accuracy", "guessing", "majority", "p_value"))
        reason = f"every class needs {_FOLDS} groups of images or more"
        return [
            {"name": name, "n": len(labels_N), **unjudged, "verdict": "not judged", "reason": reason}
            for name in sources
        ]
    random = np.random.default_rng(seed)
    index_N = np.unique(groups_N, return_inverse=True)[1]
    folds_N = (random.permutation(index_N.max() + 1) % _FOLDS)[index_N]
    n_drawn = max(_PERMUTATIONS, int(np.ceil(2 * len(sources) / (1 - level)))) - 1
    codes_NP = _exchanged(codes_N, index_N, n_drawn, random)  # column 0: the true labels
    found, p_values = [], []
    for name, features_NF in sources.items():
        predicted_NP = _cross_validated(features_NF, codes_NP, folds_N, len(classes))
        reached_P = _balanced_accuracies(codes_NP, predicted_NP, len(classes))
        p_values.append(float(np.mean(reached_P >= reached_P[0] - 1e-12)))
        accuracy = classification_metrics(
            codes_N,
            np.eye(len(classes))[predicted_NP[:, 0]],
            classes.tolist(),
            groups_N,
            resamples=100,
            level=level,
            seed=seed,
            only=[],
            predicted_N=predicted_NP[:, 0],
        )["balanced_accuracy"]
        found.append(
            {
                "name": name,
                "n": len(labels_N),
                "balanced_accuracy": accuracy,
                "guessing": 1 / len(classes),
                "majority": float(counts_K.max() / len(labels_N)),
            }
        )
    return [
        {
            **entry,
            "p_value": float(p_value),
            "verdict": "predicts the label" if p_value <= 1 - level else "no sign",
        }
        for entry, p_value in zip(found, holm(p_values) if p_values else (), strict=True)
    ]


def columns_as_features(table: pd.DataFrame) -> NDArray[np.float64]:
    """Turn columns of words or numbers into indicator features.

    Parameters
    ----------
    table : DataFrame
        Numbers are cut at their deciles; of words, those that occur less than 5 times, and all beyond the 50
        commonest, are one value.

    Returns
    -------
    numpy.ndarray
        features_NF, 0 or 1.
    """
    import pandas as pd

    parts = []
    for column in table:
        values = table[column]
        if pd.api.types.is_numeric_dtype(values) and values.nunique() > _NUMBER_BINS:
            values = pd.qcut(values, _NUMBER_BINS, labels=False, duplicates="drop")
        values = values.astype("string").fillna("unknown")
        counts = values.value_counts()
        kept = counts[counts >= _LEAST_COUNT].index[:_MOST_VALUES]
        values = values.where(values.isin(kept), "other").to_numpy(dtype=str)
        parts += [(values == value).astype(float) for value in np.unique(values)]
    return np.column_stack(parts)


def border_features(pixels_NHWC: NDArray[np.uint8], border: float, cells: int = 16) -> NDArray[np.float64]:
    """Describe what is left of photos when their centre is hidden.

    Parameters
    ----------
    pixels_NHWC : numpy.ndarray
        uint8, square.
    border : float
        Width of the border on each side, as a share of the side, 0 to 0.5.
    cells : int
        A photo is seen as so many cells a side.

    Returns
    -------
    numpy.ndarray
        features_NF: mean colour and contrast of each cell of the border, 0 to 1.
    """
    side = pixels_NHWC.shape[1]
    edges = np.linspace(0, side, min(cells, side) + 1).astype(int)
    ring = max(1, round(border * (len(edges) - 1)))
    places = range(len(edges) - 1)
    outer = {*places[:ring], *places[-ring:]}
    features = []
    for i in places:
        for j in places:
            if i in outer or j in outer:
                cell = pixels_NHWC[:, edges[i] : edges[i + 1], edges[j] : edges[j + 1]].astype(np.float32)
                features += [cell.mean(axis=(1, 2)) / 255, cell.mean(axis=3).std(axis=(1, 2))[:, None] / 255]
    return np.concatenate(features, axis=1).astype(float)


def _exchanged(
    codes_N: NDArray[np.int64], index_N: NDArray[np.int64], count: int, random: np.random.Generator
) -> NDArray[np.int64]:
    """Return codes_NP: the codes, then `count` times those with groups of one size having exchanged theirs."""
    rows_of_size: dict[int, list[NDArray[np.int64]]] = {}
    for rows in np.split(np.argsort(index_N, kind="stable"), np.cumsum(np.bincount(index_N))[:-1]):
        rows_of_size.setdefault(len(rows), []).append(rows)
    codes_NP = np.repeat(codes_N[:, None], count + 1, axis=1)
    for rows in map(np.stack, rows_of_size.values()):
        for p in range(1, count + 1):
            codes_NP[rows, p] = codes_N[rows[random.permutation(len(rows))]]
    return codes_NP


def _cross_validated(
    features_NF: NDArray[np.float64], codes_NP: NDArray[np.int64], folds_N: NDArray[np.int64], n_classes: int
) -> NDArray[np.int64]:
    """Return predicted_NP: what a ridge regression on each column of labels says of the fold that it has not seen.

    What is fitted depends on the labels through one matrix product, so that all columns cost little more than one.
    """
    spread_F = features_NF.std(axis=0)
    features_NF = (features_NF - features_NF.mean(axis=0)) / np.where(spread_F > 0, spread_F, 1.0)
    predicted_NP = np.empty_like(codes_NP)
    for fold in np.unique(folds_N):
        held_out = folds_N == fold
        learned_TF = features_NF[~held_out]
        centre_F = learned_TF.mean(axis=0)
        learned_TF = learned_TF - centre_F
        penalty = _RIDGE * len(learned_TF) * np.eye(learned_TF.shape[1])
        fit_FT = np.linalg.solve(learned_TF.T @ learned_TF + penalty, learned_TF.T)
        best_HP = np.full((held_out.sum(), codes_NP.shape[1]), -np.inf)
        for k in range(n_classes):
            is_k_TP = (codes_NP[~held_out] == k).astype(float)
            share_P = is_k_TP.mean(axis=0)
            score_HP = (features_NF[held_out] - centre_F) @ (fit_FT @ (is_k_TP - share_P))
            score_HP = np.where(share_P > 0, score_HP / np.maximum(share_P, 1e-12), -np.inf)
            block_HP = predicted_NP[held_out]
            block_HP[score_HP > best_HP] = k
            predicted_NP[held_out] = block_HP
            best_HP = np.maximum(best_HP, score_HP)
    return predicted_NP


def _balanced_accuracies(
    codes_NP: NDArray[np.int64], predicted_NP: NDArray[np.int64], n_classes: int
) -> NDArray[np.float64]:
    recalls_KP = [
        ((predicted_NP == k) & (codes_NP == k)).sum(axis=0) / (codes_NP == k).sum(axis=0)
        for k in range(n_classes)
    ]
    return np.mean(recalls_KP, axis=0)
