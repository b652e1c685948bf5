"""Splits are sticky: whatever arrives later, no image changes split, and no group spans two."""

from __future__ import annotations

import hashlib
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from visionpipe.images.parameters import SplitParameters
from visionpipe.images.splits import assign_all

PLAIN = SplitParameters()
GROUPED = SplitParameters(validation=0.3, test=0.3, group_by="sender", holdout={"camera": ["new"]})


def arrival(number: int, look: str | None = None, selection: str | None = None, **attributes: str) -> tuple:
    image_id = hashlib.sha256(str(number).encode()).hexdigest()
    return image_id, look or f"look-{number}", attributes, selection


@st.composite
def arrivals(draw) -> list[tuple]:
    """Draw few looks and senders, so that groups form, meet and collide."""
    count = draw(st.integers(1, 40))
    rows = []
    for number in range(count):
        attributes = {}
        if sender := draw(st.sampled_from(["", "ada", "bob", "eve", "joe", "sue"])):
            attributes["sender"] = sender
        if camera := draw(st.sampled_from(["", "", "", "old", "new"])):
            attributes["camera"] = camera
        look = draw(st.sampled_from([f"look-{each}" for each in range(25)]))
        selection = draw(st.sampled_from([None, None, None, "random_audit", "uncertain"]))
        rows.append(arrival(draw(st.integers(0, 2**32)) * 64 + number, look, selection, **attributes))
    return rows


@settings(max_examples=150, deadline=None)
@given(arrivals(), st.data())
def test_no_image_changes_split_whatever_comes_later_in_whatever_order(rows, data):
    known = data.draw(st.integers(0, len(rows)))
    later = data.draw(st.permutations(rows[known:]))
    before = assign_all(rows[:known], GROUPED)
    after = assign_all([*rows[:known], *later], GROUPED)[:known]
    assert [place.split for place in after] == [place.split for place in before]
    assert [place.conflict for place in after] == [place.conflict for place in before]


@settings(max_examples=150, deadline=None)
@given(arrivals())
def test_no_group_spans_two_splits(rows):
    placed = [(row, place) for row, place in zip(rows, assign_all(rows, GROUPED), strict=True) if place.split]
    splits: dict[object, set] = {}
    groups: dict[object, set] = {}
    for (_, look, attributes, _), place in placed:
        for key in (("look", look), ("sender", attributes.get("sender")), ("group", place.group_id)):
            if key[1] is not None:
                splits.setdefault(key, set()).add(place.split)
                groups.setdefault(key, set()).add(place.group_id)
    assert all(len(found) == 1 for found in splits.values())
    assert all(len(found) == 1 for found in groups.values())  # one key, one group


@settings(max_examples=100, deadline=None)
@given(arrivals())
def test_a_group_bears_the_name_of_its_oldest_member(rows):
    placed = assign_all(rows, GROUPED)
    position = {row[0]: number for number, row in enumerate(rows)}
    for row, place in zip(rows, placed, strict=True):
        assert position[place.group_id] <= position[row[0]]
        if place.split:
            assert placed[position[place.group_id]].group_id == place.group_id


@settings(max_examples=100, deadline=None)
@given(arrivals())
def test_what_is_held_out_is_tested_and_what_was_uncertain_trains_or_neither_is_used(rows):
    for (_, _, attributes, selection), place in zip(rows, assign_all(rows, GROUPED), strict=True):
        if attributes.get("camera") == "new":
            assert place.split in {"test", None}
        if selection == "uncertain":
            assert place.split in {"train", None}
        assert (place.split is None) == (place.conflict is not None)


def splits_of(*rows: tuple, parameters: SplitParameters = PLAIN) -> list[str | None]:
    return [place.split for place in assign_all(rows, parameters)]


def numbers_in(split: str, count: int) -> list[int]:
    numbers = (number for number in range(10_000) if splits_of(arrival(number)) == [split])
    return [next(numbers) for _ in range(count)]


def test_near_duplicates_share_the_split_of_the_first():
    [in_train], [in_test] = numbers_in("train", 1), numbers_in("test", 1)
    assert splits_of(arrival(in_train, "x"), arrival(in_test, "x")) == ["train", "train"]
    assert splits_of(arrival(in_test, "x"), arrival(in_train, "x")) == ["test", "test"]


