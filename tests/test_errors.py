"""What is quoted of other errors, and what is hidden of it."""

from __future__ import annotations

import doctest
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionpipe import errors
from visionpipe.errors import meant, redacted
from visionpipe.images.importers.urls import shown


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
