"""Whatever stands in a document, it is rows or one error that names the document."""

from __future__ import annotations

import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visionpipe.errors import VisionpipeError
from visionpipe.images.importers import Source
from visionpipe.images.importers.coco import parse_coco
from visionpipe.images.importers.cvat import parse_cvat
from visionpipe.images.importers.documents import parse_json
from visionpipe.images.importers.label_studio import parse_label_studio
from visionpipe.images.importers.rows import Row
from visionpipe.images.importers.table import parse_table

KEYS = [
    "images",
    "annotations",
    "categories",
    "id",
    "image_id",
    "category_id",
    "file_name",
    "name",
    "data",
    "image",
]
KEYS += ["result", "value", "choices", "completed_by", "from_name", "updated_at", "was_cancelled"]
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 3),
    st.floats(allow_nan=True),
    st.sampled_from(["cat", "1.png", "", "2026-01-05", "half \ud800"]),
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=20,
)
OBJECTS = st.lists(st.dictionaries(st.sampled_from(KEYS), ANYTHING, max_size=5), max_size=3)
IDS = st.integers(0, 2)
NEARLY_COCO = st.fixed_dictionaries(
    {
        "images": st.lists(
            st.fixed_dictionaries({"id": IDS, "file_name": SCALARS, "name": ANYTHING}), max_size=3
        ),
        "annotations": st.lists(st.fixed_dictionaries({"image_id": IDS, "category_id": IDS}), max_size=4),
        "categories": st.lists(st.fixed_dictionaries({"id": IDS, "name": SCALARS}), max_size=3),
    }
)
WILD_COCO = st.fixed_dictionaries({"images": OBJECTS, "annotations": OBJECTS, "categories": OBJECTS})
RESULTS = st.lists(
    st.fixed_dictionaries({"value": st.fixed_dictionaries({"choices": st.lists(SCALARS)})}), max_size=2
)
VOTES = st.lists(
    st.fixed_dictionaries({"completed_by": ANYTHING, "updated_at": SCALARS, "result": RESULTS}), max_size=3
)
TASKS = st.lists(
    st.fixed_dictionaries(
        {
            "data": st.fixed_dictionaries({"image": SCALARS, "name": ANYTHING}),
            "annotations": st.one_of(VOTES, ANYTHING),
        }
    ),
    max_size=3,
)
STUDIO = Source(name="mine", importer="label_studio", path="x", annotations="a.json")


def rows_or_error(parse) -> None:
    try:
        rows = list(parse())
    except VisionpipeError as error:
        assert str(error).startswith("a.")
        assert "\n" not in str(error)
        return
    for row in rows:
        assert isinstance(row, Row)
        for text in (*row.references, row.where, *row.attributes, *row.attributes.values()):
            assert isinstance(text, str)
            text.encode()  # what no file can hold would fail much later
        for claim in row.claims:
            claim.label.encode()
            assert 0 <= claim.confidence <= 1


def read_back(document: object) -> object:
    return parse_json(json.dumps(document).encode(), "a.json")


@given(st.one_of(ANYTHING, WILD_COCO))
def test_any_json_as_coco(document):
    rows_or_error(lambda: parse_coco(read_back(document), "a.json", None))


@given(NEARLY_COCO)
def test_nearly_coco(document):
    rows_or_error(lambda: parse_coco(read_back(document), "a.json", None))


@given(ANYTHING)
def test_any_json_as_label_studio(document):
    rows_or_error(lambda: parse_label_studio(read_back(document), STUDIO))


@given(TASKS)
def test_nearly_label_studio(document):
    rows_or_error(lambda: parse_label_studio(read_back(document), STUDIO))


@given(st.one_of(st.binary(max_size=200), st.text(string.printable, max_size=200).map(str.encode)))
def test_any_bytes_as_any_document(data):
    rows_or_error(lambda: nothing(parse_json, data, "a.json"))
    rows_or_error(lambda: parse_cvat(data, "a.xml", None))
    for name in ("a.csv", "a.tsv", "a.parquet"):
        rows_or_error(lambda name=name: nothing(parse_table, data, name))


def nothing(parse, *arguments) -> list:
    parse(*arguments)
    return []


@pytest.mark.parametrize("cut", range(0, 130, 7))
def test_a_cvat_document_cut_anywhere(cut):
    tag = b'<tag label="cat"><attribute name="a">1</attribute></tag>'
    whole = b'<annotations><image name="1.png">' + tag + b"</image></annotations>"
    rows_or_error(lambda: parse_cvat(whole[:cut], "a.xml", None))
