"""What a library found wrong is said in plain words, one line a mistake."""

from __future__ import annotations

import doctest
import time
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from visionpipe import errors
from visionpipe.errors import meant, mistakes, redacted
from visionpipe.images.importers.urls import shown


class Split(BaseModel):
    """A nested section."""

    model_config = ConfigDict(extra="forbid")

    share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    names: Annotated[list[str], Field(min_length=1)] = ["a"]


class Section(BaseModel):
    """One field of every kind."""

    model_config = ConfigDict(extra="forbid")

    epochs: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    mode: Literal["promote", "propose", "off"] = "off"
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


def said(model=Section, **given) -> list[str]:
    given = {"needed": "x", **given}
    with pytest.raises(ValidationError) as error:
        model.model_validate(given)
    return mistakes(error.value, model, given, called="section")


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
        ({"split": {"zzz": 0.5}}, "section.split.zzz: unknown key; known: share, names"),
        ({"split": {"names": []}}, "section.split.names: must have at least 1 entry, and has 0"),
        ({"split": {"names": [None]}}, "section.split.names.0: must be text, not null"),
        ({"needed": 7}, "section.needed: must be text, not 7"),
        ({"epoch": 7}, "section.epoch: unknown key; did you mean 'epochs'?"),
    ],
)
def test_a_mistake_is_one_plain_line(given, line):
    assert said(**given) == [line]


def test_each_mistake_has_its_line():
    given = {"epochs": -1, "flag": 3}
    with pytest.raises(ValidationError) as error:
        Section.model_validate(given)
    assert mistakes(error.value, Section, given, called="section") == [
        "section.epochs: must be at least 1 or 'auto', not -1",
        "section.flag: must be true or false, not 3",
        "section.needed: is missing",
    ]


def test_a_value_that_may_be_a_password_is_not_quoted():
    assert said(Hidden, needed=1234) == ["section.needed: must be text"]


def test_what_is_no_section_at_all():
    with pytest.raises(ValidationError) as error:
        Section.model_validate([1])
    said = mistakes(error.value, Section, [1], called="section")
    assert said == ["section: must be a section of keys and values, not a list"]


def test_the_examples():
    assert doctest.testmod(errors).failed == 0


def test_names_are_suggested_and_never_too_many():
    many = [f"resnet{depth}" for depth in range(10, 110)]
    assert meant("resnet180", many, most=2) == "did you mean 'resnet80' or 'resnet18'?"
    assert meant("zebra", many) == "none of 100 known names is like it"


class TestRedaction:
    @given(password=st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), min_size=6))
    def test_no_part_of_a_password_is_left(self, password):
        assert redacted(f"postgresql://joe:{password}@db:5432/mlflow") == "postgresql://***@db:5432/mlflow"

    @pytest.mark.parametrize(
        ("text", "left"),
        [
            ("mysql://db/mlflow?user=joe&passwd=hunter2", "mysql://db/mlflow?user=joe&passwd=***"),
            ("http://mlflow:5000?api_key=hunter2&a=1", "http://mlflow:5000?api_key=***&a=1"),
            *(
                (
                    f"mysql://db/mlflow?ssl_password=ab{mark}hunter2&a=1",
                    "mysql://db/mlflow?ssl_password=***&a=1",
                )
                for mark in (";", "%3B", "%26")
            ),
            (
                "mssql:///?odbc_connect=PWD%3Dhunter2%3BUID%3Djoe",
                "mssql:///?odbc_connect=PWD%3D***%3BUID%3Djoe",
            ),
            ("mssql:///?odbc_connect=Pwd%3dhunter2&echo=1", "mssql:///?odbc_connect=Pwd%3d***&echo=1"),
            (
                "mssql:///?odbc_connect=PWD%3D%7Ba%3Bhunter2%7D%3BUID%3Djoe",
                "mssql:///?odbc_connect=PWD%3D***%3BUID%3Djoe",
            ),
            (
                "('08001', 'DRIVER={ODBC};PWD=hunter2;SERVER=db')",
                "('08001', 'DRIVER={ODBC};PWD=***;SERVER=db')",
            ),
            ("PWD={a;}};hunter2};UID={joe}", "PWD=***;UID={joe}"),
            ("s3://models?aws_secret=hunter2\nat once", "s3://models?aws_secret=***\nat once"),
        ],
    )
    def test_one_that_is_an_option_is_hidden_too(self, text, left):
        assert redacted(text) == left

    @pytest.mark.parametrize("part", ["://", "x://a?", "pwd={ ", "pwd=%7b ", "pwd=", "token=%7b%7d%7d"])
    @pytest.mark.parametrize("quote", [redacted, shown])
    def test_a_long_text_takes_no_longer_than_its_length(self, quote, part):
        start = time.process_time()
        quote(part * (1_000_000 // len(part)))
        assert time.process_time() - start < 20  # and not some minutes

    @pytest.mark.parametrize(
        "uri", ["http://db:5000", "sqlite:////home/joe@corp/mlflow.db", "databricks", "models:/name@champion"]
    )
    def test_what_has_no_password_stays(self, uri):
        assert redacted(uri) == uri
