"""Labels are joined to images where that is certain, and whatever does not fit is counted and named."""

from __future__ import annotations

import logging

import pandas as pd
import pytest

from visionpipe.images.importers import LabelClaim


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
    assert "belongs to a row that names it in full" in photos[-1].refusal[1]


def test_a_row_that_names_another_folder_that_is_there_does_not_label_an_image_elsewhere(table, said):
    photos = table("image,label\ntrain/7.png,cat\ntrain/8.png,dog\n", "train/8.png", "test/7.png")
    assert said(photos) == {"train/8.png": ["table: dog"], "test/7.png": [], "train/7.png": ["! no_image"]}
    assert "there is a folder train, without it" in photos[-1].refusal[1]


def test_an_image_further_down_in_the_folder_that_is_named_is_meant(table, said):
    photos = table("image,label\ntrain/7.png,cat\n", "train/8.png", "train/a/7.png", folder_labels=False)
    assert said(photos) == {"train/8.png": [], "train/a/7.png": ["table: cat"]}


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


def test_rows_that_name_other_patients_are_all_kept_and_the_first_is_the_photo_s_own(table):
    rows = ("1.png,cat,Ada,A", "1.png,cat,Bob,A", "1.png,cat,,A", "2.png,cat,Eve,B", "2.png,cat,Eve,B")
    lines = "\n".join(["image,label,patient,site", *rows])
    first, second = table(lines, "1.png", "2.png")
    assert first.attributes == {"patient": "Ada", "site": "A"}
    assert first.further_attributes == ({"patient": "Bob"},)
    assert second.further_attributes == ()


def test_a_document_writes_nothing_that_a_terminal_obeys(table, said, caplog):
    """A row finds the photo whose name holds such characters; nothing that is told of either holds them raw."""
    caplog.set_level(logging.INFO, "visionpipe")
    lines = (
        'image,label,sure\n"two\nlines.png",cat\x1b[2J,1\n"gone\x1b[2J.png",dog,1\n'
        '3.png,"dog\n12:00 INFO all well",1\n3.png,DOG\u202e,1\n4.png,dog,"\x1b[2J"\n'
    )
    photos = table(lines, "two\nlines.png", "3.png", "4.png", confidence_column="sure")
    assert said(photos) == {
        "3.png": [r"table: dog\n12:00 INFO all well", r"table: DOG\u202e"],
        "4.png": ["! bad_row"],
        r"two\nlines.png": [r"table: cat\x1b[2J"],
        r"gone\x1b[2J.png": ["! no_image"],
    }
    told = [*caplog.messages, *(photo.refusal[1] for photo in photos if photo.refusal)]
    assert all(line.isprintable() for line in told)


class TestFolderLabels:
    """Images lie in class folders and a table labels them too."""

    LINES = "image,label\n1.png,Big Cat\n2.png,Big Cat\n3.png,dog\n"
    PATHS = ("big_cat/1.png", "big_cat/2.png", "big_cat/3.png")

    def test_the_folder_is_a_slightly_weaker_claim_in_its_own_spelling(self, table):
        assert [photo.claims for photo in table(self.LINES, *self.PATHS)] == [
            (LabelClaim("big_cat", 0.999, "folder"), LabelClaim("big_cat", 1.0, "table")),
            (LabelClaim("big_cat", 0.999, "folder"), LabelClaim("big_cat", 1.0, "table")),
            (LabelClaim("big_cat", 0.999, "folder"), LabelClaim("dog", 1.0, "table")),
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
        "1 image without a row (3.png), 1 contradictory label (1.png: cat / dog), 1 other file (README.md)"
    )


def test_a_join_where_all_fits_is_no_warning(table, caplog):
    with caplog.at_level(logging.INFO, "visionpipe"):
        table("image,label\n1.png,cat\n", "1.png")
    assert [record.levelname for record in caplog.records] == ["INFO"]
