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
_TOO_FEW_ALIKE = "too few groups of like size to tell a shortcut from chance"
_NUMBER_BINS = 10  # numbers are cut at deciles, so that any dependence on them can be learned
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
    another, so the verdict does not rest on the interval: the labels are exchanged many times between groups whose
    sizes differ by less than a factor of two, and the source predicts only if it does better with the true ones (a
    permutation test, Ojala and Garriga 2010, test 1, exact between groups of one size), after Holm's correction over
    the sources. Images of one group depend on one another, so nothing is exchanged within it.

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
        the label`, `no sign` or `not judged`) and, where not judged, a `reason`. There is `no sign` only where a
        source that tells every label would have been found.
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
    perfect_NP = _cross_validated(np.eye(len(classes))[codes_N], codes_NP, folds_N, len(classes))
    least_p_value = len(sources) * _p_value(codes_NP, perfect_NP, len(classes))
    found, p_values = [], []
    for name, features_NF in sources.items():
        predicted_NP = _cross_validated(features_NF, codes_NP, folds_N, len(classes))
        p_values.append(_p_value(codes_NP, predicted_NP, len(classes)))
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
    for entry, p_value in zip(found, holm(p_values).tolist() if p_values else (), strict=True):
        entry["p_value"] = p_value
        if p_value <= 1 - level:
            entry["verdict"] = "predicts the label"
        elif least_p_value <= 1 - level:
            entry["verdict"] = "no sign"
        else:
            entry |= {"verdict": "not judged", "reason": _TOO_FEW_ALIKE}
    return found


def columns_as_features(table: pd.DataFrame) -> NDArray[np.float64]:
    """Turn columns of words or numbers into indicator features.

    Parameters
    ----------
    table : DataFrame
        Of words, those that occur less than 5 times, and all beyond the 50 commonest, are one value. A column is
        one of numbers where all that is known of it can be read as such, be it text. A number that 5 images and 2 %
        of those with a known one share, such as the width of one camera's photos, is a value of its own; all other
        numbers are cut at their deciles, into fewer bins where these would hold less than 5.

    Returns
    -------
    numpy.ndarray
        features_NF, 0 or 1.
    """
    import pandas as pd

    parts = []
    for column in table:
        values = table[column].astype("string")
        known = values.notna()
        numbers = pd.to_numeric(values[known], errors="coerce").to_numpy(dtype=float, na_value=np.nan)
        if np.isfinite(numbers).all():
            values[known] = _common_or_binned(numbers)
        values = values.fillna("unknown")
        counts = values.value_counts()
        kept = counts[counts >= _LEAST_COUNT].index[:_MOST_VALUES]
        values = values.where(values.isin(kept), "other").to_numpy(dtype=str)
        parts += [(values == value).astype(float) for value in np.unique(values)]
    return np.column_stack(parts)


def _common_or_binned(numbers_N: NDArray[np.float64]) -> NDArray[np.str_]:
    """Name common numbers by themselves, all others by their bin."""
    _, place_N, counts = np.unique(numbers_N, return_inverse=True, return_counts=True)
    rare_N = counts[place_N] < max(_LEAST_COUNT, len(numbers_N) / _MOST_VALUES)
    names_N = numbers_N.astype(str).astype(object)
    if rare_N.any():
        n_bins = max(1, min(_NUMBER_BINS, rare_N.sum() // _LEAST_COUNT))
        edges = np.quantile(numbers_N[rare_N], np.arange(1, n_bins) / n_bins)
        names_N[rare_N] = [f"bin {i}" for i in np.searchsorted(edges, numbers_N[rare_N])]
    return names_N.astype(str)


def border_width(side: int, border: float) -> int:
    """Return the width in pixels of a photo's border: at least one, and no more than leaves a pixel between.

    Parameters
    ----------
    side : int
        Of the photo in pixels, 3 or more.
    border : float
        Share of the side, 0 to 0.5.
    """
    return min(max(1, round(border * side)), (side - 1) // 2)


def border_features(pixels_NHWC: NDArray[np.uint8], border: float, cells: int = 16) -> NDArray[np.float64]:
    """Describe what is left of photos when their centre is hidden.

    Parameters
    ----------
    pixels_NHWC : numpy.ndarray
        uint8, square, 3 pixels a side or more.
    border : float
        Width of the border on each side, as a share of the side, 0 to 0.5.
    cells : int
        A photo is seen as so many cells a side or one more; none is partly border and partly centre.

    Returns
    -------
    numpy.ndarray
        features_NF: mean colour and contrast of each cell of the border, 0 to 1.
    """
    side = pixels_NHWC.shape[1]
    width = border_width(side, border)
    cells = min(cells, side)
    ring = max(1, round(cells * width / side))
    before = np.linspace(0, width, ring + 1).astype(int)
    between = np.linspace(width, side - width, max(1, cells - 2 * ring) + 1).astype(int)
    edges = np.concatenate([before, between[1:-1], side - before[::-1]])
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
    """Return codes_NP: the codes, then `count` times those with groups of like size having exchanged theirs.

    Sizes are alike from one power of two to the next: groups of one image stay among themselves. A larger group
    gets each label of the other once or twice, a smaller one as many of them as it has room for, evenly spread.
    """
    order_N, sizes_G = np.argsort(index_N, kind="stable"), np.bincount(index_N)
    starts_G = np.cumsum(sizes_G) - sizes_G
    group_N = index_N[order_N]
    place_N = np.arange(len(index_N)) - starts_G[group_N]
    exponent_G = np.frexp(sizes_G)[1]
    alike = [np.flatnonzero(exponent_G == exponent) for exponent in np.unique(exponent_G)]
    codes_NP = np.repeat(codes_N[:, None], count + 1, axis=1)
    giver_G = np.empty_like(sizes_G)
    for p in range(1, count + 1):
        for groups in alike:
            giver_G[groups] = random.permutation(groups)
        giver_N = giver_G[group_N]
        taken_N = starts_G[giver_N] + place_N * sizes_G[giver_N] // sizes_G[group_N]
        codes_NP[order_N, p] = codes_N[order_N[taken_N]]
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


def _p_value(codes_NP: NDArray[np.int64], predicted_NP: NDArray[np.int64], n_classes: int) -> float:
    """Return the share of columns whose balanced accuracy is that of the first or better, 0 to 1.

    A class of which an exchange left no image counts as recalled, which speaks for chance.
    """
    counts_KP = np.array([(codes_NP == k).sum(axis=0) for k in range(n_classes)])
    hits_KP = [((predicted_NP == k) & (codes_NP == k)).sum(axis=0) for k in range(n_classes)]
    reached_P = np.where(counts_KP > 0, hits_KP / np.maximum(counts_KP, 1), 1.0).mean(axis=0)
    return float(np.mean(reached_P >= reached_P[0] - 1e-12))
