"""COCO: an image's label is the category of its annotations."""

from __future__ import annotations

import json

import pytest

from visionpipe.errors import VisionpipeError

DOCUMENT = {
    "images": [
        {"id": 1, "file_name": "1.png", "width": 40, "height": 40, "license": 1, "site": "A", "night": True},
        {"id": 2, "file_name": "sub/2.png", "date_captured": "2026-01-05", "site": None},
        {"id": 3, "file_name": "gone.png"},
        {"id": 4, "file_name": "4.png"},
    ],
    "annotations": [
        {"id": 10, "image_id": 1, "category_id": 7, "bbox": [0, 0, 1, 1], "segmentation": [[0, 0, 1, 1]]},
        {"id": 11, "image_id": 1, "category_id": 7},
        {"id": 12, "image_id": 2, "category_id": 7},
        {"id": 13, "image_id": 2, "category_id": 8},
        {"id": 14, "image_id": 2, "category_id": 8},
        {"id": 15, "image_id": 3, "category_id": 8},
        {"id": 16, "image_id": 99, "category_id": 8},
    ],
    "categories": [{"id": 7, "name": "cat"}, {"id": 8, "name": "dog"}],
}


@pytest.fixture
def coco(imported, put, tmp_path):
    put(tmp_path, "1.png", "images/sub/2.png", "4.png", "5.png")

    def read(document, **options):
        text = document if isinstance(document, str) else json.dumps(document)
        (tmp_path / "coco.json").write_text(text)
        return imported("coco", tmp_path, annotations="coco.json", **options)

    return read


def test_categories_are_labels_and_all_that_does_not_fit_is_named(coco, said):
    assert said(coco(DOCUMENT)) == {
        "1.png": ["coco: cat"],
        "images/sub/2.png": ["coco: cat", "coco: dog"],
        "4.png": [],
        "5.png": [],
        "gone.png": ["! no_image"],
        "coco.json#annotations of image_id 99": ["! no_image"],
    }


def test_a_category_s_confidence_is_its_share_of_the_annotations(coco):
    photos = {photo.path: photo for photo in coco(DOCUMENT)}
    assert [claim.confidence for claim in photos["1.png"].claims] == [1.0]
    assert [claim.confidence for claim in photos["images/sub/2.png"].claims] == pytest.approx([1 / 3, 2 / 3])


def test_an_image_s_own_keys_are_attributes_and_coco_s_are_not(coco):
    assert {photo.path: photo.attributes for photo in coco(DOCUMENT) if photo.attributes} == {
        "1.png": {"site": "A", "night": "True"}
    }
    chosen = coco(DOCUMENT, attributes=["date_captured"])
    assert {photo.path: photo.attributes for photo in chosen if photo.attributes} == {
        "images/sub/2.png": {"date_captured": "2026-01-05"}
    }
    with pytest.raises(VisionpipeError, match=r"coco\.json: no column 'camera' \(option `attributes`\)"):
        coco(DOCUMENT, attributes=["camera"])


@pytest.mark.parametrize(("category_id", "shown"), [(5, "5"), (0, "0"), (None, "null")])
def test_an_unknown_category_costs_its_image(coco, said, category_id, shown):
    document = {**DOCUMENT, "annotations": [{"image_id": 1, "category_id": category_id}]}
    photos = coco(document)
    assert said(photos)["1.png"] == ["! bad_row"]
    assert photos[0].refusal[1] == f"images[0]: category_id {shown} is not among the categories"


def test_ids_that_a_program_wrote_with_a_decimal_point_are_the_same_numbers(coco, said):
    document = {**DOCUMENT, "annotations": [{"image_id": 1.0, "category_id": 7.0}]}
    assert said(coco(document))["1.png"] == ["coco: cat"]


@pytest.mark.parametrize(
    ("document", "wrong"),
    [
        (json.dumps(DOCUMENT)[:200], "is no complete JSON document"),
        ("", "is no complete JSON document"),
        ("[" * 100_000, "nested too deeply"),
        ("[]", "the document is a list, not an object"),
        ({"images": [], "annotations": []}, "it has no list of `categories`"),
        ({**DOCUMENT, "images": {}}, "it has no list of `images`"),
        ({**DOCUMENT, "images": [3]}, r"images\[0\] is a number, not an object"),
        ({**DOCUMENT, "images": [{"id": []}]}, r"images\[0\]: an id is a list, not a number or text"),
        ({**DOCUMENT, "annotations": [{"image_id": {}}]}, r"annotations\[0\]: an id is an object"),
        ({**DOCUMENT, "annotations": [None]}, r"annotations\[0\] is null, not an object"),
        ({**DOCUMENT, "categories": [{}]}, r"categories\[0\]: an id is null"),
        (
            {**DOCUMENT, "categories": [{"id": 1, "name": "cat"}, {"id": 1, "name": "dog"}]},
            r"categories\[1\]: another category has the id 1 as well",
        ),
        ({**DOCUMENT, "images": [{"id": 1}, {"id": 1}]}, r"images\[1\]: another image has the id 1 as well"),
    ],
)
def test_what_is_no_coco_document_is_said_in_one_line(document, wrong, coco):
    with pytest.raises(VisionpipeError, match=rf"^source mine: coco\.json: .*{wrong}") as raised:
        coco(document)
    assert "\n" not in str(raised.value)


def test_an_image_without_a_file_name_is_named_by_its_place(coco, said):
    document = {**DOCUMENT, "images": [{"id": 1}, {"id": 2, "file_name": 3}]}
    photos = said(coco(document))
    assert photos["coco.json#images[0]"] == photos["coco.json#images[1]"] == ["! no_image"]
