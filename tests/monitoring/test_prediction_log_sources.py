"""A log that several models, or another writer, write to: nobody's rows are lost, and none is called faulty for it."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from visionpipe.monitoring.drift import detect_drift
from visionpipe.monitoring.parameters import DriftParameters
from visionpipe.monitoring.prediction_log import read_predictions, write_predictions
from visionpipe.monitoring.prediction_rows import SCHEMA


def test_a_predecessor_with_other_classes_is_counted_not_refused(tmp_path, predictions, read):
    two_classes = predictions(30, seed=1).assign(
        model_version="6", predicted_label="cow", probabilities=[np.array([0.4, 0.6])] * 30, confidence=0.6
    )
    write_predictions(tmp_path, predictions(20))
    write_predictions(tmp_path, two_classes)
    log = read(tmp_path, "7")
    assert set(log.rows["model_version"]) == {"7"}
    assert (len(log.rows), log.refused_rows, log.other_versions) == (20, {}, {"6": 30})


@pytest.mark.parametrize("model_version", ["7", None])
def test_a_shadow_model_may_log_the_same_requests(tmp_path, predictions, read, model_version):
    write_predictions(tmp_path, predictions(40, days=1))
    write_predictions(tmp_path, predictions(40, days=1).assign(model_version="8"))
    log = read(tmp_path, model_version)
    assert log.refused_rows == {}
    assert (log.rows["model_version"] == "7").sum() == 40
    assert log.rows.duplicated("prediction_id").sum() == (0 if model_version else 40)


def test_rows_without_a_version_are_refused_whoever_asks(tmp_path, predictions, json_lines, read):
    first, second = (json.loads(line) for line in json_lines(predictions(2)))
    (tmp_path / "date=2026-05-03").mkdir()
    lines = [json.dumps(first | {"model_version": None}), json.dumps(second)]
    (tmp_path / "date=2026-05-03" / "a.jsonl").write_text("\n".join(lines))
    log = read(tmp_path, "7")
    assert (len(log.rows), log.refused_rows) == (1, {"model_version is missing": 1})
    assert log.refused["row"].tolist() == [1]


def test_a_log_of_other_versions_alone_is_named_in_the_verdict(tmp_path, predictions, read, classes):
    write_predictions(tmp_path, predictions(60).assign(model_version="visionpipe/7"))
    log = read(tmp_path, "7")
    found = detect_drift(
        predictions(60),
        log.rows,
        classes,
        DriftParameters(features=["camera"]),
        model_version="7",
        other_versions=log.other_versions,
    )
    assert found.drifted is None
    assert "0 predictions of model version 7" in found.reason
    assert found.reason.endswith("The log has predictions of other model versions: visionpipe/7 (60).")


def test_folders_within_a_day_are_read(tmp_path, predictions, json_lines, read):
    lines = json_lines(predictions(10, days=1))
    for hour, line in enumerate(lines):
        part = tmp_path / "date=2026-05-03" / f"hour={hour:02d}"
        part.mkdir(parents=True)
        (part / "x.jsonl").write_text(line)
    (tmp_path / "date=2026-05-03" / "_temporary" / "0").mkdir(parents=True)
    (tmp_path / "date=2026-05-03" / "_temporary" / "0" / "x.jsonl").write_text(lines[0])
    log = read(tmp_path)
    assert (len(log.rows), log.refused_rows) == (10, {})


def test_files_in_no_partition_are_named(tmp_path, predictions, json_lines, read):
    line = json_lines(predictions(1))[0]
    for file in ("x.jsonl", "dt=2026-05-03/x.jsonl", "2026-05-03/x.jsonl", ".gitkeep", "_SUCCESS"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(line)
    log = read(tmp_path)
    assert (log.refused_rows, log.refused_files) == ({}, {"file is in no folder date=YYYY-MM-DD": 3})
    assert sorted(log.refused["file"]) == ["2026-05-03/x.jsonl", "dt=2026-05-03/x.jsonl", "x.jsonl"]
    assert log.refused["row"].isna().all() and isinstance(log.refused, pd.DataFrame)


def test_days_before_the_window_are_not_opened(tmp_path, predictions, classes, now):
    """Without a broken file there would be no telling: an unread day is not named as refused."""
    rows = predictions(400, days=40)
    write_predictions(tmp_path, rows)
    (tmp_path / "date=2025-12-24").mkdir()
    (tmp_path / "date=2025-12-24" / "broken.parquet").write_bytes(b"PAR1")
    log = read_predictions(tmp_path, classes=classes, now=now, window_days=10)
    assert log.refused.empty
    oldest = log.rows["requested_at"].max() - pd.Timedelta(days=10)
    inside = rows[rows["requested_at"] > oldest]["prediction_id"]
    assert set(inside) <= set(log.rows["prediction_id"])
    assert len(inside) < len(log.rows) < len(inside) + 40
    assert len(read_predictions(tmp_path, classes=classes, now=now).rows) == 400


def test_the_window_is_that_of_the_model_that_is_asked_for(tmp_path, predictions, classes, now):
    retired = predictions(50).assign(requested_at=pd.Timestamp(now) - pd.Timedelta(days=90))
    write_predictions(tmp_path, retired)
    write_predictions(tmp_path, predictions(60, seed=1).assign(model_version="8"))
    log = read_predictions(tmp_path, classes=classes, now=now, model_version="7", window_days=10)
    assert (len(log.rows), log.other_versions) == (50, {"8": 60})


def test_of_repeated_predictions_the_first_day_counts(tmp_path, predictions, classes, now):
    first = predictions(10).assign(requested_at=pd.Timestamp(now) - pd.Timedelta(days=2), camera="first")
    write_predictions(tmp_path, first)
    write_predictions(tmp_path, first.assign(requested_at=now, camera="again"))
    log = read_predictions(tmp_path, classes=classes, now=now, window_days=10)
    assert set(log.rows["camera"]) == {"first"}
    assert log.refused_rows == {"prediction_id was logged before": 10}


@pytest.mark.parametrize("n_files", [1, 30])
def test_values_that_were_logged_as_names_do_not_become_columns(
    tmp_path, predictions, json_lines, read, n_files, caplog
):
    """One name a line, as columns, would be a table of lines squared."""
    lines = [json.loads(line) for line in json_lines(predictions(3000, days=1))]
    written = [json.dumps(line | {f"upload_{i}.jpg": "ok"}) for i, line in enumerate(lines)]
    (tmp_path / "date=2026-05-03").mkdir()
    for file in range(n_files):
        (tmp_path / "date=2026-05-03" / f"{file}.jsonl").write_text("\n".join(written[file::n_files]))
    log = read(tmp_path)
    assert len(log.rows) == 3000
    assert list(log.rows.columns) == [*SCHEMA.names, "camera"]
    assert log.refused[["reason", "detail"]].values.tolist() == [
        ["attributes beyond 200 names are left out", "3000 of 3001 names"]
    ]
    assert (log.refused_rows, log.refused_files) == ({}, {}), "neither a row nor a file is lost by that"
    assert "attributes beyond 200 names are left out (3000 of 3001 names)" in caplog.text
