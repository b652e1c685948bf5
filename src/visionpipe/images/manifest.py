"""The manifest: one row an image that may be used, a pure function of the image store and the label history."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from visionpipe.errors import VisionpipeError
from visionpipe.images.importers import Photo
from visionpipe.images.labels import current_labels
from visionpipe.images.parameters import IngestionParameters, SplitParameters
from visionpipe.images.splits import assign_all

_STORED = ["source", "captured_at", "arrived_at", "width", "height", "format", "n_bytes"]
_MEASURED = ["brightness", "contrast", "sharpness", "entropy", "perceptual_hash"]
_LABELLED = ["label", "label_confidence", "rival_labels", "n_annotators", "label_origin", "contradicted"]
_REPEATS = 0.9  # share of images; some labels are corrected later, and the folder stays
_OWN = {"image_id", "group_id", "split", "flags", *_STORED, *_MEASURED, *_LABELLED}
_PREDICTED = {
    *("prediction_id", "requested_at", "model_version", "predicted_label", "confidence", "probabilities"),
    *("deferred", "review_probability", "embedding", "latency_ms"),
}


def build_manifest(
    store_index: pd.DataFrame, label_history: pd.DataFrame, parameters: IngestionParameters
) -> pd.DataFrame:
    """Join images, current labels, groups and splits.

    Parameters
    ----------
    store_index : DataFrame
        `visionpipe.images.store.read_store_index`, oldest image first.
    label_history : DataFrame
        All labels ever given.
    parameters : IngestionParameters
        How groups are split, and whether images with a tied label are used.

    Returns
    -------
    DataFrame
        DESIGN's manifest columns, `flags` (rules that the photo is merely poor by, comma separated), and one column
        for each attribute, sorted by `image_id`.

    Raises
    ------
    VisionpipeError
        When the group column or a holdout column is no attribute of any image.
    """
    labels = current_labels(label_history)
    attributes = [dict(pairs) for pairs in store_index["attributes"]]
    columns = sorted({column for row in attributes for column in row})
    require_columns(parameters.split, columns)
    labelled = labels.reindex(store_index["image_id"])
    selection = [value if isinstance(value, str) else None for value in labelled["selection"]]
    linked = [[other for other, _ in links] for links in store_index["duplicate_of"]]
    further = [[{name: value} for name, value in pairs] for pairs in store_index["further_attributes"]]
    placed = assign_all(
        zip(store_index["image_id"], linked, attributes, selection, further, strict=True), parameters.split
    )
    manifest = pd.concat(
        [
            store_index[["image_id"]],
            labelled[_LABELLED].reset_index(drop=True),
            store_index[_STORED + _MEASURED],
            pd.DataFrame(
                {
                    "group_id": [place.group_id for place in placed],
                    "split": [place.split for place in placed],
                    "flags": [",".join(flags) for flags in store_index["flags"]],
                    **{column: [row.get(column) for row in attributes] for column in columns},
                }
            ),
        ],
        axis=1,
    )
    usable = manifest["label"].notna() & manifest["split"].notna()
    if parameters.labels.tie == "quarantine":
        usable &= ~labelled["tied"].reset_index(drop=True).eq(True)
    return (
        manifest[usable]
        .astype({"n_annotators": "int64", "contradicted": bool})
        .sort_values("image_id", ignore_index=True)
    )


def attribute_columns(manifest: pd.DataFrame) -> list[str]:
    """Name the user's own columns."""
    return [column for column in manifest.columns if column not in _OWN]


def telling_columns(manifest: pd.DataFrame) -> list[str]:
    """Name those that do not repeat the label, as the folder that a photo lay in does: its parts are the classes."""
    return [column for column in attribute_columns(manifest) if not _repeats_the_label(manifest, column)]


def _repeats_the_label(manifest: pd.DataFrame, column: str) -> bool:
    labels, values = (manifest[name].astype(str).str.casefold() for name in ("label", column))
    return bool(len(manifest)) and (labels == values).mean() >= _REPEATS


def require_free_names(photos: Iterable[Photo]) -> None:
    """Refuse attributes that are named like a column of the manifest or of the prediction log.

    Raises
    ------
    VisionpipeError
        Naming source, attribute and all reserved names.
    """
    for photo in photos:
        if taken := sorted((_OWN | _PREDICTED).intersection(photo.attributes)):
            raise VisionpipeError(
                f"source {photo.source}: attribute '{taken[0]}' has the name of a column of our own; rename it "
                f"(reserved: {', '.join(sorted(_OWN | _PREDICTED))})"
            )


def require_columns(parameters: SplitParameters, columns: Iterable[str]) -> None:
    """Refuse to split by a column that no image has.

    Raises
    ------
    VisionpipeError
        Naming the column, and those that there are.
    """
    known = sorted(set(columns))
    wanted = [*([parameters.group_by] if parameters.group_by else []), *parameters.holdout]
    for column in wanted:
        if column not in known:
            raise VisionpipeError(
                f"ingestion.split: no image has an attribute '{column}'; there are: {', '.join(known) or 'none'} "
                "(an image keeps the attributes that it came in with; others take an empty store)"
            )


def describe_manifest(manifest: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Count the images of each class in each split."""
    counts = manifest.groupby(["split", "label"]).size()
    return {
        split: {label: int(count) for label, count in counts[split].items()}
        for split in ("train", "validation", "test")
        if split in counts.index.get_level_values(0)
    }
