"""Simulated reviewers hand in a fixed random share of what arrives from the demo, once, and say who they are."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from visionpipe.retraining.parameters import FeedbackParameters
from visionpipe.retraining.reviews import SIMULATED, simulate_reviews

N = 2000
HALF = FeedbackParameters(simulated_share=0.5, simulated_sources=("demo",))


def arrivals(n=N):
    ids = [hashlib.sha256(f"photo {i}".encode()).hexdigest() for i in range(n)]
    return pd.DataFrame({"image_id": ids, "source": "demo", "confidence": np.linspace(0, 1, n)})


def delayed_labels(table):
    return pd.DataFrame(
        {
            "image_id": table["image_id"],
            "label": ["cracked" if i % 3 else "sound" for i in range(len(table))],
            "label_confidence": 0.75,
            "annotator": "four experts",
            "labelled_at": pd.Timestamp("2026-04-01", tz="UTC"),
            "origin": "import",
            "selection": None,
        }
    )


def reviewed(parameters=HALF, table=None, labels=None, reviews=()):
    table = arrivals() if table is None else table
    labels = delayed_labels(table) if labels is None else labels
    done = pd.DataFrame(list(reviews), columns=labels.columns)
    return simulate_reviews(table, labels, done, parameters)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_the_share_is_what_was_asked_for(share):
    rows = reviewed(HALF.model_copy(update={"simulated_share": share}))
    assert binomtest(len(rows), N, share).pvalue > 1e-3


def test_all_or_nothing():
    assert len(reviewed(HALF.model_copy(update={"simulated_share": 1.0}))) == N
    assert reviewed(HALF.model_copy(update={"simulated_share": 0.0})) == []
    assert reviewed(FeedbackParameters()) == []  # unless someone asks for it, only people review


def test_the_same_photos_are_always_drawn_whatever_arrives_with_them():
    first = {row["image_id"] for row in reviewed()}
    shuffled = arrivals().sample(frac=1, random_state=1)
    assert {row["image_id"] for row in reviewed(table=shuffled)} == first
    half_of_them = arrivals().iloc[: N // 2]
    assert {row["image_id"] for row in reviewed(table=half_of_them)} == first & set(half_of_them["image_id"])


def test_another_salt_draws_others():
    first, other = (
        {row["image_id"] for row in reviewed(HALF.model_copy(update={"seed": seed}))} for seed in ("a", "b")
    )
    assert 0.4 < len(first & other) / len(first) < 0.6  # as independent draws would


def test_a_larger_share_keeps_those_of_a_smaller_one():
    small, large = (
        {row["image_id"] for row in reviewed(HALF.model_copy(update={"simulated_share": share}))}
        for share in (0.2, 0.6)
    )
    assert small < large


def test_the_draw_does_not_look_at_what_the_model_thought():
    table = arrivals()
    drawn_N = table["image_id"].isin({row["image_id"] for row in reviewed(table=table)})
    assert table.loc[drawn_N, "confidence"].mean() == pytest.approx(0.5, abs=0.03)
    unsure = table.assign(confidence=1 - table["confidence"])
    assert reviewed(table=unsure) == reviewed(table=table)


def test_nothing_is_handed_in_twice():
    first = reviewed()
    assert reviewed(reviews=first) == []
    half_done = reviewed(reviews=first[:100])
    assert [row["image_id"] for row in half_done] == [row["image_id"] for row in first[100:]]


def test_a_photo_that_a_person_has_reviewed_is_left_alone():
    by_a_person = {**reviewed()[0], "annotator": "maria", "label": "cracked"}
    assert by_a_person["image_id"] not in {row["image_id"] for row in reviewed(reviews=[by_a_person])}


def test_a_photo_labelled_twice_is_handed_in_once_with_its_newest_label():
    labels = delayed_labels(arrivals(20))
    corrected = labels.assign(label="corrected")
    rows = reviewed(
        HALF.model_copy(update={"simulated_share": 1.0}), arrivals(20), pd.concat([labels, corrected])
    )
    assert len(rows) == 20
    assert {row["label"] for row in rows} == {"corrected"}


def test_photos_of_other_sources_are_left_to_people():
    table = arrivals().assign(source=np.where(np.arange(N) < N // 2, "demo", "line 3"))
    drawn = {row["image_id"] for row in reviewed(table=table)}
    assert drawn
    assert drawn <= set(table.loc[table["source"] == "demo", "image_id"])


def test_labels_of_photos_that_never_arrived_are_not_handed_in():
    labels = delayed_labels(arrivals())
    rows = reviewed(table=arrivals(10), labels=labels)
    assert {row["image_id"] for row in rows} <= set(arrivals(10)["image_id"])


def test_a_review_says_that_it_is_simulated_and_a_random_audit():
    row = reviewed()[0]
    assert row["annotator"] == SIMULATED == "simulated-reviewer"
    assert (row["origin"], row["selection"]) == ("review", "random_audit")
    assert (row["label_confidence"], row["labelled_at"]) == (0.75, pd.Timestamp("2026-04-01", tz="UTC"))
    assert row["label"] in {"cracked", "sound"}
