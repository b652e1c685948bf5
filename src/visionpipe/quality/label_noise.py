"""Which labels are probably wrong? Confident learning from out-of-fold probabilities.

Legend: N images, D features, K classes. Northcutt, Jiang and Chuang (2021), "Confident Learning: Estimating
Uncertainty in Dataset Labels", JAIR 70:1373; the ranking is the `cleanlab` package's, by its authors.
"""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING

import numpy as np

from visionpipe.errors import VisionpipeError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

    from visionpipe.quality.parameters import LabelAuditParameters

logger = logging.getLogger(__name__)
_ITERATIONS = 1000


def out_of_fold_probabilities(
    features_ND: NDArray[np.floating],
    labels_N: ArrayLike,
    group_ids_N: ArrayLike,
    parameters: LabelAuditParameters,
) -> NDArray[np.float64]:
    """Predict each image's class by a logistic regression that has seen neither it nor its near-duplicates.

    Parameters
    ----------
    features_ND : numpy.ndarray
        (N, D) float; pooled features of a frozen backbone.
    labels_N : array_like
        Class codes 0..K-1; every code occurs.
    group_ids_N : array_like
        Images of one group are always in the same fold: a near-duplicate in the training part would repeat the label
        that is to be judged.
    parameters : LabelAuditParameters
        Folds, regularisation and seed. There are no more folds than groups, nor than images of the largest class.

    Returns
    -------
    numpy.ndarray
        (N, K) float64 rows that sum to 1; a row of NaN where the image's class occurs in no other fold, so that nobody
        could know it.

    Raises
    ------
    VisionpipeError
        When there are fewer than two classes or two groups, or no class has two images.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    labels_N = np.asarray(labels_N, dtype=np.int64)
    n_images_K = np.bincount(labels_N)
    n_classes, n_groups = len(n_images_K), len(np.unique(np.asarray(group_ids_N, dtype=str)))
    if n_classes < 2 or n_groups < 2:
        raise VisionpipeError(
            f"label audit: {n_classes} classes in {n_groups} groups of near-duplicates; at least two of each are needed"
        )
    n_folds = int(min(parameters.folds, n_groups, n_images_K.max()))
    if n_folds < 2:
        raise VisionpipeError("label audit: no class has two images; add images")
    if n_folds < parameters.folds:
        logger.warning(
            "label audit: %d folds, not %d (label_audit.folds): there are %d groups of near-duplicates, and the "
            "largest class has %d images",
            *(n_folds, parameters.folds, n_groups, n_images_K.max()),
        )
    probabilities_NK = np.full((len(labels_N), n_classes), np.nan)
    folds = StratifiedGroupKFold(n_folds, shuffle=True, random_state=parameters.seed)
    with warnings.catch_warnings():
        # a class with fewer images than folds is what the rows of NaN are for
        warnings.filterwarnings("ignore", "The least populated class in y", UserWarning)
        parts = list(folds.split(features_ND, labels_N, np.asarray(group_ids_N, dtype=str)))
    for train, held_out in parts:
        known = np.unique(labels_N[train])
        judged = held_out[np.isin(labels_N[held_out], known)]
        if len(known) < 2 or not len(judged):
            continue
        model = make_pipeline(
            StandardScaler(),
            LogisticRegression(C=parameters.inverse_regularisation, max_iter=_ITERATIONS),
        )
        model.fit(features_ND[train], labels_N[train])
        rows_BK = np.zeros((len(judged), n_classes))
        rows_BK[:, known] = model.predict_proba(features_ND[judged])
        probabilities_NK[judged] = rows_BK
    return probabilities_NK


def rank_labels(
    manifest: pd.DataFrame,
    classes: list[str],
    probabilities_NK: NDArray[np.float64],
    parameters: LabelAuditParameters,
) -> pd.DataFrame:
    """List all judged images, the most doubtful label first.

    Parameters
    ----------
    manifest : DataFrame
        N rows with `image_id, label, source, split`.
    classes : list of str
        The class of each column of `probabilities_NK`.
    probabilities_NK : numpy.ndarray
        Out-of-fold probabilities; rows of NaN are left out.
    parameters : LabelAuditParameters
        Which of cleanlab's scores to sort by.

    Returns
    -------
    DataFrame
        `image_id, source, label, suggested_label, self_confidence` (probability of the given label, 0 to 1),
        `label_quality` (cleanlab's score, 0 to 1; lower is worse), `is_issue` (cleanlab counts the label among the
        wrong ones), `split`.
    """
    import pandas as pd
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    judged_N = ~np.isnan(probabilities_NK).any(axis=1)
    # classes that could not be judged at all would be a class without labels to cleanlab
    code_of = {name: code for code, name in enumerate(classes)}
    labels_N = manifest["label"].map(code_of).to_numpy(dtype=np.int64)[judged_N]
    present_K, labels_N = np.unique(labels_N, return_inverse=True)
    if len(present_K) < 2:
        raise VisionpipeError("label audit: fewer than two classes could be judged; add images of the others")
    among_NK = probabilities_NK[judged_N]
    if len(present_K) < len(classes):
        among_NK = among_NK[:, present_K] / among_NK[:, present_K].sum(axis=1, keepdims=True)
    is_issue_N = find_label_issues(labels_N, among_NK, n_jobs=1)
    quality_N = get_label_quality_scores(labels_N, among_NK, method=parameters.score)
    listed = manifest.loc[judged_N, ["image_id", "source", "label"]].assign(
        suggested_label=np.asarray(classes, dtype=object)[present_K[among_NK.argmax(axis=1)]],
        self_confidence=among_NK[np.arange(len(labels_N)), labels_N],
        label_quality=quality_N,
        is_issue=is_issue_N,
        split=manifest.loc[judged_N, "split"],
    )
    return pd.DataFrame(listed).sort_values(["label_quality", "image_id"], ignore_index=True)


def summarise_audit(issues: pd.DataFrame, n_images: int) -> dict[str, object]:
    """Count what was found: probable errors in all, by class, and by what they are taken for.

    Parameters
    ----------
    issues : DataFrame
        From `rank_labels`.
    n_images : int
        Images in the manifest; those that `issues` lacks could not be judged.
    """
    wrong = issues[issues["is_issue"]]
    pairs = wrong.groupby(["label", "suggested_label"]).size().sort_values(ascending=False, kind="stable")
    judged, doubtful = issues["label"].value_counts(), wrong["label"].value_counts()
    return {
        "n_images": n_images,
        "n_judged": len(issues),
        "n_issues": len(wrong),
        "agreement_with_model": float((issues["label"] == issues["suggested_label"]).mean()),
        "per_class": {
            str(name): {"n_judged": int(n), "n_issues": int(doubtful.get(name, 0))}
            for name, n in judged.sort_index().items()
        },
        "confusions": [
            {"label": label, "suggested_label": suggested, "n": int(n)}
            for (label, suggested), n in pairs.items()
        ],
    }
