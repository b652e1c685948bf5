"""The catalog refuses what can be no manifest, at load and at save."""

from __future__ import annotations

import pandas as pd
import pytest
from kedro.io import DataCatalog

from visionpipe.quality.manifest_guard import guard_manifest


def manifest(**changes: list) -> pd.DataFrame:
    sound = {
        "image_id": ["a", "b"],
        "label": ["cat", "dog"],
        "label_confidence": [1.0, 1.0],
        "group_id": ["a", "b"],
        "split": ["train", "test"],
    }
    return pd.DataFrame({**sound, **changes})


def catalog(folder) -> DataCatalog:
    return DataCatalog.from_config(
        {
            "manifest": {
                "type": "visionpipe.datasets.tables.ParquetTable",
                "filepath": str(folder / "manifest.parquet"),
                "validator": "visionpipe.quality.manifest_guard.guard_manifest",
            }
        }
    )


def test_a_sound_manifest_passes_unchanged():
    pd.testing.assert_frame_equal(guard_manifest(manifest()), manifest())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"image_id": ["a", "a"]}, "listed twice"),
        ({"group_id": ["a", "a"]}, "2 splits"),
    ],
)
def test_what_can_be_no_manifest_is_not_saved(tmp_path, changes, words):
    with pytest.raises(Exception, match=words):
        catalog(tmp_path).save("manifest", manifest(**changes))
    assert not (tmp_path / "manifest.parquet").exists()


def test_a_table_without_splits_is_not_loaded(tmp_path):
    manifest().drop(columns="split").to_parquet(tmp_path / "manifest.parquet")
    with pytest.raises(Exception, match="no column split"):
        catalog(tmp_path).load("manifest")
