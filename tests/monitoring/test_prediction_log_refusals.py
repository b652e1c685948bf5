"""Whatever is in the log: it costs what is broken, by name, and never the run."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from visionpipe.monitoring.prediction_files import MAX_LINE_BYTES
from visionpipe.monitoring.prediction_log import write_predictions

DAY = "date=2026-05-03"
UNSOUND = {
    "prediction_id is missing": {"prediction_id": None},
    "requested_at is missing or no ISO 8601 time": {"requested_at": "now"},
    "requested_at is in the future": {"requested_at": "2026-05-03T12:05:01Z"},
    "model_version is missing": {"model_version": ""},
    "image_id is missing": {"image_id": None},
    "predicted_label is missing": {"predicted_label": None},
    "predicted_label is not one of the model's classes": {"predicted_label": "Cat"},
    "confidence is missing": {"confidence": None},
    "confidence is not a number from 0 to 1": {"confidence": 1.01},
    "probabilities is missing": {"probabilities": None},
    "probabilities do not match the number of classes": {"probabilities": [0.5, 0.5]},
    "probabilities hold a NaN, an infinite or a missing number": {"probabilities": [0.5, None, 0.5]},
    "probabilities are not numbers from 0 to 1": {"probabilities": [1.5, -0.5, 0.0]},
    "probabilities do not sum to 1": {"probabilities": [0.5, 0.3, 0.198]},
    "confidence is not the probability of predicted_label": {
        "predicted_label": "dog",
        "confidence": 0.7,
        "probabilities": [0.7, 0.2, 0.1],
    },
    "brightness is NaN or infinite": {"brightness": float("inf")},
    "embedding is not 32 finite numbers": {"embedding": [0.0] * 31 + [float("nan")]},
}


def put(folder: Path, lines: list[str | bytes], end: bytes = b"\n") -> Path:
    (folder / DAY).mkdir(parents=True, exist_ok=True)
    data = b"\n".join(line.encode() if isinstance(line, str) else line for line in lines) + end
    (folder / DAY / "a.jsonl").write_bytes(data)
    return folder


@pytest.mark.parametrize("reason", UNSOUND)
@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_an_unsound_row_costs_itself_and_is_named(tmp_path, predictions, json_lines, read, reason, form):
    rows = predictions(5, days=1)
    if form == "jsonl":
        lines = json_lines(rows)
        lines[2] = json.dumps(json.loads(lines[2]) | UNSOUND[reason])
        put(tmp_path, lines)
    else:
        rows["requested_at"] = rows["requested_at"].astype("str")
        rows = rows.astype(object)
        for name, value in UNSOUND[reason].items():
            rows.at[2, name] = value
        (tmp_path / DAY).mkdir()
        rows.to_parquet(tmp_path / DAY / "a.parquet")
    log = read(tmp_path)
    assert log.refused_rows == {reason: 1}
    assert log.refused.loc[0, ["file", "row"]].tolist() == [f"{DAY}/a.{form}", 3]
    assert list(log.rows["prediction_id"]) == [f"0-{i:08x}" for i in (0, 1, 3, 4)]


def test_nan_in_parquet_is_refused_though_missing_is_not(tmp_path, predictions, read):
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pandas(predictions(3).drop(columns=["contrast"]))
    table = table.append_column("contrast", pa.array([1.0, float("nan"), None], pa.float64()))
    (tmp_path / DAY).mkdir()
    pq.write_table(table, tmp_path / DAY / "a.parquet")
    log = read(tmp_path)
    assert log.refused_rows == {"contrast is NaN or infinite": 1}
    assert log.rows["contrast"].isna().tolist() == [False, True]


@pytest.mark.parametrize("nan", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize("name", ["confidence", "probabilities"])
def test_a_number_that_is_none_costs_its_line(tmp_path, predictions, json_lines, read, name, nan):
    rows = predictions(4)
    lines = json_lines(rows)
    row = json.loads(lines[1])
    row[name] = "HERE" if name == "confidence" else [0.5, 0.5, "HERE"]
    lines[1] = json.dumps(row).replace('"HERE"', nan)
    log = read(put(tmp_path, lines))
    assert len(log.rows) == 3
    assert log.refused["row"].tolist() == [2]
    assert log.refused["reason"].str.startswith(name).all()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("confidence", "0.9"),
        ("confidence", 10**400),
        ("confidence", {}),
        ("probabilities", "abc"),
        ("probabilities", [[1.0]]),
        ("probabilities", {"cat": 1.0}),
        ("predicted_label", ["cat"]),
        ("prediction_id", 1.5),
        ("requested_at", {"seconds": 5}),
        ("deferred", "no"),
        ("embedding", ["x"] * 32),
    ],
)
def test_a_value_of_the_wrong_type_costs_its_line(tmp_path, predictions, json_lines, read, name, value):
    lines = json_lines(predictions(4))
    lines[0] = json.dumps(json.loads(lines[0]) | {name: value})
    log = read(put(tmp_path, lines))
    assert log.refused_rows == {f"{name} has the wrong type": 1}
    assert len(log.rows) == 3


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"\x00" * 50,
        b"\xff\xfe{}",
        b"[1, 2]",
        b"null",
        b"[" * 100_000,
        b'{"prediction_id": "\\ud800"}',
        b'{"camera": "\\udfff"}',
        b'{"n": ' + b"9" * 5000 + b"}",
    ],
)
def test_a_line_that_is_no_json_object_costs_itself(tmp_path, predictions, json_lines, read, line):
    lines = [*json_lines(predictions(3)), line]
    lines[1], lines[3] = lines[3], lines[1]
    log = read(put(tmp_path, lines))
    assert log.refused_rows == {"line is not a JSON object": 1}
    assert len(log.rows) == 3


@pytest.mark.parametrize("name", ["note", "embedding", "model_version"])
def test_values_nested_however_deeply_cost_at_most_their_lines(tmp_path, predictions, json_lines, read, name):
    sound = json.loads(json_lines(predictions(1, days=1))[0])
    lines = [json.dumps(sound | {"prediction_id": str(depth), name: "HERE"}) for depth in range(1100)]
    log = read(put(tmp_path, [line.replace('"HERE"', "[" * n + "]" * n) for n, line in enumerate(lines, 1)]))
    assert len(log.rows) + sum(log.refused_rows.values()) == len(lines)


def test_a_half_written_last_line_is_told_from_a_broken_one(tmp_path, predictions, json_lines, read):
    lines = json_lines(predictions(3))
    for length in (1, 10, len(lines[2]) // 2, len(lines[2]) - 1):
        log = read(put(tmp_path, [*lines[:2], lines[2][:length]], end=b""))
        assert log.refused_rows == {"last line is half-written": 1}
        assert log.refused["row"].tolist() == [3]
        assert len(log.rows) == 2
    assert len(read(put(tmp_path, lines, end=b"")).rows) == 3, "a whole last line needs no newline"


def test_a_line_longer_than_a_megabyte_is_passed_over_unread(tmp_path, predictions, json_lines, read):
    lines = json_lines(predictions(3))
    longest = json.dumps(json.loads(lines[0]) | {"note": ""})
    longest = longest.replace('"note": "', '"note": "' + "x" * (MAX_LINE_BYTES - len(longest)))
    assert len(longest) == MAX_LINE_BYTES
    log = read(put(tmp_path, [longest, lines[1][:-1] + " " * 3_000_000 + "}", lines[2]]))
    assert log.refused_rows == {"line is longer than 1 MB": 1}
    assert log.refused["row"].tolist() == [2]
    assert len(log.rows) == 2


def test_of_repeated_predictions_the_first_sound_one_is_kept(tmp_path, predictions, json_lines, read):
    lines = json_lines(predictions(3))
    first = json.loads(lines[0])
    lines.insert(0, json.dumps(first | {"confidence": 2.0}))
    lines.append(json.dumps(first | {"camera": "later"}))
    log = read(put(tmp_path, lines))
    assert log.refused_rows == {
        "confidence is not a number from 0 to 1": 1,
        "prediction_id was logged before": 1,
    }
    assert log.refused.set_index("reason").loc["prediction_id was logged before", "row"] == 5
    assert "later" not in set(log.rows["camera"])
    assert len(log.rows) == 3


def test_a_confidence_that_was_rounded_is_that_of_its_label(tmp_path, predictions, read):
    rows = predictions(200)
    assert read(
        write_predictions(tmp_path, rows.assign(confidence=rows["confidence"].round(2)))
    ).refused.empty


def test_the_clock_may_be_five_minutes_fast(tmp_path, predictions, read, now):
    for minutes, kept in [(4.9, 1), (5.1, 0)]:
        rows = predictions(1).assign(requested_at=now + timedelta(minutes=minutes))
        assert len(read(write_predictions(tmp_path / f"{minutes}", rows)).rows) == kept


def test_a_truncated_parquet_file_costs_that_file(tmp_path, predictions, read):
    (tmp_path / DAY).mkdir()
    predictions(100).to_parquet(tmp_path / DAY / "foreign.parquet")
    write_predictions(tmp_path, predictions(20, seed=1, days=1))
    whole = (tmp_path / DAY / "foreign.parquet").read_bytes()
    for length in (0, 3, 4, 100, len(whole) // 2, len(whole) - 1):
        (tmp_path / DAY / "foreign.parquet").write_bytes(whole[:length])
        log = read(tmp_path)
        assert (log.refused_rows, log.refused_files) == ({}, {"Parquet file cannot be read": 1})
        assert log.refused["row"].isna().all()
        assert log.refused["detail"].str.len().gt(0).all()
        assert len(log.rows) == 20


def test_a_flipped_bit_in_a_file_of_ours_costs_that_file(tmp_path, predictions, read):
    write_predictions(tmp_path, predictions(100, days=1))
    file = max(tmp_path.glob("date=*/*.parquet"), key=lambda path: path.stat().st_size)
    data = file.read_bytes()
    rest = 100 - len(pd.read_parquet(file, partitioning=None))
    random = np.random.default_rng(0)
    for position in random.integers(0, len(data), 50):
        flipped = bytearray(data)
        flipped[position] ^= 1 << int(random.integers(8))
        file.write_bytes(flipped)
        log = read(tmp_path)
        assert len(log.rows) == rest
        assert (log.refused_rows, log.refused_files) == ({}, {"Parquet file is not what was written": 1})


def test_no_flipped_bit_in_a_foreign_parquet_file_stops_the_run(tmp_path, predictions, read):
    """Without a name to hold it to, a flip may pass as another number, but what is read is sound all the same."""
    (tmp_path / DAY).mkdir()
    file = tmp_path / DAY / "foreign.parquet"
    predictions(50).to_parquet(file)
    data = file.read_bytes()
    random = np.random.default_rng(1)
    for position in random.integers(0, len(data), 200):
        flipped = bytearray(data)
        flipped[position] ^= 1 << int(random.integers(8))
        file.write_bytes(flipped)
        log = read(tmp_path)
        assert log.rows["confidence"].between(0, 1).all()
        assert len(log.rows) == 50 or len(log.refused) > 0


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ({"confidence": ["high"] * 3}, "column confidence is .*string, double is needed"),
        ({"probabilities": [1.0] * 3}, "column probabilities is double"),
        ({"requested_at": [5] * 3}, "column requested_at is int64"),
        ({"embedding": [["a"]] * 3}, "column embedding is list"),
    ],
)
def test_a_parquet_file_with_a_column_of_the_wrong_type_is_refused_whole(
    tmp_path, predictions, read, change, detail
):
    (tmp_path / DAY).mkdir()
    predictions(3).assign(**change).to_parquet(tmp_path / DAY / "bad.parquet")
    predictions(4, seed=1).to_parquet(tmp_path / DAY / "good.parquet")
    log = read(tmp_path)
    assert len(log.rows) == 4
    assert (log.refused_rows, log.refused_files) == ({}, {"Parquet file cannot be read": 1})
    assert log.refused["detail"].str.match(detail).all()


def test_a_file_of_another_kind_is_named(tmp_path, predictions, read):
    (tmp_path / DAY).mkdir()
    (tmp_path / DAY / "a.csv").write_text("prediction_id\n1\n")
    assert read(tmp_path).refused_files == {"file is neither .parquet nor .jsonl": 1}


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_mangled_line_costs_at_most_that_line(tmp_path, predictions, json_lines, read, data):
    rows = predictions(4, seed=5)
    rows["prediction_id"] = ["alpha-1", "beta-22", "gamma-333", "delta-4444"]
    lines = [line.encode() for line in json_lines(rows)]
    which = data.draw(st.integers(0, 3))
    line = bytearray(lines[which])
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(line)))
        length = data.draw(st.integers(0, 30))
        line[start : start + length] = data.draw(
            st.binary(max_size=20) | st.sampled_from([b'"', b"NaN", b"{}"])
        )
    lines[which] = bytes(line)
    log = read(put(tmp_path, lines))
    others = set(rows["prediction_id"]) - {rows["prediction_id"][which]}
    assert others <= set(log.rows["prediction_id"])
    mangled = log.rows[~log.rows["prediction_id"].isin(others)]
    untouched = log.rows[log.rows["prediction_id"].isin(others)].sort_values("prediction_id")
    expected = rows[rows["prediction_id"].isin(others)].sort_values("prediction_id")
    same = list(expected.columns.drop("camera"))
    pd.testing.assert_frame_equal(
        untouched[same].reset_index(drop=True), expected[same].reset_index(drop=True)
    )
    sums = np.array([probabilities.sum() for probabilities in mangled["probabilities"]])
    assert np.all(np.abs(sums - 1) <= 1e-3)
