"""Production photos that reviewers labelled."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from photo_files import class_folders
from visionpipe.errors import VisionpipeError
from visionpipe.images import store
from visionpipe.images.importers import Source, iterate_photos
from visionpipe.images.shards import append_shard

NOW = datetime(2026, 1, 5, tzinfo=UTC)


@pytest.fixture
def root(tmp_path, listed, warehouse):
    warehouse.take_in(listed(class_folders(tmp_path / "photos", cat=1)))
    (warehouse.root / "images").rename(tmp_path / "arrivals")
    return tmp_path


def review(root: Path, image_id: str, **row) -> None:
    rows = [
        {
            "image_id": image_id,
            "label": "dog",
            "label_confidence": 0.9,
            "annotator": "ada",
            "labelled_at": NOW,
            "origin": "review",
            "selection": "random_audit",
            **row,
        }
    ]
    append_shard(root / "reviews", rows, store.LABEL_SCHEMA, prefix="labels")


def reviewed(root: Path, now: datetime = NOW):
    return list(iterate_photos(Source(name="production", importer="reviewed", path=root), now))


def test_nothing_reviewed_is_no_error(root):
    assert reviewed(root) == []


def test_a_review_brings_its_label_and_the_bytes_that_arrived(root):
    image_id = store.read_store_index(root / "arrivals")["image_id"][0]
    review(root, image_id)
    [photo] = reviewed(root)
    assert photo.read() == (root / "photos/cat/00.png").read_bytes()
    [claim] = photo.claims
    assert (claim.label, claim.confidence, claim.annotator) == ("dog", 0.9, "ada")
    assert (claim.origin, claim.selection, claim.labelled_at) == ("review", "random_audit", NOW)


def test_a_reviewer_who_comes_back_is_heard_again_and_once(root, warehouse):
    image_id = store.read_store_index(root / "arrivals")["image_id"][0]
    for day, label in enumerate(["dog", "cat", "dog"]):
        review(root, image_id, label=label, labelled_at=NOW + timedelta(days=day))
    later = NOW + timedelta(days=7)
    warehouse.take_in(reviewed(root, later))
    assert warehouse.labels.query("origin == 'review'")["label"].tolist() == ["dog", "cat", "dog"]
    assert warehouse.manifest()["label"].tolist() == ["dog"]
    before = warehouse.files
    warehouse.take_in(reviewed(root, later))
    pd.testing.assert_frame_equal(warehouse.files, before)


@pytest.mark.parametrize("labels", [["cat", "dog"], ["dog", "cat"]])
def test_of_two_labels_of_one_time_the_one_handed_in_later_counts(labels, root, warehouse):
    image_id = store.read_store_index(root / "arrivals")["image_id"][0]
    for label in labels:
        review(root, image_id, label=label)
    [photo] = reviewed(root)
    assert [claim.label for claim in photo.claims] == labels
    warehouse.take_in([photo])
    assert warehouse.manifest()["label"].tolist() == labels[1:]
    before = warehouse.labels
    warehouse.take_in(reviewed(root))
    pd.testing.assert_frame_equal(warehouse.labels, before)
    review(root, image_id, label="cow")
    warehouse.take_in(reviewed(root))
    assert warehouse.manifest()["label"].tolist() == ["cow"]


@pytest.mark.parametrize("at_once", [True, False])
def test_a_reviewer_may_come_back_to_an_earlier_label_of_the_same_time(at_once, root, warehouse):
    image_id = store.read_store_index(root / "arrivals")["image_id"][0]
    for label in ("cat", "dog", "cat"):
        review(root, image_id, label=label)
        if not at_once:
            warehouse.take_in(reviewed(root))
    for _ in range(2):
        warehouse.take_in(reviewed(root))
        reviews = warehouse.labels.query("origin == 'review'")
        assert reviews["label"].tolist() == ["cat", "dog", "cat"]
    assert warehouse.manifest()["label"].tolist() == ["cat"]


def test_the_next_export_of_everything_adds_nothing(root, warehouse):
    image_id = store.read_store_index(root / "arrivals")["image_id"][0]
    for _ in range(3):
        review(root, image_id, label="cat")
        warehouse.take_in(reviewed(root))
    assert warehouse.labels.query("origin == 'review'")["label"].tolist() == ["cat"]


@pytest.mark.parametrize(
    ("row", "trouble"),
    [
        ({"label": None}, "label is empty"),
        ({"label": "   "}, "label is empty"),
        ({"image_id": None}, "image_id is empty"),
        ({"annotator": None}, "annotator is empty"),
        ({"labelled_at": None}, "labelled_at is empty"),
        ({"label_confidence": 7.0}, "label_confidence '7' is no number from 0 to 1"),
        ({"label_confidence": -0.1}, "label_confidence '-0.1' is no number from 0 to 1"),
        ({"label_confidence": None}, "label_confidence 'nan' is no number from 0 to 1"),
        ({"labelled_at": NOW + timedelta(minutes=6)}, "labelled_at is in the future"),
        ({"labelled_at": datetime(9999, 12, 31, tzinfo=UTC)}, "labelled_at is in the future"),
        ({"labelled_at": pa.scalar(10**18, pa.timestamp("us", "UTC"))}, "labelled_at is in the future"),
        ({"labelled_at": datetime(1, 1, 1, tzinfo=UTC)}, "labelled_at is before 1970"),
        ({"origin": "import"}, "origin 'import' is none of review, correction, adjudication"),
        ({"selection": "Active"}, "selection 'active' is none of uncertain, random_audit"),
    ],
)
def test_a_bad_row_is_refused_before_it_is_in_the_history_for_good(row, trouble, root, warehouse):
    image_id = store.read_store_index(root / "arrivals")["image_id"][0]
    review(root, **{"image_id": image_id, **row})
    review(root, image_id, label="cat")
    warehouse.take_in(reviewed(root))
    assert warehouse.labels.query("origin == 'review'")["label"].tolist() == ["cat"]
    quarantine = warehouse.quarantine()[["path", "reason", "detail"]].to_numpy().tolist()
    assert quarantine == [["reviews/labels-00000.parquet row 1", "bad_row", trouble]]
    (root / "reviews/labels-00000.parquet").unlink()
    warehouse.take_in(reviewed(root))
    assert warehouse.quarantine().empty


@pytest.mark.parametrize(
    ("origin", "label"),
    [("adjudication", "dog"), ("Correction", "dog"), ("review", "cat"), (" ", "cat"), (None, "cat")],
)
def test_a_correction_and_an_adjudication_count_more_than_any_reviews(origin, label, root, warehouse):
    image_id = store.read_store_index(root / "arrivals")["image_id"][0]
    for annotator in ("ada", "bob"):
        review(root, image_id, label="cat", annotator=annotator)
    review(root, image_id, annotator="chief", label="dog", origin=origin)
    warehouse.take_in(reviewed(root))
    assert warehouse.manifest()["label"].tolist() == [label]


def test_a_reviewers_clock_may_run_a_little_ahead(root):
    image_id = store.read_store_index(root / "arrivals")["image_id"][0]
    review(root, image_id, labelled_at=NOW + timedelta(minutes=4))
    [photo] = reviewed(root)
    assert photo.refusal is None


def test_photos_that_arrive_at_a_simulated_time_are_reviewed_then(root):
    review(root, store.read_store_index(root / "arrivals")["image_id"][0])
    [photo] = reviewed(root, NOW - timedelta(days=90))
    assert photo.refusal is None


def test_a_review_need_not_say_why_the_image_was_chosen(root, warehouse):
    review(root, store.read_store_index(root / "arrivals")["image_id"][0], selection=None, label=" dog ")
    warehouse.take_in(reviewed(root))
    assert warehouse.manifest()["label"].tolist() == ["dog"]


@pytest.mark.parametrize(
    ("classes", "said", "label"),
    [
        (["cat"], "Cat", "cat"),
        (["t shirt"], " T-Shirt", "t shirt"),
        (["caf\u00e9"], "cafe\u0301", "caf\u00e9"),
        (["A", "a"], "a", "a"),
        (["cat"], "dog", "dog"),
    ],
)
def test_a_reviewers_spelling_is_that_of_the_class(classes, said, label, tmp_path, listed, root, warehouse):
    folders = listed(class_folders(tmp_path / "classes", first_seed=9, **dict.fromkeys(classes, 1)))
    review(root, store.read_store_index(root / "arrivals")["image_id"][0], label=said)
    warehouse = replace(warehouse, root=tmp_path / "another")
    warehouse.take_in([*reviewed(root), *folders])
    assert sorted(warehouse.manifest()["label"]) == sorted([*classes, label])
    before = warehouse.labels
    warehouse.take_in(reviewed(root))  # the class is known from the history
    pd.testing.assert_frame_equal(warehouse.labels, before)


def test_a_class_that_only_reviewers_name_is_spelled_as_at_first(tmp_path, listed, warehouse, caplog):
    production = replace(warehouse, root=tmp_path / "production")
    production.take_in(listed(class_folders(tmp_path / "photos", cat=2)))
    (production.root / "images").rename(tmp_path / "arrivals")
    first, second = store.read_store_index(tmp_path / "arrivals")["image_id"]
    review(tmp_path, first, label="scratch")
    warehouse.take_in(reviewed(tmp_path))
    review(tmp_path, second, label="Scratch", labelled_at=NOW - timedelta(days=1))
    with caplog.at_level("INFO"):
        warehouse.take_in(reviewed(tmp_path))
    assert warehouse.labels["label"].tolist() == ["scratch", "scratch"]
    assert "source production: 1 label unified (Scratch = scratch)" in caplog.messages


def test_a_class_that_a_source_names_later_takes_what_reviewers_called_otherwise(
    tmp_path, listed, root, warehouse
):
    warehouse = replace(warehouse, root=tmp_path / "another")
    review(root, store.read_store_index(root / "arrivals")["image_id"][0], label="Dog")
    warehouse.take_in(reviewed(root))
    folders = listed(class_folders(tmp_path / "classes", first_seed=9, dog=1))
    for _ in range(2):
        warehouse.take_in([*folders, *reviewed(root)])
        assert warehouse.manifest()["label"].tolist() == ["dog", "dog"]
        assert warehouse.labels["label"].tolist() == ["Dog", "dog", "dog"]


@pytest.mark.parametrize("selection", ["uncertain", "Uncertain", " uncertain "])
def test_photos_chosen_for_being_uncertain_only_train_however_it_is_written(
    selection, tmp_path, listed, warehouse
):
    production = replace(warehouse, root=tmp_path / "production")
    production.take_in(listed(class_folders(tmp_path / "photos", cat=12)))
    (production.root / "images").rename(tmp_path / "arrivals")
    image_ids = store.read_store_index(tmp_path / "arrivals")["image_id"]
    for image_id in image_ids:
        review(tmp_path, image_id, selection=selection)
    warehouse.take_in(reviewed(tmp_path))
    assert warehouse.manifest()["split"].tolist() == ["train"] * 12


@pytest.mark.parametrize("column", ["labelled_at", "label_confidence"])
def test_a_table_of_other_types_is_named(column, root):
    image_id = store.read_store_index(root / "arrivals")["image_id"][0]
    review(root, image_id)
    (path,) = (root / "reviews").glob("*.parquet")
    pd.read_parquet(path).assign(**{column: "soon"}).to_parquet(root / "reviews/zz_hand.parquet")
    with pytest.raises(
        VisionpipeError, match=r"reviews/zz_hand\.parquet: cannot be read: .*'soon'.*; mend it"
    ):
        reviewed(root)


def test_a_review_of_an_image_that_is_not_there_says_what_to_restore(root):
    review(root, "0" * 64)
    with pytest.raises(VisionpipeError, match="restore data/01_raw/arrivals"):
        reviewed(root)
