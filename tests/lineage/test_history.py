"""Of a version, the record tells who let it in, proposed it, approved it and took it back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from visionpipe.lineage.history import history, in_words
from visionpipe.promotion.record import Event

START = datetime(2026, 1, 5, 9, 14, tzinfo=UTC)


def entry(number, kind, who, **payload):
    return Event(f"event{number}", kind, START + timedelta(days=number), who, payload)


RECORD = [
    entry(0, "comparison", "cron", outcome="promote", reason="Fit to be the first champion."),
    entry(1, "promotion", "cron", version="1", previous=None, comparison="event0"),
    entry(2, "comparison", "cron", outcome="promote", reason="Proven better."),
    entry(3, "proposal", "cron", version="2", previous="1", comparison="event2"),
    entry(4, "approval", "A. Jones", version="2", previous="1", why="looks right"),
    entry(5, "rollback", "B. Ito", version="1", previous="2", why="misses cracks"),
    entry(6, "correction", "cron", version=None, previous="1", why="found so"),
]


def lines(version):
    return [f"{told['deed']} {in_words(told, version)}" for told in history(RECORD, version)]


def test_every_deed_is_told_to_the_version_that_it_concerns():
    assert lines("1") == [
        "promoted 2026-01-06 09:14 UTC, cron: Fit to be the first champion.",
        "replaced 2026-01-09 09:14 UTC, A. Jones, version 2 in its place: looks right",
        "put back 2026-01-10 09:14 UTC, B. Ito, in place of version 2: misses cracks",
        "found replaced 2026-01-11 09:14 UTC, cron, no version in its place: found so",
    ]
    assert lines("2") == [
        "proposed 2026-01-08 09:14 UTC, cron, against version 1: Proven better.",
        "approved 2026-01-09 09:14 UTC, A. Jones, in place of version 1: looks right",
        "taken back 2026-01-10 09:14 UTC, B. Ito, version 1 in its place: misses cracks",
    ]
    assert lines("3") == []


def test_a_machine_gets_the_event_as_it_is_on_record():
    told = history(RECORD, "2")[1]
    assert told == {**RECORD[4].as_dict(), "deed": "approved", "why": "looks right"}


def test_a_promotion_whose_comparison_is_not_on_record_says_no_why():
    (told,) = history(RECORD[1:2], "1")
    assert told["why"] is None
    assert in_words(told, "1") == "2026-01-06 09:14 UTC, cron"


def test_a_promotion_that_a_crash_stopped_is_not_told():
    stopped = entry(7, "promotion", "cron", version="4", previous="1")
    mended = entry(8, "correction", "cron", version="1", previous="4", why="found so", crowned=False)
    assert history([*RECORD[:2], stopped, mended], "4") == []
    assert [told["deed"] for told in history([*RECORD[:2], stopped, mended], "1")] == ["promoted"]
    assert [told["deed"] for told in history([*RECORD[:2], stopped], "4")] == ["promoted"]
