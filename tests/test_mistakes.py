"""What a library found wrong is said in plain words, one line a mistake."""

from __future__ import annotations

import doctest
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, model_validator

import visionpipe.mistakes
from visionpipe.mistakes import keys_of, mistakes


class Split(BaseModel):
    """A nested section."""

    model_config = ConfigDict(extra="forbid")

    share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    names: Annotated[list[str], Field(min_length=1)] = ["a"]
    pair: tuple[float, ...] = ()


class Section(BaseModel):
    """One field of every kind."""

    model_config = ConfigDict(extra="forbid")

    epochs: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    mode: Literal["promote", "propose", "off"] = "off"
    patience: Annotated[int, Field(ge=1)] | None = None
    flag: bool = False
    costs: dict[str, dict[str, Annotated[float, Field(ge=0)]]] = {}
    split: Split = Split()
    needed: str

    @model_validator(mode="after")
    def _together(self) -> Section:
        if self.flag and self.mode == "off":
            raise ValueError("flag: true needs another mode than off")
        return self


class Hidden(Section):
    """A section that may hold a password."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


ELSEWHERE = ["other.patience", "other.seed", "another.deeper.seed", *keys_of(Section, "section")]


def said(model: type[BaseModel] = Section, **given: Any) -> list[str]:
    return mistakes(model, {"needed": "x", **given}, called="section", known_keys=ELSEWHERE)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"epochs": "many"}, "section.epochs: must be a whole number or 'auto', not 'many'"),
        ({"epochs": 0}, "section.epochs: must be at least 1 or 'auto', not 0"),
        ({"epochs": {"a": 1}}, "section.epochs: must be a whole number or 'auto', not a section"),
        ({"mode": "promte"}, "section.mode: must be 'promote', 'propose' or 'off', not 'promte'"),
        ({"flag": "perhaps"}, "section.flag: must be true or false, not 'perhaps'"),
        ({"flag": True}, "section.flag: true needs another mode than off"),
        ({"costs": {"a": {"b": -1}}}, "section.costs.a.b: must be at least 0, not -1"),
        ({"costs": 3}, "section.costs: must be a section of keys and values, not 3"),
        ({"split": {"share": 2}}, "section.split.share: must be less than 1, not 2"),
        ({"split": {"shre": 0.5}}, "section.split.shre: unknown key; did you mean 'share'?"),
        ({"split": {"zzz": 0.5}}, "section.split.zzz: unknown key; known: share, names, pair"),
        ({"split": {"names": []}}, "section.split.names: must have at least 1 entry, and has 0"),
        ({"split": {"names": [None]}}, "section.split.names.0: must be text, not null"),
        (
            {"costs": {True: {"b": 1}}},
            "section.costs: true must be text; put quotes around it (YAML reads yes, no, on and off so)",
        ),
        (
            {"costs": {"a": {3: 1}}},
            "section.costs.a: 3 must be text; put quotes around it",
        ),
        ({"needed": 7}, "section.needed: must be text, not 7"),
        ({"epoch": 7}, "section.epoch: unknown key; did you mean 'epochs'?"),
    ],
)
def test_a_mistake_is_one_plain_line(given, line):
    assert said(**given) == [line]


def test_each_mistake_has_its_line():
    assert mistakes(Section, {"epochs": -1, "flag": 3}, called="section") == [
        "section.epochs: must be at least 1 or 'auto', not -1",
        "section.flag: must be true or false, not 3",
        "section.needed: is missing",
    ]


def test_a_value_that_may_be_a_password_is_not_quoted():
    assert said(Hidden, needed=1234) == ["section.needed: must be text"]


def test_what_is_no_section_at_all():
    said = mistakes(Section, [1], called="section")
    assert said == ["section: must be a section of keys and values, not a list"]


def test_what_is_right_has_no_mistakes():
    given = {"needed": "x", "flag": True, "mode": "propose", "split": {"share": 0.5, "pair": [1, 2.5]}}
    assert said(**given) == []


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"epochs": True}, "section.epochs: must be a whole number or 'auto', not true"),
        ({"epochs": False}, "section.epochs: must be a whole number or 'auto', not false"),
        ({"patience": False}, "section.patience: must be a whole number, not false"),
        ({"split": {"share": True}}, "section.split.share: must be a number, not true"),
        ({"split": {"pair": [1, True]}}, "section.split.pair.1: must be a number, not true"),
        ({"costs": {"a": {"b": True}}}, "section.costs.a.b: must be a number, not true"),
        ({"mode": False}, "section.mode: must be 'promote', 'propose' or 'off', not false"),
        ({"patience": False, "needed": "\udc80"}, "section.patience: must be a whole number, not false"),
        (
            {"patience": False, "costs": {"a": {"b": float("inf")}}},
            "section.patience: must be a whole number, not false",
        ),
    ],
)
def test_true_and_false_are_no_numbers(given, line):
    assert said(**given) == [line]


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"share": 0.5}, "section.share: unknown key; did you mean 'section.split.share'?"),
        ({"shares": 0.5}, "section.shares: unknown key; did you mean 'section.split.share'?"),
        ({"split": {"flag": True}}, "section.split.flag: unknown key; did you mean 'section.flag'?"),
        ({"seed": True}, "section.seed: unknown key; did you mean 'other.seed' or 'another.deeper.seed'?"),
        (
            {"split": {"patience": 1}},
            "section.split.patience: unknown key; did you mean 'section.patience' or 'other.patience'?",
        ),
        (
            {"split.share": 0.5},
            "section.split.share: unknown key; in a file it is written `split: {share: …}`",
        ),
    ],
)
def test_a_key_is_looked_for_in_all_sections(given, line):
    assert said(**given) == [line]


def test_the_examples():
    assert doctest.testmod(visionpipe.mistakes).failed == 0
