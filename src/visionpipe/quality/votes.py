"""Who said what of an image: the votes that agreement is measured on, and the images they disagree about.

A vote is what somebody says of a photo: origin `import` or `review`. Corrections and adjudications are made by people
who saw the votes; they settle a disagreement and are no part of it.
"""

from __future__ import annotations

from itertools import combinations, groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from visionpipe.images.labels import current_labels, in_force
from visionpipe.quality.agreement import Agreement, cohen_kappa, fleiss_kappa, krippendorff_alpha

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from visionpipe.quality.parameters import AgreementParameters

VOTES = ("import", "review")
MAX_PAIRS = 10  # pairs of annotators that are compared one by one: those that share most images


def latest_votes(label_history: pd.DataFrame) -> pd.DataFrame:
    """Return the latest vote of each annotator on each image: `image_id, annotator, label`."""
    counting = in_force(label_history)
    votes = counting[counting["origin"].isin(VOTES)].dropna(subset=["image_id", "annotator", "label"])
    # of one time, what a reviewer said later counts, as in `current_labels`; the order of imports never matters
    imported = votes["label"].where(votes["origin"] == "import", "")
    votes = votes.assign(imported=imported)
    votes = votes.sort_values(["image_id", "annotator", "labelled_at", "imported"], kind="stable")
    latest = votes.drop_duplicates(["image_id", "annotator"], keep="last")
    return latest[["image_id", "annotator", "label"]].reset_index(drop=True)


def vote_counts(votes: pd.DataFrame) -> tuple[NDArray[np.int64], list[str], list[str]]:
    """Count the votes for each class on images with two votes or more: counts_NK, image ids, classes."""
    votes = votes[votes.groupby("image_id")["label"].transform("size") >= 2]
    images, image_N = np.unique(votes["image_id"].to_numpy(str), return_inverse=True)
    classes, class_N = np.unique(votes["label"].to_numpy(str), return_inverse=True)
    cells = np.bincount(image_N * len(classes) + class_N, minlength=len(images) * len(classes))
    return cells.reshape(len(images), len(classes)), images.tolist(), classes.tolist()


def measure_agreement(
    label_history: pd.DataFrame, manifest: pd.DataFrame, parameters: AgreementParameters
) -> list[Agreement]:
    """Measure agreement: Krippendorff's alpha of all, Fleiss' kappa, and Cohen's kappa of pairs of annotators.

    Parameters
    ----------
    label_history : DataFrame
        `image_id, label, annotator, origin, labelled_at, ...`.
    manifest : DataFrame
        `image_id, group_id`: images of one group are one piece of evidence. An image whose group it does not give
        stands for itself.
    parameters : AgreementParameters
        Of the intervals.

    Returns
    -------
    list of Agreement
        Alpha first. Fleiss' kappa where there are more than two annotators; Cohen's kappa of at most ten pairs,
        those that share most images.
    """
    options = {"resamples": parameters.resamples, "level": parameters.level, "seed": parameters.seed}
    votes = latest_votes(label_history)
    counts_NK, image_ids, _ = vote_counts(votes)
    votes = votes[votes["image_id"].isin(image_ids)]
    group_of = _groups_of(image_ids, manifest)
    groups_N = list(group_of.values())
    measured = [krippendorff_alpha(counts_NK, groups_N, **options)]
    if votes["annotator"].nunique() > 2:
        measured.append(fleiss_kappa(counts_NK, groups_N, **options))
    together: dict[tuple[str, str], list[tuple[str, str, str]]] = {}
    rows = zip(*(votes[column].tolist() for column in ("image_id", "annotator", "label")), strict=True)
    for image_id, of_image in groupby(rows, key=itemgetter(0)):  # they come sorted by image and annotator
        for (_, one, its), (_, other, others) in combinations(of_image, 2):
            together.setdefault((one, other), []).append((its, others, group_of[image_id]))
    busiest = sorted(together.items(), key=lambda item: (-len(item[1]), item[0]))[:MAX_PAIRS]
    measured += [cohen_kappa(*zip(*said, strict=True), annotators=pair, **options) for pair, said in busiest]
    return measured


def _groups_of(image_ids: list[str], manifest: pd.DataFrame) -> dict[str, str]:
    """Map each image to its group, or to itself; a manifest without these columns fails elsewhere."""
    known = manifest.reindex(columns=["image_id", "group_id"]).dropna().astype(str)
    group_of = dict(zip(known["image_id"], known["group_id"], strict=True))
    return {image_id: group_of.get(image_id, image_id) for image_id in image_ids}


def list_disagreements(label_history: pd.DataFrame, stored_images: pd.DataFrame) -> list[dict[str, Any]]:
    """List the images that votes disagree about; those that nobody has settled come first.

    Every label that is claimed counts, also when one annotator claimed two: byte-identical photos in two
    class folders are a contradiction that is one's own.

    Parameters
    ----------
    label_history : DataFrame
        `image_id, label, annotator, origin, labelled_at, ...`.
    stored_images : DataFrame
        `image_id, source, path`: where a reviewer finds the photo.

    Returns
    -------
    list of dict
        `image_id, source, path, claims` (list of `annotator, label, origin`, oldest first), `label` (the one it has
        now), `settled` (a later review, a correction or an adjudication has decided).
    """
    label_history = in_force(label_history)
    votes = label_history[label_history["origin"].isin(VOTES)].dropna(subset=["image_id", "label"])
    disputed = votes.groupby("image_id")["label"].nunique()
    disputed = disputed.index[disputed > 1]
    if not len(disputed):
        return []
    history = label_history[label_history["image_id"].isin(disputed)]
    now = current_labels(history)
    places = stored_images[stored_images["image_id"].isin(disputed)].drop_duplicates("image_id")
    places = places.set_index("image_id")[["source", "path"]].astype(object)
    place_of = places.where(places.notna(), None).to_dict("index")
    ordered = history.sort_values(["image_id", "labelled_at", "annotator", "label"], kind="stable")
    said = ordered[["image_id", "annotator", "label", "origin"]].drop_duplicates().astype(object)
    said = said.where(said.notna(), None)  # NaN is no JSON
    label_of, is_open = now["label"].to_dict(), now["contradicted"].to_dict()
    listed = [
        {
            "image_id": image_id,
            **place_of.get(image_id, {"source": None, "path": None}),
            "claims": [
                {"annotator": claim.annotator, "label": claim.label, "origin": claim.origin}
                for claim in claims
            ],
            "label": label_of[image_id],
            "settled": not is_open[image_id],
        }
        for image_id, claims in groupby(said.itertuples(index=False), key=itemgetter(0))
    ]
    return sorted(listed, key=lambda each: (each["settled"], str(each["source"]), str(each["path"])))
