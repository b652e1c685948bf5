"""From the label history to the label an image has now."""

from __future__ import annotations

import pandas as pd

_PRECEDENCE = {"import": 0, "review": 1, "correction": 2, "adjudication": 3}


def current_labels(label_history: pd.DataFrame) -> pd.DataFrame:
    """Derive the current label of every image: adjudicated > newest correction > majority > import.

    Several reviewers (or several imports) of one image vote; what each said last counts. (An importer may say two
    things at once: a photo that lies in two class folders.) A tie goes to the label with more summed confidence,
    then to the older one, so the label never depends on row order.

    Parameters
    ----------
    label_history : DataFrame
        `image_id, label, label_confidence, annotator, labelled_at, origin, selection`.

    Returns
    -------
    DataFrame
        Indexed by `image_id`: `label`, `label_confidence` (share of the votes for it, weighted by their
        confidence, 0 to 1), `n_annotators`, `label_origin`, `contradicted` (others said otherwise),
        `tied` (neither votes nor confidence decide), and `selection` of the first row appended:
        why the image was labelled when it came in, whatever came later.
    """
    # not groupby().first(): that passes over nulls, and a later review would move the image to another split
    selection = label_history.drop_duplicates("image_id").set_index("image_id")["selection"]
    history = label_history.assign(_precedence=label_history["origin"].map(_PRECEDENCE))
    if history["_precedence"].isna().any():
        unknown = sorted(set(label_history["origin"]) - set(_PRECEDENCE))
        raise ValueError(f"label history: unknown origin {unknown}; known: {sorted(_PRECEDENCE)}")

    strongest = history["_precedence"] == history.groupby("image_id")["_precedence"].transform("max")
    votes = history[strongest].sort_values(["labelled_at", "annotator", "label", "label_confidence"])
    is_decree = votes["_precedence"] >= _PRECEDENCE["correction"]
    decrees = votes[is_decree].drop_duplicates("image_id", keep="last")
    is_review = votes["_precedence"] == _PRECEDENCE["review"]
    reviews = votes[is_review].drop_duplicates(["image_id", "annotator"], keep="last")
    imports = votes[~is_decree & ~is_review]
    said_last = imports.groupby(["image_id", "annotator"])["labelled_at"].transform("max")
    imports = imports[imports["labelled_at"] == said_last]
    imports = imports.drop_duplicates(["image_id", "label", "annotator"], keep="last")
    votes = pd.concat([decrees, reviews, imports])  # in one order always: even sums of floats depend on it

    tally = (
        votes.groupby(["image_id", "label"])
        .agg(
            votes=("label", "size"),
            weight=("label_confidence", "sum"),
            first=("labelled_at", "min"),
            label_origin=("origin", "first"),
        )
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
    return pd.DataFrame(
        {
            "label": chosen["label"],
            "label_confidence": chosen["weight"] / n_votes,
            "n_annotators": votes.groupby("image_id")["annotator"].nunique().astype("int64"),
            "label_origin": chosen["label_origin"],
            "contradicted": n_labels > 1,
            "tied": (chosen["votes"] == second["votes"]) & (chosen["weight"] == second["weight"]),
            "selection": selection,
        }
    )
