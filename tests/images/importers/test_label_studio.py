"""Label Studio's JSON export: each annotator's choice is a claim."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from visionpipe.errors import VisionpipeError
from visionpipe.images.importers import LabelClaim


def choice(*labels: str, by=1, question: str = "choice", **annotation) -> dict:
    result = {"type": "choices", "from_name": question, "to_name": "image", "value": {"choices": [*labels]}}
    return {"completed_by": by, "result": [result], **annotation}


def task(image: object, *annotations: dict, **data) -> dict:
    return {"data": {"image": image, **data}, "annotations": [*annotations]}


@pytest.fixture
def studio(imported, put, tmp_path):
    put(tmp_path, "photos/1.png", "2.png", "ab12cd34-3.png", "4.png")

    def read(document, **options):
        text = document if isinstance(document, str) else json.dumps(document)
        (tmp_path / "export.json").write_text(text)
        return imported("label_studio", tmp_path, annotations="export.json", **options)

    return read


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("/data/local-files/?d=photos/1.png", "photos/1.png"),
        ("/data/local-files/?d=x%2Fphotos%2F1.png", "photos/1.png"),
        ("/data/upload/7/ab12cd34-3.png", "ab12cd34-3.png"),
        ("/data/upload/7/99999999-2.png", "2.png"),
        ("http://host:8080/data/upload/7/99999999-4.png?token=1", "4.png"),
        ("s3://bucket/photos/1.png", "photos/1.png"),
        ("https://host/photos/1.png?X-Amz-Signature=abc", "photos/1.png"),
        ("photos/1.png", "photos/1.png"),
    ],
)
def test_an_image_is_found_under_each_kind_of_url(url, path, studio, said):
    assert said(studio([task(url, choice("cat"))]))[path] == ["1: cat"]


def test_each_annotator_is_a_claim_with_its_time(studio):
    photos = studio(
        [
            task(
                "2.png",
                choice("cat", by=3, created_at="2026-01-02T03:04:05.600000Z"),
                choice(
                    "dog", by={"id": 4, "email": "ada@example.com"}, updated_at="2026-01-03T00:00:00+01:00"
                ),
                choice("dog", by={"id": 5}),
                choice("cat", by=6, was_cancelled=True),
                choice("cat", by=None),
                site="A",
                year=2025,
                tags=["x"],
            )
        ]
    )
    photo = next(photo for photo in photos if photo.path == "2.png")
    assert photo.claims == (
        LabelClaim("cat", annotator="3", labelled_at=datetime(2026, 1, 2, 3, 4, 5, 600000, UTC)),
        LabelClaim("dog", annotator="ada@example.com", labelled_at=datetime(2026, 1, 2, 23, tzinfo=UTC)),
        LabelClaim("dog", annotator="5"),
        LabelClaim("cat", annotator="label_studio"),
    )
    assert photo.attributes == {"site": "A", "year": "2025"}


def test_predictions_and_skipped_tasks_are_no_labels(studio, said):
    skipped = {"completed_by": 1, "result": [], "was_cancelled": False}
    boxes = choice("cat")
    boxes["result"][0]["value"] = {"rectanglelabels": ["cat"]}
    tasks = [
        {**task("2.png"), "predictions": [choice("cat")]},
        task("4.png", skipped, boxes),
        {"data": {"image": "photos/1.png"}},
    ]
    assert said(studio(tasks)) == {"photos/1.png": [], "2.png": [], "ab12cd34-3.png": [], "4.png": []}


def test_of_several_questions_one_must_be_chosen(studio, said):
    tasks = [task("2.png", choice("cat"), choice("blurred", question="quality"))]
    with pytest.raises(
        VisionpipeError, match=r"several questions were answered \(choice, quality\).*`question`"
    ):
        studio(tasks)
    assert said(studio(tasks, question="quality"))["2.png"] == ["1: blurred"]
    with pytest.raises(
        VisionpipeError, match=r"no column 'mood' \(option `question`\); there are: choice, quality"
    ):
        studio(tasks, question="mood")


def test_a_task_s_image_may_have_another_key(studio, said):
    tasks = [{"data": {"photo": "2.png"}, "annotations": [choice("cat")]}]
    assert said(studio(tasks, image_key="photo"))["2.png"] == ["1: cat"]
    with pytest.raises(VisionpipeError, match=r"no column 'image' \(option `image_key`\); there are: photo"):
        studio(tasks)


def test_a_time_that_is_none_costs_its_image(studio, said):
    assert said(studio([task("2.png", choice("cat", created_at="yesterday"))]))["2.png"] == ["! bad_row"]


@pytest.mark.parametrize(
    ("document", "wrong"),
    [
        ('[{"data": {"image": "2.p', "is no complete JSON document"),
        ({"image": "2.png"}, "the document is an object, not a list"),
        ([3], "task 1 is a number, not an object"),
        ([{"image": "2.png", "choice": "cat"}], "task 1 has no `data`: export from Label Studio as JSON"),
    ],
)
def test_what_is_no_export_is_said_in_one_line(document, wrong, studio):
    with pytest.raises(VisionpipeError, match=rf"^source mine: export\.json: {wrong}"):
        studio(document)


@pytest.mark.parametrize(
    "annotations", [None, {}, [3], [{"result": 3}], [{"result": [3]}], [{"result": [{"value": 1}]}]]
)
def test_annotations_of_a_wrong_kind_say_nothing(annotations, studio, said):
    assert said(studio([{"data": {"image": "2.png"}, "annotations": annotations}]))["2.png"] == []


@pytest.mark.parametrize("image", [None, 3, "", ["2.png"]])
def test_a_task_without_an_image_is_named(image, studio, said):
    assert said(studio([{**task(image, choice("cat")), "id": 17}]))["export.json#task 17"] == ["! no_image"]


def test_half_a_character_is_kept_as_its_escape(studio):
    text = json.dumps([task("2.png", choice("cat"), note="x")]).replace('"x"', r'"\ud800 \ud83d\ude00"')
    photo = next(photo for photo in studio(text) if photo.path == "2.png")
    assert photo.attributes == {"note": "\\ud800 \U0001f600"}
    photo.attributes["note"].encode()


def test_a_blank_choice_is_no_label(studio, said):
    assert said(studio([task("2.png", choice("  ", " cat "))]))["2.png"] == ["1: cat"]
