"""What a collection of photos is made of, in counts: for the model card."""

from __future__ import annotations

from typing import Any

import pandas as pd

from visionpipe.images.manifest import attribute_columns

_MOST_VALUES = 12  # of an attribute; a column of serial numbers would fill the card


def composition(manifest: pd.DataFrame) -> dict[str, Any]:
    """Count the photos of a manifest by what they are, where they come from and when they came.

    Parameters
    ----------
    manifest : DataFrame
        DESIGN's manifest columns and the user's own attributes.

    Returns
    -------
    dict
        JSON-safe: `n_images`, `n_groups`, `by_class` and `by_source` (split -> name -> count),
        `captured` and `arrived` (first and last day, `YYYY-MM-DD`, or None when no photo says), and
        `attributes` (column -> value -> count, commonest first; rarer values are counted together under
        `other values`, photos without one under `not stated`).
    """
    return {
        "n_images": len(manifest),
        "n_groups": int(manifest["group_id"].nunique()),
        "by_class": _by_split(manifest, "label"),
        "by_source": _by_split(manifest, "source"),
        "captured": _days(manifest["captured_at"]),
        "arrived": _days(manifest["arrived_at"]),
        "attributes": {column: _values(manifest[column]) for column in attribute_columns(manifest)},
    }


def _by_split(manifest: pd.DataFrame, column: str) -> dict[str, dict[str, int]]:
    counts = manifest.groupby(["split", column], observed=True).size()
    present = counts.index.get_level_values(0)
    return {
        split: {str(name): int(count) for name, count in counts[split].items()}
        for split in ("train", "validation", "test")
        if split in present
    }


def _days(times: pd.Series) -> list[str] | None:
    known = pd.to_datetime(times, utc=True, errors="coerce", format="ISO8601").dropna()
    return [known.min().date().isoformat(), known.max().date().isoformat()] if len(known) else None


def _values(column: pd.Series) -> dict[str, int]:
    counts = column.dropna().astype(str).value_counts()
    counts = counts.iloc[sorted(range(len(counts)), key=lambda i: (-counts.iloc[i], counts.index[i]))]
    shown = {str(value): int(n) for value, n in counts.head(_MOST_VALUES).items()}
    rest = {"other values": int(counts.iloc[_MOST_VALUES:].sum()), "not stated": int(column.isna().sum())}
    return shown | {name: n for name, n in rest.items() if n}
