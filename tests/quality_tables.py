"""A small manifest with all that belongs to it, for the tests of validation."""

from __future__ import annotations

from hashlib import sha256

import numpy as np
import pandas as pd

from visionpipe.quality.expectations import ValidationOutcome, validate_tables
from visionpipe.quality.parameters import ValidationParameters

N_IMAGES = 60


def make_manifest(n_images=N_IMAGES) -> pd.DataFrame:
    index_N = np.arange(n_images)
    return pd.DataFrame(
        {
            "image_id": [sha256(str(i).encode()).hexdigest() for i in index_N],
            "label": np.where(index_N % 2, "defective", "functional"),
            "label_confidence": 1.0,
            "n_annotators": 4,
            "source": "plant",
            "captured_at": pd.Timestamp("2024-01-01", tz="UTC"),
            "arrived_at": pd.Timestamp("2024-01-02", tz="UTC"),
            "width": 300,
            "height": 300,
            "format": "PNG",
            "n_bytes": 1000,
            "brightness": np.linspace(0, 255, n_images),
            "contrast": 30.0,
            "sharpness": 9.0,
            "entropy": 7.2,
            "flags": "",
            "contradicted": False,
            "perceptual_hash": "ff00ff00ff00ff00",
            "group_id": [f"group{i // 2}" for i in index_N],
            "split": np.array(["train", "train", "validation", "test"])[(index_N // 2) % 4],
            "label_origin": "import",
            "site": pd.Categorical(np.where(index_N % 3, "north", "south")),
        }
    )


def make_quarantine(n_rows=0) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "source": ["plant"] * n_rows,
            "path": [f"photos/{i}.jpg" for i in range(n_rows)],
            "reason": ["not_an_image"] * n_rows,
            "detail": [""] * n_rows,
            "n_bytes": [1] * n_rows,
            "sha256": ["00"] * n_rows,
        }
    )


def make_history(manifest: pd.DataFrame) -> pd.DataFrame:
    """Return a label history in which one annotator gave each image the label of the manifest."""
    return pd.DataFrame(
        {
            "image_id": manifest["image_id"],
            "label": manifest["label"],
            "label_confidence": manifest["label_confidence"],
            "annotator": "folder",
            "labelled_at": pd.Timestamp("2024-01-02", tz="UTC"),
            "origin": manifest["label_origin"],
            "selection": None,
        }
    )


def make_store(manifest: pd.DataFrame) -> pd.DataFrame:
    """Return where each image of the manifest came from."""
    paths = [f"photos/{place}.jpg" for place in range(len(manifest))]
    return pd.DataFrame({"image_id": manifest["image_id"], "source": "plant", "path": paths})


def judge(
    manifest: pd.DataFrame,
    quarantine: pd.DataFrame | None = None,
    history: pd.DataFrame | None = None,
    *,
    group_by: str | None = None,
    **limits: object,
) -> ValidationOutcome:
    """Validate a manifest with what belongs to it, unless something else is given."""
    limits = {"warn_images_per_class": 0, **limits}
    return validate_tables(
        manifest,
        make_quarantine() if quarantine is None else quarantine,
        make_history(manifest) if history is None else history,
        make_store(manifest),
        ValidationParameters(**limits),
        group_by=group_by,
    )


def arrivals(n_earlier, n_new, seed=0, **shifts):
    """Return a manifest of two days, whose second has its columns shifted by so many standard deviations."""
    random = np.random.default_rng(seed)
    manifest = make_manifest(n_earlier + n_new)
    is_new = np.arange(len(manifest)) >= n_earlier
    for column, (mean, spread) in {
        "brightness": (120, 20), "contrast": (50, 8), "sharpness": (500, 90), "entropy": (6.5, 0.3)
    }.items():  # fmt: skip
        manifest[column] = (
            random.normal(mean, spread, len(manifest)) + is_new * shifts.get(column, 0) * spread
        )
    day = pd.Timestamp("2024-01-02 23:30", tz="UTC")
    hours = pd.to_timedelta(np.where(is_new, 24 * 90, 0), unit="h")
    alone = [f"group{i}" for i in range(len(manifest))]
    return manifest.assign(arrived_at=day + hours, group_id=alone)
