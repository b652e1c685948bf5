"""Splits are sticky: whatever arrives later, no image changes split, and no group spans two."""

from __future__ import annotations

import hashlib
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from visionpipe.images.parameters import SplitParameters
from visionpipe.images.splits import GroupSplitter, assign_all

PLAIN = SplitParameters()
GROUPED = SplitParameters(validation=0.3, test=0.3, group_by="sender", holdout={"camera": ["new"]})


def image(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def arrival(number: int, *copies: int, selection: str | None = None, **attributes: str) -> tuple:
    """An image that is a near-duplicate of others, given by their numbers."""
    return image(number), [image(other) for other in copies], attributes, selection


@st.composite
def arrivals(draw) -> list[tuple]:
    """Draw few senders and many near-duplicates, so that groups form, meet and collide."""
    numbers = draw(st.lists(st.integers(0, 2**32), min_size=1, max_size=40, unique=True))
    rows = []
    for position, number in enumerate(numbers):
        attributes = {}
        if sender := draw(st.sampled_from(["", "ada", "bob", "eve", "joe", "sue"])):
            attributes["sender"] = sender
        if camera := draw(st.sampled_from(["", "", "", "old", "new"])):
            attributes["camera"] = camera
        copies = draw(st.lists(st.sampled_from(numbers[:position]), max_size=3)) if position else []
        selection = draw(st.sampled_from([None, None, None, "random_audit", "uncertain"]))
        rows.append(arrival(number, *copies, selection=selection, **attributes))
    return rows


@settings(max_examples=150)
@given(arrivals(), st.data())
def test_no_image_changes_split_whatever_comes_later_in_whatever_order(rows, data):
    known = data.draw(st.integers(0, len(rows)))
    later = data.draw(st.permutations(rows[known:]))
    before = assign_all(rows[:known], GROUPED)
    after = assign_all([*rows[:known], *later], GROUPED)[:known]
    assert [place.split for place in after] == [place.split for place in before]
    assert [place.conflict for place in after] == [place.conflict for place in before]


@settings(max_examples=150)
@given(arrivals())
def test_no_group_spans_two_splits(rows):
    placed = [(row, place) for row, place in zip(rows, assign_all(rows, GROUPED), strict=True) if place.split]
    place_of = {row[0]: place for row, place in placed}
    together: list[tuple] = []
    for (image_id, copies, attributes, _), place in placed:
        assert place_of[place.group_id].split == place.split
        earlier = list(place_of)[: list(place_of).index(image_id)]
        together += [(place, place_of[copy]) for copy in copies if copy in earlier]
        if sender := attributes.get("sender"):
            together += [(place, other) for row, other in placed if row[2].get("sender") == sender]
    for one, other in together:
        assert (one.group_id, one.split) == (other.group_id, other.split)


@settings(max_examples=200)
@given(arrivals(), st.data())
def test_what_further_files_of_an_image_say_is_the_same_known_late_or_at_once(rows, data):
    """They come at any time after their image; a replay knows them when it assigns the image."""
    splitter, placed, further = GroupSplitter(GROUPED), {}, {}
    for image_id, *arrived in rows:
        place = splitter.assign(image_id, *arrived)
        if place.split:
            placed[image_id], further[image_id] = place, []
        for copied in data.draw(st.lists(st.sampled_from(sorted(placed)), max_size=3)) if placed else []:
            said = {
                "sender": data.draw(st.sampled_from(["ada", "bob", "eve", "joe", "sue"])),
                "camera": data.draw(st.sampled_from(["old", "old", "new"])),
            }
            conflict, values = splitter.tie(copied, [said])
            assert placed[copied].split == "test" or said["camera"] == "old" or conflict
            assert not (conflict and values)
            further[copied] += [{"sender": value} for value in values]
    replayed = assign_all([(*row, further[row[0]]) for row in rows if row[0] in placed], GROUPED)
    assert [place.conflict for place in replayed] == [None] * len(placed)
    assert [place.split for place in replayed] == [place.split for place in placed.values()]
    assert [place.group_id for place in replayed] == [
        splitter.group_of(place.group_id) for place in placed.values()
    ]


@settings(max_examples=100)
@given(arrivals())
def test_a_group_bears_the_name_of_its_oldest_member(rows):
    placed = assign_all(rows, GROUPED)
    position = {row[0]: number for number, row in enumerate(rows)}
    for row, place in zip(rows, placed, strict=True):
        assert position[place.group_id] <= position[row[0]]
        if place.split:
            assert placed[position[place.group_id]].group_id == place.group_id


@settings(max_examples=100)
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
    assert splits_of(arrival(in_train), arrival(in_test, in_train)) == ["train", "train"]
    assert splits_of(arrival(in_test), arrival(in_train, in_test)) == ["test", "test"]


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
    rows = [arrival(in_train), arrival(in_test, sender="ada"), arrival(later, in_train, sender="ada")]
    bridge = assign_all(rows, parameters)[2]
    assert bridge.split is None
    assert "is in train" in bridge.conflict
    assert "is in test" in bridge.conflict
    after = [arrival(later + 10_000, in_train), arrival(later + 20_000, sender="ada")]
    assert splits_of(*rows, *after, parameters=parameters)[3:] == ["train", "test"]


def test_a_newcomer_may_tie_two_groups_of_one_split_together():
    first, second, third = numbers_in("train", 3)
    rows = [arrival(first), arrival(second, sender="ada"), arrival(third, first, sender="ada")]
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
    assert splits_of(arrival(in_test), arrival(1, in_test, selection="uncertain")) == ["test", None]


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
