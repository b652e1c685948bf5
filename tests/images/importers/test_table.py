"""A table beside the images is joined to them, and what does not fit is counted and named."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pandas as pd
import pytest

from visionpipe.errors import VisionpipeError
from visionpipe.images.importers import LabelClaim
from visionpipe.images.importers.table import parse_table

COLUMNS = {"table": "labels.csv", "path_column": "image", "label_column": "label"}


@pytest.fixture
def table(imported, put, tmp_path):
    """Import `labels.csv` with these lines beside images of these paths."""

    def read(lines: str, *paths: str, **options):
        (put(tmp_path, *paths) / "labels.csv").write_text(lines, encoding="utf-8")
        return imported("table", tmp_path, **{**COLUMNS, **options})

    return read


def test_the_clothing_photos_have_their_contradictions(clothing, imported):
    told = pd.read_csv(clothing / "images.csv", dtype=str).set_index("image")
    expected = {}
    for file in clothing.glob("*/*.jpg"):
        folder, label = file.parent.name, told.loc[file.stem, "label"]
        if folder.lower() != label.lower():
            expected[f"{folder}/{file.name}"] = {"folder": folder, "table": label.lower()}
    assert len(expected) == 15

    photos = imported("table", clothing, table="images.csv", path_column="image", label_column="label")

    contradicted = {
        photo.path: {claim.annotator: claim.label for claim in photo.claims}
        for photo in photos
        if len({claim.label for claim in photo.claims}) > 1
    }
    assert contradicted == expected
    photos = [photo for photo in photos if photo.path != "LICENSE"]
    assert len(photos) == len(told) == 1988
    assert all(len(photo.claims) == 2 and photo.refusal is None for photo in photos)
    assert {claim.label for photo in photos for claim in photo.claims} == {
        folder.name for folder in clothing.iterdir() if folder.is_dir()
    }
    senders = {photo.path: photo.attributes["sender_id"] for photo in photos}
    assert senders == {path: told.loc[Path(path).stem, "sender_id"] for path in senders}
    assert {name for photo in photos for name in photo.attributes} == {"folder_label", "sender_id", "kids"}


@pytest.mark.parametrize(
    "reference", ["a/1.png", "./a/1.png", r"a\1.png", "1.png", "1", "x/y/1.png", "1.jpg"]
)
def test_a_row_finds_its_image_by_path_name_or_stem(reference, table, said):
    assert said(table(f"image,label\n{reference},cat\n", "a/1.png", "a/2.png")) == {
        "a/1.png": ["table: cat"],
        "a/2.png": [],
    }


def test_an_absolute_path_below_the_folder_is_an_exact_one(table, said, tmp_path):
    lines = f"image,label\n{tmp_path}/a/1.png,cat\n{tmp_path}/b/1.png,dog\n"
    assert said(table(lines, "a/1.png", "b/1.png")) == {"a/1.png": ["table: cat"], "b/1.png": ["table: dog"]}


def test_a_file_name_that_two_images_have_is_refused_by_name(table):
    *_, refused = table("image,label\n1.png,cat\n", "a/1.png", "b/1.png")
    assert refused.refusal == (
        "ambiguous_image",
        "labels.csv row 1: 2 files have the file name '1.png': a/1.png, b/1.png",
    )


def test_folders_tell_files_of_one_name_apart(table, said):
    photos = table("image,label\ncat/1.png,cat\nx/dog/1,dog\n", "all/cat/1.png", "all/dog/1.png")
    assert [[claim.label for claim in photo.claims if claim.annotator == "table"] for photo in photos] == [
        ["cat"],
        ["dog"],
    ]


def test_the_row_in_the_same_folder_has_the_image(table, said):
    photos = table("image,label\ntrain/1.png,cat\ntest/1.png,dog\n", "all/test/1.png", folder_labels=False)
    assert said(photos) == {"all/test/1.png": ["table: dog"], "train/1.png": ["! no_image"]}


def test_an_image_that_is_another_row_s_is_not_taken_by_name(table, said):
    """train/1.png is missing: its label must not go to test/1.png."""
    photos = table("image,label\ntrain/1.png,cat\ntest/1.png,dog\n", "test/1.png")
    assert said(photos) == {"test/1.png": ["table: dog"], "train/1.png": ["! no_image"]}
    assert "belongs to 'test/1.png'" in photos[-1].refusal[1]


def test_two_missing_images_of_one_name_do_not_share_the_only_file(table, said):
    photos = table("image,label\ntrain/1.png,cat\nval/1.png,dog\n", "test/1.png")
    assert said(photos) == {
        "test/1.png": [],
        "train/1.png": ["! ambiguous_image"],
        "val/1.png": ["! ambiguous_image"],
    }


def test_a_row_without_an_image_is_named_and_cannot_be_read(table):
    [_, missing] = table("image,label,site\n1.png,cat,A\ngone.png,dog,B\n", "1.png")
    assert (missing.path, missing.attributes) == ("gone.png", {"site": "B"})
    assert missing.refusal == ("no_image", "labels.csv row 2: no such file")
    with pytest.raises(FileNotFoundError):
        missing.read()


def test_a_row_that_names_nothing_is_named_by_its_number(table, said):
    assert said(table("image,label\n,cat\n1.png,dog\n", "1.png")) == {
        "1.png": ["table: dog"],
        "labels.csv#row 1": ["! no_image"],
    }


def test_the_table_is_no_photo_and_every_other_file_is_accounted_for(table, said):
    assert said(table("image,label\n1.png,cat\n", "1.png", "notes.txt")) == {
        "1.png": ["table: cat"],
        "notes.txt": [],
    }


def test_rows_that_disagree_are_several_claims_and_rows_that_agree_are_one(table, said):
    lines = "image,label\n1.png,cat\n1.png,dog\n2.png,cat\n2.png,Cat\n"
    assert said(table(lines, "1.png", "2.png")) == {
        "1.png": ["table: cat", "table: dog"],
        "2.png": ["table: cat"],
    }


def test_several_annotators_are_several_claims_with_their_confidence(table):
    lines = "image,label,by,sure\n1.png,cat,ada,0.9\n1.png,cat,bob,\n1.png,dog,,0\n"
    [photo] = table(lines, "1.png", annotator_column="by", confidence_column="sure")
    assert photo.claims == (
        LabelClaim("cat", 0.9, "ada"),
        LabelClaim("cat", 1.0, "bob"),
        LabelClaim("dog", 0.0, "table"),
    )


@pytest.mark.parametrize("confidence", ["1.5", "-0.1", "high", "inf", "97%"])
def test_a_confidence_out_of_range_costs_its_image(confidence, table, said):
    photos = table(
        f"image,label,sure\n1.png,cat,{confidence}\n2.png,cat,1\n", "1.png", "2.png", confidence_column="sure"
    )
    assert said(photos) == {"1.png": ["! bad_row"], "2.png": ["table: cat"]}
    assert photos[0].refusal[1] == f"row 1: confidence '{confidence}' is no number from 0 to 1"


def test_a_line_of_too_many_or_too_few_fields_costs_its_image(table, said):
    photos = table("image,label,site\n1.png,cat,A,B\n2.png\n3.png,cat,A\n", "1.png", "2.png", "3.png")
    assert said(photos) == {"1.png": ["! bad_row"], "2.png": ["! bad_row"], "3.png": ["table: cat"]}
    assert photos[0].refusal[1] == "row 1: 4 fields, the header has 3"


def test_nulls_are_no_labels_and_no_attributes_but_none_is_a_class(table):
    lines = "image,label,site\n1.png,,A\n2.png,NaN,\n3.png,None,NA\n4.png,  ,B\n"
    photos = table(lines, "1.png", "2.png", "3.png", "4.png")
    assert [[claim.label for claim in photo.claims] for photo in photos] == [[], [], ["None"], []]
    assert [photo.attributes for photo in photos] == [{"site": "A"}, {}, {}, {"site": "B"}]


def test_attributes_can_be_chosen(table):
    [photo] = table("image,label,site,n\n1.png,cat,A,3\n", "1.png", attributes=["n"])
    assert photo.attributes == {"n": "3"}


@pytest.mark.parametrize(
    "options",
    [{"path_column": "img"}, {"label_column": "klass"}, {"attributes": ["size"]}, {"annotator_column": "by"}],
)
def test_a_column_that_is_not_there_is_an_error_that_lists_those_that_are(options, table):
    [(option, value)] = options.items()
    column = value[0] if isinstance(value, list) else value
    wrong = rf"labels\.csv: no column '{column}' \(option `{option}`\); there are: image, label, site"
    with pytest.raises(VisionpipeError, match=f"source mine: {wrong}"):
        table("image,label,site\n1.png,cat,A\n", "1.png", **options)


class TestFolderLabels:
    """Images lie in class folders and a table labels them too."""

    LINES = "image,label\n1.png,Big Cat\n2.png,Big Cat\n3.png,dog\n"
    PATHS = ("big_cat/1.png", "big_cat/2.png", "big_cat/3.png")

    def test_the_folder_is_half_a_claim_in_its_own_spelling(self, table):
        assert [photo.claims for photo in table(self.LINES, *self.PATHS)] == [
            (LabelClaim("big_cat", 0.5, "folder"), LabelClaim("big_cat", 1.0, "table")),
            (LabelClaim("big_cat", 0.5, "folder"), LabelClaim("big_cat", 1.0, "table")),
            (LabelClaim("big_cat", 0.5, "folder"), LabelClaim("dog", 1.0, "table")),
        ]

    def test_a_table_wins_the_tie(self, table):
        from visionpipe.images.labels import current_labels

        claims = table(self.LINES, *self.PATHS)[2].claims
        rows = [
            {
                "image_id": "a",
                "label": claim.label,
                "label_confidence": claim.confidence,
                "annotator": claim.annotator,
                "labelled_at": pd.Timestamp("2026-01-05", tz="UTC"),
                "origin": claim.origin,
                "selection": None,
            }
            for claim in claims
        ]
        assert current_labels(pd.DataFrame(rows)).loc["a", "label"] == "dog"

    def test_they_can_be_left_out(self, table, said):
        assert said(table(self.LINES, *self.PATHS, folder_labels=False)) == {
            "big_cat/1.png": ["table: Big Cat"],
            "big_cat/2.png": ["table: Big Cat"],
            "big_cat/3.png": ["table: dog"],
        }

    def test_folders_that_mean_something_else_are_no_classes(self, table, said):
        """Sites A and B hold grades A and B in equal parts."""
        lines = "image,label\n1.png,A\n2.png,B\n3.png,A\n4.png,B\n"
        photos = table(lines, "A/1.png", "A/2.png", "B/3.png", "B/4.png")
        assert {claim.annotator for photo in photos for claim in photo.claims} == {"table"}

    def test_a_folder_that_is_no_class_says_nothing(self, table, said):
        lines = "image,label\n1.png,cat\n2.png,dog\n3.png,cat\n"
        assert said(table(lines, "cat/1.png", "dog/2.png", "unsorted/3.png"))["unsorted/3.png"] == [
            "table: cat"
        ]

    def test_class_folders_may_lie_deeper(self, table, said):
        lines = "image,label\n1.png,cat\n2.png,dog\n"
        assert said(table(lines, "images/cat/1.png", "images/dog/2.png")) == {
            "images/cat/1.png": ["folder: cat", "table: cat"],
            "images/dog/2.png": ["folder: dog", "table: dog"],
        }

    def test_an_image_without_a_row_has_no_label_unless_folders_are_asked_for(self, table, said):
        lines, paths = "image,label\n1.png,cat\n2.png,dog\n", ("cat/1.png", "dog/2.png", "dog/3.png")
        assert said(table(lines, *paths))["dog/3.png"] == []
        [photo] = [p for p in table(lines, *paths, folder_labels=True) if p.path == "dog/3.png"]
        assert photo.claims == (LabelClaim("dog", 1.0, "folder"),)


def test_labels_take_the_spelling_that_is_seen_first(table, said):
    lines = "image,label\n1.png,T-Shirt\n2.png,t shirt\n3.png,T_SHIRT\n4.png,tshirt\n"
    photos = table(lines, "1.png", "2.png", "3.png", "4.png")
    assert [photo.claims[0].label for photo in photos] == ["T-Shirt", "T-Shirt", "T-Shirt", "tshirt"]


def test_the_join_is_told_in_one_line(table, caplog):
    lines = "image,label\n1.png,cat\n1.png,dog\n2.png,cat\ngone.png,cat\ngone.png,dog\n"
    with caplog.at_level(logging.INFO, "visionpipe"):
        table(lines, "1.png", "2.png", "3.png", "README.md")
    [record] = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage() == (
        "source mine: 3 images, 5 rows of labels.csv, 2 rows without an image (gone.png), "
        "1 images without a row (3.png), 1 contradictory labels (1.png: cat / dog), 1 other files (README.md)"
    )


def test_a_join_where_all_fits_is_no_warning(table, caplog):
    with caplog.at_level(logging.INFO, "visionpipe"):
        table("image,label\n1.png,cat\n", "1.png")
    assert [record.levelname for record in caplog.records] == ["INFO"]


def test_where_chooses_rows_and_production_hides_labels(table, said):
    lines = "image,label,site\n1.png,cat,A\n2.png,dog,B\ngone.png,dog,B\n"
    assert said(table(lines, "1.png", "2.png", where={"site": ["A"]})) == {"1.png": ["table: cat"]}
    assert said(table(lines, "1.png", "2.png", labelled=False)) == {
        "1.png": [],
        "2.png": [],
        "gone.png": ["! no_image"],
    }


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("labels.tsv", b"image\tlabel\na, b.png\tcat\n"),
        ("labels.csv", b'\xef\xbb\xbfimage;label\r\n"a, b.png";cat\r\n'),
        ("labels.csv", b'image,label\n"a, b.png", cat\n\n'),
        ("labels.csv", b',image,label\n0,"a, b.png",cat\n'),
    ],
    ids=["tsv", "semicolons and a byte order mark", "blank lines", "pandas' index"],
)
def test_tables_come_in_many_dialects(name, data):
    assert parse_table(data, name).columns == {"image": ["a, b.png"], "label": ["cat"]}


def test_a_parquet_table_has_typed_columns(imported, put, tmp_path):
    put(tmp_path, "1.png", "2.png")
    frame = pd.DataFrame(
        {
            "image": ["1.png", "2.png"],
            "label": pd.array([1, None], dtype="Int64"),
            "kids": [True, False],
            "grade": [1.5, float("nan")],
            "taken": pd.to_datetime(["2026-01-05", None], utc=True),
            "box": [[1, 2], [3, 4]],
        }
    )
    frame.to_parquet(tmp_path / "labels.parquet")
    first, second = imported("table", tmp_path, **{**COLUMNS, "table": "labels.parquet"})
    assert [claim.label for claim in first.claims] == ["1"]
    assert first.attributes == {"kids": "True", "grade": "1.5", "taken": "2026-01-05T00:00:00+00:00"}
    assert (second.claims, second.attributes) == ((), {"kids": "False"})


@pytest.mark.parametrize(
    ("data", "wrong"),
    [
        (b"", "has no header line"),
        (b"\n\n", "has no header line"),
        (b"\x89PNG\r\n\x1a\n\xff", "is not UTF-8 text"),
        ("bildname,größe\n".encode("latin-1"), "is not UTF-8 text"),
        (b'image,label\n"1.png,cat\n', "line 2: unexpected end of data"),
        (b"image,label,label\n1.png,cat,dog\n", "two columns are named 'label'"),
    ],
)
def test_what_is_no_table_is_said_in_one_line(data, wrong, imported, tmp_path):
    (tmp_path / "labels.csv").write_bytes(data)
    with pytest.raises(VisionpipeError, match=rf"^source mine: labels\.csv: {re.escape(wrong)}") as raised:
        imported("table", tmp_path, **COLUMNS)
    assert "\n" not in str(raised.value)


def test_a_truncated_parquet_table_is_said_in_one_line(imported, tmp_path):
    pd.DataFrame({"image": ["1.png"], "label": ["cat"]}).to_parquet(tmp_path / "labels.parquet")
    whole = (tmp_path / "labels.parquet").read_bytes()
    (tmp_path / "labels.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(VisionpipeError, match=r"labels\.parquet: cannot be read as Parquet"):
        imported("table", tmp_path, **{**COLUMNS, "table": "labels.parquet"})


def test_a_table_that_is_not_there_or_too_large_is_named(imported, tmp_path, monkeypatch):
    with pytest.raises(VisionpipeError, match=r"labels\.csv: no such file"):
        imported("table", tmp_path, **COLUMNS)
    (tmp_path / "labels.csv").write_text("image,label\n" * 10)
    monkeypatch.setattr("visionpipe.images.importers.places.MAX_DOCUMENT_BYTES", 100)
    with pytest.raises(VisionpipeError, match=r"labels\.csv: .* MB of labels are read at once"):
        imported("table", tmp_path, **COLUMNS)


def test_the_table_may_lie_elsewhere(imported, put, said, tmp_path):
    put(tmp_path / "photos", "1.png")
    (tmp_path / "labels.csv").write_text("image,label\n1.png,cat\n")
    photos = imported("table", tmp_path / "photos", **{**COLUMNS, "table": tmp_path / "labels.csv"})
    assert said(photos) == {"1.png": ["table: cat"]}
