"""From the label history to the label an image has now."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import pandas as pd

_PRECEDENCE = {"import": 0, "review": 1, "correction": 2, "adjudication": 3}


def current_labels(label_history: pd.DataFrame) -> pd.DataFrame:
    """Derive the current label of every image: adjudicated > newest correction > majority > import.

    Several reviewers (or several importers) of one image vote. Of a reviewer the newest vote counts, of importers what
    they said last, all of it (`in_force`). Of two corrections, or two votes of a reviewer, that bear the same time, the
    one appended later is the newer; else row order never matters. A tie goes to the label with more summed
    confidence, then to the one that was given first, then to the first in the alphabet.

    Parameters
    ----------
    label_history : DataFrame
        `image_id, label, label_confidence, annotator, labelled_at, origin, selection`, in the order in which the rows
        were appended.

    Returns
    -------
    DataFrame
        Indexed by `image_id`: `label`, `label_confidence` (share of the votes for it, weighted by their
        confidence, 0 to 1), `rival_labels` (a JSON object: every other label voted for, with its share of the
        votes, plain and weighted by confidence), `n_annotators`, `label_origin`, `contradicted` (others said
        otherwise), `tied` (neither votes nor confidence decide), and `selection` of the first row appended:
        why the image was labelled when it came in, whatever came later.
    """
    # not groupby().first(): that passes over nulls, and a later review would move the image to another split
    selection = label_history.drop_duplicates("image_id").set_index("image_id")["selection"]
    given_first = label_history.groupby(["image_id", "label"])["labelled_at"].min().rename("first")
    history = in_force(label_history)
    history = history.assign(_precedence=history["origin"].map(_PRECEDENCE))
    if history["_precedence"].isna().any():
        unknown = sorted(set(label_history["origin"]) - set(_PRECEDENCE))
        raise ValueError(f"label history: unknown origin {unknown}; known: {sorted(_PRECEDENCE)}")

    strongest = history["_precedence"] == history.groupby("image_id")["_precedence"].transform("max")
    said = history[strongest].sort_values("labelled_at", kind="stable")
    is_decree = said["_precedence"] >= _PRECEDENCE["correction"]
    decrees = said[is_decree].drop_duplicates("image_id", keep="last")
    is_review = said["_precedence"] == _PRECEDENCE["review"]
    reviews = said[is_review].drop_duplicates(["image_id", "annotator"], keep="last")
    imports = said[~is_decree & ~is_review].sort_values("label_confidence")
    imports = imports.drop_duplicates(["image_id", "label", "annotator"], keep="last")
    # in one order always: even sums of floats depend on it
    votes = pd.concat([decrees, reviews, imports]).sort_values(["labelled_at", "annotator", "label"])

    tally = (
        votes.groupby(["image_id", "label"])
        .agg(
            votes=("label", "size"),
            weight=("label_confidence", "sum"),
            label_origin=("origin", "first"),
        )
        .join(given_first)
        .reset_index()
        .sort_values(
            ["image_id", "votes", "weight", "first", "label"], ascending=[True, False, False, True, True]
        )
    )
    n_votes = tally.groupby("image_id")["votes"].sum()
    n_labels = tally.groupby("image_id").size()
    chosen = tally.drop_duplicates("image_id").set_index("image_id")
    ranked = tally.set_index("image_id")[["votes", "weight"]]
    second = ranked[tally.duplicated("image_id").to_numpy()]
    second = second[~second.index.duplicated()].reindex(chosen.index)
    rivals: dict[str, dict[str, list[float]]] = {image_id: {} for image_id in chosen.index}
    for row in tally[tally.duplicated("image_id")].itertuples():
        rivals[row.image_id][row.label] = [each / n_votes[row.image_id] for each in (row.votes, row.weight)]
    return pd.DataFrame(
        {
            "label": chosen["label"],
            "label_confidence": chosen["weight"] / n_votes,
            "rival_labels": pd.Series(rivals).rename_axis("image_id").map(json.dumps),
            "n_annotators": votes.groupby("image_id")["annotator"].nunique().astype("int64"),
            "label_origin": chosen["label_origin"],
            "contradicted": n_labels > 1,
            "tied": (chosen["votes"] == second["votes"]) & (chosen["weight"] == second["weight"]),
            "selection": selection,
        }
    )


def rival_shares(manifest: pd.DataFrame, classes: Sequence[str]) -> Iterator[tuple[int, int, float, float]]:
    """Yield (row, class code, share of the votes, that share weighted by confidence) of the labels that lost.

    Labels that are not in the list are left out.
    """
    code_of = {label: code for code, label in enumerate(classes)}
    for row, rivals in enumerate(manifest.get("rival_labels", ())):
        for label, (votes, weight) in json.loads(rivals).items():
            if label in code_of:
                yield row, code_of[label], votes, weight


def in_force(label_history: pd.DataFrame) -> pd.DataFrame:
    """Drop the imports that later ones replaced.

    When the sources say something else of an image than before, all that they say now is appended anew, at one moment
    (`visionpipe.images.label_log`): the imports of the latest moment are what they say.

    Parameters
    ----------
    label_history : DataFrame
        `image_id, origin, labelled_at, …`.

    Returns
    -------
    DataFrame
        The rows that count, in their order.
    """
    is_import = label_history["origin"] == "import"
    imported_at = label_history["labelled_at"].where(is_import)
    latest = imported_at.groupby(label_history["image_id"]).transform("max")
    return label_history[~is_import | (label_history["labelled_at"] == latest)]
