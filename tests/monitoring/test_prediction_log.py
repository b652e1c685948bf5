"""The log keeps what it was given, once, and survives being interrupted."""

from __future__ import annotations

import json
import os
import time
from datetime import timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from visionpipe.errors import VisionpipeError
from visionpipe.monitoring.prediction_log import read_predictions, write_predictions
from visionpipe.monitoring.prediction_rows import SCHEMA


def by_id(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.sort_values("prediction_id", ignore_index=True)


def test_what_is_written_is_read_back_value_for_value(tmp_path, predictions, read):
    written = predictions(200)
    write_predictions(tmp_path / "log", written)
    log = read(tmp_path / "log")
    assert log.refused.empty
    assert log.refused_rows == {}
    pd.testing.assert_frame_equal(by_id(log.rows), by_id(written))
    assert list(log.rows.columns) == [*SCHEMA.names, "camera"]


def test_rows_lie_in_the_partition_of_their_utc_day(tmp_path, predictions):
    written = predictions(60)
    days = set(written["requested_at"].dt.strftime("date=%Y-%m-%d"))
    written["requested_at"] = written["requested_at"].dt.tz_convert("Asia/Tokyo")
    write_predictions(tmp_path, written)
    assert {partition.name for partition in tmp_path.iterdir()} == days
    for partition in tmp_path.iterdir():
        (file,) = partition.iterdir()
        rows = pd.read_parquet(file, partitioning=None)
        assert set(rows["requested_at"].dt.strftime("date=%Y-%m-%d")) == {partition.name}


def test_writing_the_same_rows_again_in_any_order_adds_nothing(tmp_path, predictions, read):
    written = predictions(100)
    write_predictions(tmp_path, written)
    before = sorted(tmp_path.rglob("*.parquet"))
    write_predictions(tmp_path, written.sample(frac=1, random_state=3))
    assert sorted(tmp_path.rglob("*.parquet")) == before
    assert len(read(tmp_path).rows) == 100
    write_predictions(tmp_path, predictions(50, seed=1))
    assert len(read(tmp_path).rows) == 150


def test_a_write_that_fails_halfway_leaves_the_log_as_it_was(tmp_path, predictions, monkeypatch):
    write_predictions(tmp_path, predictions(20, days=1))
    before = sorted(tmp_path.rglob("*"))

    def disk_full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", disk_full)
    with pytest.raises(OSError, match="No space"):
        write_predictions(tmp_path, predictions(20, seed=1, days=1))
    assert sorted(tmp_path.rglob("*")) == before


def test_what_a_killed_writer_left_behind_is_passed_over(tmp_path, predictions, read):
    write_predictions(tmp_path, predictions(20, days=1))
    partition = next(tmp_path.iterdir())
    (partition / ".0123.partial").write_bytes(b"PAR1 half a file")
    (partition / "_SUCCESS").touch()
    log = read(tmp_path)
    assert len(log.rows) == 20
    assert log.refused.empty


def test_json_lines_and_parquet_give_the_same_table(tmp_path, predictions, json_lines, read):
    written = predictions(40)
    write_predictions(tmp_path / "parquet", written)
    partition = tmp_path / "json" / "date=2026-05-03"
    partition.mkdir(parents=True)
    (partition / "a.jsonl").write_text("\n".join(json_lines(written)) + "\n\n")
    from_parquet, from_json = read(tmp_path / "parquet"), read(tmp_path / "json")
    assert from_json.refused.empty
    pd.testing.assert_frame_equal(by_id(from_json.rows), by_id(from_parquet.rows))


@pytest.mark.parametrize(
    ("value", "of_type", "told"),
    [
        (["a", "b"], None, '["a", "b"]'),
        ([1, None], None, "[1, null]"),
        ([0.5, 1.0], pa.large_list(pa.float64()), "[0.5, 1.0]"),
        ({"lens": "x", "at": [1, 2]}, None, '{"lens": "x", "at": [1, 2]}'),
        ({"lens": [{"mm": 35}]}, pa.map_(pa.string(), pa.list_(pa.map_(pa.string(), pa.int64()))), None),
    ],
    ids=["list", "gap", "large list", "struct", "map"],
)
def test_nested_attributes_are_text_in_both_formats(
    tmp_path, predictions, json_lines, read, value, of_type, told
):
    written = predictions(3)
    partition = tmp_path / "json" / "date=2026-05-03"
    partition.mkdir(parents=True)
    lines = [json.loads(line) | {"setup": value} for line in json_lines(written)]
    lines[1]["setup"] = None
    (partition / "a.jsonl").write_text("\n".join(map(json.dumps, lines)))
    table = pa.Table.from_pandas(written).append_column("setup", pa.array([value, None, value], of_type))
    partition = tmp_path / "parquet" / "date=2026-05-03"
    partition.mkdir(parents=True)
    pq.write_table(table, partition / "a.parquet")
    from_json, from_parquet = read(tmp_path / "json"), read(tmp_path / "parquet")
    pd.testing.assert_frame_equal(from_json.rows, from_parquet.rows)
    assert from_parquet.rows["setup"].dropna().tolist() == [told or json.dumps(value)] * 2


def test_what_json_cannot_say_in_a_nested_attribute_is_text_as_well(tmp_path, predictions, read):
    written = predictions(2).assign(setup=[{"at": pd.Timestamp("2026-05-01"), "raw": b"\xff"}] * 2)
    assert read(write_predictions(tmp_path, written)).rows["setup"].str.contains("2026-05-01 00:00:00").all()


def test_a_log_that_pandas_wrote_in_other_types_is_read_alike(tmp_path, predictions, read):
    """Text times, categories, 32-bit numbers, a numeric version and a stray index all mean the same."""
    written = predictions(30)
    other = written.assign(
        requested_at=written["requested_at"].map(pd.Timestamp.isoformat),
        predicted_label=written["predicted_label"].astype("category"),
        model_version=7,
        confidence=written["confidence"].astype(np.float32),
        embedding=written["embedding"].map(lambda vector: vector.astype(np.float64)),
    )
    (tmp_path / "date=2026-05-03").mkdir()
    other.set_index(other.index * 2).to_parquet(tmp_path / "date=2026-05-03" / "a.parquet")
    log = read(tmp_path)
    assert log.refused.empty
    assert log.rows["confidence"].to_numpy() == pytest.approx(written["confidence"].to_numpy(), abs=1e-6)
    same = [name for name in written.columns if name != "confidence"]
    pd.testing.assert_frame_equal(log.rows[same], written[same])


def test_optional_columns_may_be_absent_and_attributes_may_differ_between_files(tmp_path, predictions, read):
    write_predictions(
        tmp_path, predictions(30).drop(columns=["embedding", "brightness", "deferred", "camera"])
    )
    write_predictions(tmp_path, predictions(30, seed=1).assign(lens=[f"l{i % 2}" for i in range(30)]))
    rows = read(tmp_path).rows
    bare = rows[rows["prediction_id"].str.startswith("0-")]
    assert (len(rows), len(bare)) == (60, 30)
    assert bare[["embedding", "brightness", "camera", "lens"]].isna().all(axis=None)
    assert not bare["deferred"].any()
    assert rows["lens"].notna().sum() == 30


def test_a_log_that_does_not_exist_is_empty_with_every_column(tmp_path, read):
    log = read(tmp_path / "nothing")
    assert log.rows.empty
    assert list(log.rows.columns) == SCHEMA.names
    assert list(log.refused.columns) == ["reason", "file", "row", "detail"]
    assert log.refused_rows == {}


def test_writing_no_rows_writes_nothing(tmp_path, predictions):
    for nothing in (predictions(5).iloc[:0], pd.DataFrame()):
        assert write_predictions(tmp_path / "log", nothing) == tmp_path / "log"
    assert not (tmp_path / "log").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows.drop(columns=["confidence", "image_id"]), "lack the column.*image_id, confidence"),
        (lambda rows: rows.assign(requested_at="yesterday"), "3 predictions without a usable requested_at"),
        (lambda rows: rows.assign(confidence="high"), "column confidence is .*string, double is needed"),
        (lambda rows: rows.assign(confidence=[0.1, np.nan, 0.2]), "1 prediction without a usable confidence"),
    ],
)
def test_predictions_that_could_not_be_read_again_are_not_written(tmp_path, predictions, change, message):
    with pytest.raises(VisionpipeError, match=message):
        write_predictions(tmp_path / "log", change(predictions(3)))
    assert not (tmp_path / "log").exists()


def test_a_large_log_is_read_without_a_loop_over_its_rows(tmp_path, predictions, read):
    """About 0.3 s for 100,000 rows; JSON Lines, which need such a loop, take 4.5 s here."""
    write_predictions(tmp_path, predictions(100_000))
    start = time.process_time()
    log = read(tmp_path)
    assert len(log.rows) == 100_000
    assert time.process_time() - start < 2


def test_now_without_a_time_zone_is_utc(tmp_path, predictions, classes, now):
    write_predictions(tmp_path, predictions(1).assign(requested_at=now + timedelta(minutes=4)))
    log = read_predictions(tmp_path, classes=classes, now=now.replace(tzinfo=None))
    assert len(log.rows) == 1
