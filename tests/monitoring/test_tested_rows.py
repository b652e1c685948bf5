"""What belongs together counts once: near-duplicates, repeated requests, the photos of one sender."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from visionpipe.errors import VisionpipeError
from visionpipe.monitoring.drift import detect_drift
from visionpipe.monitoring.parameters import DriftParameters
from visionpipe.monitoring.tested_rows import choose_rows
from visionpipe.pipelines.drift.nodes import detect_drift as node

FAST = DriftParameters(permutations=1200, max_mmd_rows=100)


def tenfold(rows: pd.DataFrame) -> pd.DataFrame:
    """Every photo ten times, each time under a request of its own."""
    repeated = rows.iloc[np.repeat(np.arange(len(rows)), 10)].reset_index(drop=True)
    return repeated.assign(prediction_id=[str(i) for i in range(len(repeated))])


def near_duplicates(rows: pd.DataFrame) -> pd.DataFrame:
    """Each photo ten times, as a reference holds near-duplicates: other photos, one group."""
    repeated = tenfold(rows)
    return repeated.assign(group_id=repeated["image_id"], image_id=repeated["prediction_id"])


@pytest.mark.parametrize("side", ["reference", "log"])
def test_repeats_raise_no_alarm(predictions, classes, side):
    """Ten rows of each photo, taken for independent, call drift in most of these runs."""
    alarms = 0
    for seed in range(12):
        reference, current = predictions(60, seed=seed), predictions(60, seed=100 + seed)
        if side == "reference":
            found = detect_drift(near_duplicates(reference), current, classes, FAST)
        else:
            found = detect_drift(reference, tenfold(current), classes, FAST)
        alarms += bool(found.drifted)
        assert (found.n_reference, found.n_current) == (60, 60)
    assert alarms <= 1  # at 1 % a run, two or more of twelve are a 1 in 160 chance


def test_the_verdict_says_how_many_rows_count(predictions, classes):
    found = detect_drift(
        near_duplicates(predictions(60)), tenfold(predictions(70, seed=1)), classes, FAST
    ).reason
    told = "One row of each group or photo counts: 60 of 600 reference rows and 70 of 700 predictions."
    assert found.endswith(told)
    few = detect_drift(predictions(60), tenfold(predictions(20, seed=1)), classes, FAST)
    assert few.drifted is None
    assert "20 predictions in the window" in few.reason and "20 of 200 predictions" in few.reason


def test_rows_of_one_sender_count_once_where_the_user_names_the_column(predictions, classes):
    current = predictions(300).assign(sender=[f"s{i // 5}" for i in range(300)])
    parameters = FAST.model_copy(update={"group_by": "sender"})
    chosen = choose_rows(predictions(100), current, parameters)
    assert chosen.current["sender"].is_unique and len(chosen.current) == 60
    assert len(chosen.reference) == 100, "the reference does not know the senders"
    assert len(choose_rows(current, current, parameters).reference) == 60
    with pytest.raises(VisionpipeError, match=r"the log has no column sender.*drift.group_by"):
        detect_drift(predictions(100), predictions(100), classes, parameters)


def test_rows_of_their_own_are_handed_on_as_they_are(predictions):
    reference, current = predictions(50), predictions(60, seed=1)
    chosen = choose_rows(reference, current, FAST)
    assert chosen.repeats == ""
    pd.testing.assert_frame_equal(chosen.reference, reference)
    pd.testing.assert_frame_equal(chosen.current, current)


def test_only_repeats_inside_the_window_are_compared(predictions, now):
    early = predictions(60).assign(requested_at=pd.Timestamp(now) - pd.Timedelta(days=30))
    late = predictions(60).assign(requested_at=pd.Timestamp(now))
    parameters = FAST.model_copy(update={"window_days": 7})
    chosen = choose_rows(predictions(60), pd.concat([early, late]), parameters)
    assert len(chosen.current) == 60 and (chosen.current["requested_at"] == now).all()


def test_evidently_is_handed_the_very_rows_that_were_tested(predictions, classes, now):
    """Last winter's photos, outside the window, must not be drawn under a verdict on this week's."""
    winter = tenfold(predictions(60)).assign(requested_at=pd.Timestamp(now) - pd.Timedelta(days=90))
    week = tenfold(predictions(70, seed=1, days=3))
    log = SimpleNamespace(
        rows=pd.concat([winter, week], ignore_index=True),
        refused_rows={},
        refused_files={},
        other_versions={},
    )
    candidate = SimpleNamespace(
        reference=near_duplicates(predictions(60, seed=2)),
        classifier=SimpleNamespace(spec=SimpleNamespace(classes=classes)),
    )
    champion = SimpleNamespace(version="7", candidate=candidate)
    parameters = FAST.model_copy(update={"window_days": 7})
    verdict, reference, current = node(champion, lambda **_: log, parameters, now)
    assert (len(reference), len(current)) == (verdict["n_reference"], verdict["n_current"]) == (60, 70)
    assert current["requested_at"].min().isoformat() == verdict["window"]["from"]


def test_the_window_is_that_of_all_its_rows_not_of_those_that_are_drawn(predictions, classes, now):
    """Of three machines one row each: hardly the newest."""
    times = pd.date_range(end=now, periods=900, freq="4h")
    current = predictions(900).assign(requested_at=times, machine=[f"m{i % 3}" for i in range(900)])
    parameters = FAST.model_copy(update={"group_by": "machine", "window_days": 30})
    found = detect_drift(
        predictions(60, seed=1), current, classes, parameters, now=now + timedelta(days=30, hours=3)
    )
    assert found.n_current == 3
    start = now - timedelta(days=30) + timedelta(hours=4)
    assert found.window == {"from": start.isoformat(), "to": now.isoformat()}
    assert "newest prediction" not in found.reason


@pytest.mark.parametrize("n", [60, 10])
def test_a_service_that_fell_silent_does_not_pass_for_one_without_drift(predictions, classes, now, caplog, n):
    parameters = FAST.model_copy(update={"window_days": 30})
    later = now + timedelta(days=95)
    current = predictions(n).assign(requested_at=pd.Timestamp(now))
    found = detect_drift(predictions(60, seed=1), current, classes, parameters, now=later)
    told = "The newest prediction is 95 days old, the window 30."
    assert found.reason.endswith(told) and told in caplog.text
    fresh = detect_drift(predictions(60, seed=1), current, classes, parameters, now=now + timedelta(days=29))
    assert "newest prediction" not in fresh.reason
