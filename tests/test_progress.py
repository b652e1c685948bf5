"""Where there is no terminal, the log says how far something is that takes long, and how long it still takes."""

from __future__ import annotations

import logging

import pytest

from visionpipe.progress import progress_bar


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the time as a list of one number [s], which a test sets."""
    now = [1000.0]
    monkeypatch.setattr("rich.console.monotonic", lambda: now[0])
    return now


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "visionpipe.progress"]


def test_what_takes_long_says_on_the_way_how_long_still(clock, caplog):
    caplog.set_level(logging.INFO)
    with progress_bar() as progress:
        task = progress.add_task("Whole network", total=200, note="")
        for _ in range(200):
            clock[0] += 1
            progress.advance(task)
    assert told(caplog) == [
        "Whole network: 30 of 200 images after 0:00:30, about 0:02:50 left",
        "Whole network: 60 of 200 images after 0:01:00, about 0:02:20 left",
        "Whole network: 120 of 200 images after 0:02:00, about 0:01:20 left",
        "Whole network: 200 images in 200.0 s",
    ]


def test_so_does_what_is_counted_together_with_its_note(clock, caplog):
    caplog.set_level(logging.INFO)
    with progress_bar("files") as progress:
        task = progress.add_task("Inspecting", total=100, note="")
        for n in range(40):
            clock[0] += 1
            progress.update(task, advance=1, note=f"{n} new")
    assert told(caplog) == [
        "Inspecting: 30 of 100 files after 0:00:30, about 0:01:10 left",
        "Inspecting: 40 files in 40.0 s, 39 new",
    ]


def test_so_does_what_goes_on_where_it_was_in_steps_of_more_than_half_a_minute(clock, caplog):
    caplog.set_level(logging.INFO)
    with progress_bar() as progress:
        task = progress.add_task("Predicting", total=10, completed=5, note="")
        for _ in range(5):
            clock[0] += 40
            progress.advance(task)
    assert told(caplog) == [
        "Predicting: 6 of 10 images after 0:00:40, about 0:02:40 left",
        "Predicting: 7 of 10 images after 0:01:20, about 0:02:00 left",
        "Predicting: 8 of 10 images after 0:02:00, about 0:01:20 left",
        "Predicting: 10 images in 200.0 s",
    ]


def test_what_is_quick_has_one_line_and_what_a_machine_reads_none(clock, caplog):
    caplog.set_level(logging.INFO)
    for log in (True, False):
        with progress_bar(log=log) as progress:
            task = progress.add_task("Decoding", total=9, note="")
            clock[0] += 5
            progress.advance(task, 4)
            clock[0] += 5 if log else 500
            progress.advance(task, 5)
    assert told(caplog) == ["Decoding: 9 images in 10.0 s"]
