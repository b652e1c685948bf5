"""The make-up of a collection: every photo counted once in each table."""

import json

import pandas as pd
import pytest

from visionpipe.images.composition import composition


@pytest.fixture
def manifest():
    """Sixty photos of three splits, two classes and two sources; one column of serial numbers, one half empty."""
    n = 60
    return pd.DataFrame(
        {
            "image_id": [f"{i:064x}" for i in range(n)],
            "group_id": [f"g{i // 2}" for i in range(n)],
            "label": ["blue", "red", "red"] * (n // 3),
            "source": ["line_1"] * 40 + ["line_2"] * 20,
            "split": ["train"] * 30 + ["validation"] * 10 + ["test"] * 20,
            "captured_at": pd.to_datetime(["2025-01-03T23:30:00+02:00"] * 59 + [None], utc=True),
            "arrived_at": pd.to_datetime([f"2026-01-{1 + i % 5:02d}" for i in range(n)], utc=True),
            "serial": [f"s{i:02d}" for i in range(n)],
            "camera": ["c1", None] * (n // 2),
        }
    )


def test_every_photo_is_counted_once_in_each_table(manifest):
    found = composition(manifest)
    for table in (found["by_class"], found["by_source"]):
        assert sum(sum(counts.values()) for counts in table.values()) == len(manifest)
    assert all(sum(counts.values()) == len(manifest) for counts in found["attributes"].values())
    assert found["n_groups"] == 30


def test_the_counts_are_those_of_a_cross_table(manifest):
    expected = pd.crosstab(manifest["split"], manifest["label"])
    found = pd.DataFrame(composition(manifest)["by_class"]).T
    pd.testing.assert_frame_equal(found.sort_index(), expected, check_names=False)


def test_rare_and_missing_values_are_not_left_out(manifest):
    attributes = composition(manifest)["attributes"]
    assert attributes["camera"] == {"c1": 30, "not stated": 30}
    assert attributes["serial"]["other values"] == 60 - (len(attributes["serial"]) - 1)


def test_days_are_utc_and_unknown_ones_are_none(manifest):
    found = composition(manifest)
    assert found["captured"] == ["2025-01-03", "2025-01-03"]
    assert found["arrived"] == ["2026-01-01", "2026-01-05"]
    assert composition(manifest.assign(captured_at=None))["captured"] is None


def test_a_split_without_photos_is_left_out_and_all_is_json(manifest):
    found = composition(manifest[manifest["split"] != "validation"])
    assert list(found["by_class"]) == ["train", "test"]
    assert json.loads(json.dumps(found)) == found
