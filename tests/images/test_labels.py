"""The current label: adjudicated > newest correction > majority of reviews > import."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visionpipe.images.labels import current_labels, rival_shares
from visionpipe.images.store import LABEL_SCHEMA

START = datetime(2026, 1, 5, tzinfo=UTC)


def history(*rows: dict) -> pd.DataFrame:
    defaults = {
        "image_id": "a",
        "label": "cat",
        "label_confidence": 1.0,
        "annotator": "import",
        "labelled_at": START,
        "origin": "import",
        "selection": None,
    }
    frame = pd.DataFrame([{**defaults, **row} for row in rows], columns=LABEL_SCHEMA.names)
    return frame.astype({"labelled_at": "datetime64[us, UTC]"})


def vote(label: str, annotator: str = "ada", day: int = 1, origin: str = "review", **more) -> dict:
    at = START + timedelta(days=day)
    return {"label": label, "annotator": annotator, "labelled_at": at, "origin": origin, **more}


def the_label(*rows: dict) -> pd.Series:
    return current_labels(history(*rows)).loc["a"]


def test_an_import_alone_is_the_label():
    label = the_label({"label": "cat", "label_confidence": 0.75})
    assert (label["label"], label["label_confidence"], label["n_annotators"]) == ("cat", 0.75, 1)
    assert (label["label_origin"], label["contradicted"]) == ("import", False)


def test_one_review_outweighs_any_number_of_imports():
    imports = [{"label": "cat", "annotator": name} for name in ("one", "two", "three")]
    label = the_label(*imports, vote("dog", label_confidence=0.6))
    assert (label["label"], label["label_origin"]) == ("dog", "review")
    assert (label["label_confidence"], label["n_annotators"]) == (0.6, 1)


def test_one_correction_outweighs_any_number_of_reviews():
    reviews = [vote("cat", name, day=9) for name in ("ada", "bob", "eve")]
    assert the_label(*reviews, vote("dog", day=1, origin="correction"))["label"] == "dog"


def test_the_newest_correction_counts():
    rows = [vote("dog", day=3, origin="correction"), vote("cat", "bob", day=2, origin="correction")]
    label = the_label(*rows)
    assert (label["label"], label["n_annotators"], label["contradicted"]) == ("dog", 1, False)


def test_an_adjudication_outweighs_a_later_correction():
    rows = [vote("dog", day=1, origin="adjudication"), vote("cat", day=2, origin="correction")]
    assert the_label(*rows)["label"] == "dog"


def test_reviewers_vote_and_the_majority_wins_with_its_share():
    label = the_label(vote("dog", "ada"), vote("dog", "bob"), vote("cat", "eve"))
    assert (label["label"], label["n_annotators"], label["contradicted"]) == ("dog", 3, True)
    assert label["label_confidence"] == pytest.approx(2 / 3)
    assert json.loads(label["rival_labels"]) == {"cat": [pytest.approx(1 / 3)] * 2}


def test_rivals_have_their_share_of_the_votes_weighted_by_confidence():
    rows = [
        vote("dog", "ada"),
        vote("dog", "bob"),
        vote("cat", "eve", label_confidence=0.5),
        vote("emu", "joe"),
    ]
    label = the_label(*rows)
    assert label["label_confidence"] == 0.5
    assert json.loads(label["rival_labels"]) == {"cat": [0.25, 0.125], "emu": [0.25, 0.25]}
    assert the_label(vote("dog", "ada"))["rival_labels"] == "{}"


def test_shares_are_found_by_row_and_class():
    manifest = pd.DataFrame(
        {"rival_labels": ["{}", '{"cat": [0.5, 0.25], "yak": [0.2, 0.1]}', '{"emu": [0.5, 0.5]}']}
    )
    assert list(rival_shares(manifest, ["cat", "dog", "emu"])) == [(1, 0, 0.5, 0.25), (2, 2, 0.5, 0.5)]
    assert list(rival_shares(manifest[[]], ["cat"])) == []


def test_a_reviewer_has_one_vote_the_newest():
    rows = [vote("cat", "ada", 1), vote("cat", "ada", 2), vote("cat", "ada", 3), vote("dog", "bob", 4)]
    label = the_label(*rows, vote("dog", "ada", 5))
    assert (label["label"], label["n_annotators"], label["label_confidence"]) == ("dog", 2, 1.0)


@pytest.mark.parametrize("origin", ["review", "correction", "adjudication"])
@pytest.mark.parametrize("labels", [["cat", "dog"], ["dog", "cat"]])
def test_of_what_was_said_at_one_time_the_row_appended_later_counts(origin, labels):
    label = the_label(*(vote(label, origin=origin) for label in labels))
    assert (label["label"], label["n_annotators"], label["contradicted"]) == (labels[-1], 1, False)


def test_of_two_who_correct_at_one_time_the_later_counts_whatever_their_names():
    rows = [vote("dog", "zoe", origin="correction"), vote("cat", "ada", origin="correction")]
    assert the_label(*rows)["label"] == "cat"


def test_what_an_importer_said_last_counts_all_of_it():
    imports = [{"label": "cat"}, {"label": "dog", "labelled_at": START + timedelta(days=1)}]
    label = the_label(*imports)
    assert (label["label"], label["n_annotators"], label["contradicted"]) == ("dog", 1, False)
    label = the_label(*imports, {"label": "emu", "labelled_at": START + timedelta(days=1)})
    assert (label["n_annotators"], label["contradicted"], label["tied"]) == (1, True, True)


def test_a_tie_is_one_that_neither_votes_nor_confidence_decide():
    assert the_label(vote("dog", "ada"), vote("cat", "bob", day=2))["tied"]
    assert not the_label(vote("dog", "ada"), vote("cat", "bob", label_confidence=0.9))["tied"]
    assert not the_label(vote("dog", "ada"), vote("cat", "bob"), vote("cat", "eve"))["tied"]
    assert not the_label(vote("dog", "ada"))["tied"]


def test_a_tie_goes_to_confidence_then_to_age_then_to_the_name():
    sure = [vote("dog", "ada", label_confidence=0.9), vote("cat", "bob", label_confidence=0.8)]
    assert the_label(*sure)["label"] == "dog"
    older = [vote("dog", "ada", day=1), vote("cat", "bob", day=2)]
    assert the_label(*older)["label"] == "dog"
    equal = [vote("dog", "ada"), vote("cat", "bob")]
    assert the_label(*equal)["label"] == "cat"
    assert the_label(*equal)["label_confidence"] == 0.5


def test_the_selection_is_that_of_the_first_row_even_if_that_says_nothing():
    rows = [{"selection": None}, vote("cat", selection="uncertain")]
    assert pd.isna(the_label(*rows)["selection"])
    assert the_label(*reversed(rows))["selection"] == "uncertain"


def test_no_history_gives_no_labels():
    empty = current_labels(history())
    assert len(empty) == 0
    assert {"label", "label_confidence", "n_annotators", "label_origin", "selection"} <= set(empty.columns)


def test_an_unknown_origin_is_named():
    with pytest.raises(ValueError, match=r"unknown origin \['rumour'\]"):
        current_labels(history({"origin": "rumour"}))


votes = st.lists(
    st.builds(
        lambda image, label, confidence, annotator, hour, origin: {
            "image_id": image,
            "label": label,
            "label_confidence": confidence,
            "annotator": annotator,
            "labelled_at": START + timedelta(hours=hour),
            "origin": origin,
        },
        st.sampled_from("ab"),
        st.sampled_from(["cat", "dog", "fox"]),
        st.sampled_from([0.1, 0.2, 0.3, 0.7, 1.0]),
        st.sampled_from(["ada", "bob", "eve"]),
        st.integers(0, 3),
        st.sampled_from(["import", "review", "correction", "adjudication"]),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=50)
@given(rows=votes, seed=st.integers(0, 2**16))
def test_the_label_depends_on_no_order_but_that_of_what_reviewers_said_at_one_time(rows, seed):
    table = history(*rows)
    shuffled = table.iloc[np.random.default_rng(seed).permutation(len(table))]
    in_order = ["image_id", "origin", "labelled_at"]
    for _, together in table[table["origin"] != "import"].groupby(in_order):
        places = np.flatnonzero(shuffled.index.isin(together.index))
        order = shuffled.index.to_numpy(copy=True)
        order[places] = together.index
        shuffled = table.loc[order]
    expected, found = current_labels(table), current_labels(shuffled)
    pd.testing.assert_frame_equal(
        expected.drop(columns="selection"), found.drop(columns="selection"), check_exact=True
    )


@settings(max_examples=50)
@given(rows=votes)
def test_labels_are_those_of_a_plain_count(rows):
    """Count the votes of each image the slow way."""
    found = current_labels(history(*rows))
    rank = {"import": 0, "review": 1, "correction": 2, "adjudication": 3}
    for image in {row["image_id"] for row in rows}:
        mine = [row for row in rows if row["image_id"] == image]
        top = max(rank[row["origin"]] for row in mine)
        mine = [row for row in mine if rank[row["origin"]] == top]
        label = found.loc[image]
        if top >= 2:
            newest = max(row["labelled_at"] for row in mine)
            assert label["label"] == [row["label"] for row in mine if row["labelled_at"] == newest][-1]
            assert label["n_annotators"] == 1
            continue
        if top == 1:
            last = {}
            for row in sorted(mine, key=lambda row: row["labelled_at"]):
                last[row["annotator"]] = row["label"]
            count = Counter(last.values())
        else:
            newest = max(row["labelled_at"] for row in mine)
            now = [row for row in mine if row["labelled_at"] == newest]
            count = Counter(label for label, _ in {(row["label"], row["annotator"]) for row in now})
            assert label["n_annotators"] == len({row["annotator"] for row in now})
        assert count[label["label"]] == max(count.values())
        if top == 1:
            assert label["n_annotators"] == sum(count.values())
        assert label["contradicted"] == (len(count) > 1)
        assert 0 < label["label_confidence"] <= 1
        rivals = json.loads(label["rival_labels"])
        assert rivals.keys() == count.keys() - {label["label"]}
        assert all(
            votes == pytest.approx(count[rival] / count.total()) for rival, (votes, _) in rivals.items()
        )
        assert label["label_confidence"] + sum(weight for _, weight in rivals.values()) <= 1 + 1e-9