def test_images_of_one_sender_share_a_split():
    parameters = SplitParameters(group_by="sender")
    rows = [arrival(number, sender="ada") for number in range(50)]
    assert len(set(splits_of(*rows, parameters=parameters))) == 1


def test_a_missing_group_value_groups_nothing():
    parameters = SplitParameters(group_by="sender")
    rows = [arrival(number) for number in range(50)] + [
        arrival(90 + number, sender="") for number in range(50)
    ]
    assert set(splits_of(*rows, parameters=parameters)) == {"train", "validation", "test"}


def test_a_newcomer_that_would_tie_two_splits_together_is_kept_out_and_changes_nothing():
    [in_train], [in_test, later] = numbers_in("train", 1), numbers_in("test", 2)
    parameters = SplitParameters(group_by="sender")
    rows = [arrival(in_train, "x"), arrival(in_test, "y", sender="ada"), arrival(later, "x", sender="ada")]
    bridge = assign_all(rows, parameters)[2]
    assert bridge.split is None
    assert "is in train" in bridge.conflict
    assert "is in test" in bridge.conflict
    after = [arrival(later + 10_000, "x"), arrival(later + 20_000, "z", sender="ada")]
    assert splits_of(*rows, *after, parameters=parameters)[3:] == ["train", "test"]


def test_a_newcomer_may_tie_two_groups_of_one_split_together():
    first, second, third = numbers_in("train", 3)
    rows = [arrival(first, "x"), arrival(second, "y", sender="ada"), arrival(third, "x", sender="ada")]
    placed = assign_all(rows, SplitParameters(group_by="sender"))
    assert {place.group_id for place in placed} == {rows[0][0]}
    assert {place.split for place in placed} == {"train"}


def test_a_held_out_value_goes_to_test_alone():
    parameters = SplitParameters(holdout={"camera": ["new", "newer"]})
    rows = [arrival(number, camera=("new", "newer")[number % 2]) for number in range(40)]
    assert set(splits_of(*rows, parameters=parameters)) == {"test"}
    assert "train" in splits_of(
        *(arrival(number, camera="old") for number in range(40)), parameters=parameters
    )


def test_an_uncertain_image_trains_and_an_audited_one_may_test():
    uncertain = [arrival(number, selection="uncertain") for number in range(40)]
    audited = [arrival(number, selection="random_audit") for number in range(40)]
    assert set(splits_of(*uncertain)) == {"train"}
    assert "test" in splits_of(*audited)


def test_a_held_out_image_that_was_picked_for_being_uncertain_is_kept_out():
    parameters = SplitParameters(holdout={"camera": ["new"]})
    [place] = assign_all([arrival(1, selection="uncertain", camera="new")], parameters)
    assert place.split is None
    assert "camera new is held out for test" in place.conflict
    assert "unsure" in place.conflict


def test_an_uncertain_twin_of_a_test_image_is_kept_out():
    [in_test] = numbers_in("test", 1)
    assert splits_of(arrival(in_test, "x"), arrival(1, "x", "uncertain")) == ["test", None]


@pytest.mark.parametrize("parameters", [PLAIN, SplitParameters(validation=0.1, test=0.1, seed="other")])
def test_the_shares_are_those_asked_for(parameters):
    count = 20_000
    found = Counter(splits_of(*(arrival(number) for number in range(count)), parameters=parameters))
    for split, share in (("validation", parameters.validation), ("test", parameters.test)):
        four_sigma = 4 * (share * (1 - share) / count) ** 0.5
        assert found[split] / count == pytest.approx(share, abs=four_sigma)


def test_another_seed_shuffles_the_splits():
    rows = [arrival(number) for number in range(200)]
    assert splits_of(*rows) == splits_of(*rows)
    assert splits_of(*rows) != splits_of(*rows, parameters=SplitParameters(seed="other"))


def test_shares_that_leave_nothing_to_train_on_are_refused():
    with pytest.raises(ValidationError, match="nothing would be left to train on"):
        SplitParameters(validation=0.5, test=0.5)
