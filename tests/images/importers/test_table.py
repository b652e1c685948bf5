"""A table beside the images is joined to them, and what does not fit is counted and named."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from photo_files import LABELS_CSV
from visionpipe.errors import VisionpipeError
from visionpipe.images.importers import LabelClaim
from visionpipe.images.importers.table import parse_table


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
    first, second = imported("table", tmp_path, **{**LABELS_CSV, "table": "labels.parquet"})
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
        imported("table", tmp_path, **LABELS_CSV)
    assert "\n" not in str(raised.value)


def test_a_header_of_very_many_columns_takes_no_longer_than_its_length():
    names = [f"c{number}" for number in range(100_000)]
    start = time.process_time()
    assert list(parse_table(",".join(names).encode(), "t.csv").columns) == names
    assert time.process_time() - start < 20  # and not some minutes


def test_a_truncated_parquet_table_is_said_in_one_line(imported, tmp_path):
    pd.DataFrame({"image": ["1.png"], "label": ["cat"]}).to_parquet(tmp_path / "labels.parquet")
    whole = (tmp_path / "labels.parquet").read_bytes()
    (tmp_path / "labels.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(VisionpipeError, match=r"labels\.parquet: cannot be read as Parquet"):
        imported("table", tmp_path, **{**LABELS_CSV, "table": "labels.parquet"})


@pytest.mark.parametrize(
    "values", [pa.array([b"caf\xe9"]).cast(pa.string(), safe=False), pa.array([2**62], pa.timestamp("us"))]
)
def test_a_parquet_value_that_is_no_value_is_said_in_one_line(values, imported, tmp_path):
    table = pa.table({"image": ["1.png"], "label": ["cat"], "seen": values})
    pq.write_table(table, tmp_path / "labels.parquet")
    with pytest.raises(VisionpipeError, match=r"labels\.parquet: cannot be read as Parquet"):
        imported("table", tmp_path, **{**LABELS_CSV, "table": "labels.parquet"})


def test_a_parquet_table_of_too_many_rows_is_refused_unread(imported, tmp_path):
    rows = pa.array(["1.png"]).take(pa.array([0] * 5_000_001))
    pq.write_table(pa.table({"image": rows, "label": rows}), tmp_path / "labels.parquet")
    assert (tmp_path / "labels.parquet").stat().st_size < 100_000
    with pytest.raises(
        VisionpipeError, match=r"labels\.parquet: cannot be read as Parquet: 5,000,001 rows in a file of"
    ):
        imported("table", tmp_path, **{**LABELS_CSV, "table": "labels.parquet"})


def test_blanks_around_an_attribute_are_no_part_of_it(table):
    photos = table(
        "image,label,sender\n1.png,cat,A12\n2.png,cat,A12 \n3.png,cat, \n", "1.png", "2.png", "3.png"
    )
    assert [photo.attributes for photo in photos] == [{"sender": "A12"}, {"sender": "A12"}, {}]


def test_a_table_that_is_not_there_or_too_large_is_named(imported, tmp_path, monkeypatch):
    with pytest.raises(VisionpipeError, match=r"labels\.csv: no such file"):
        imported("table", tmp_path, **LABELS_CSV)
    (tmp_path / "labels.csv").write_text("image,label\n" * 10)
    monkeypatch.setattr("visionpipe.images.importers.places.MAX_DOCUMENT_BYTES", 100)
    with pytest.raises(VisionpipeError, match=r"labels\.csv: .* MB of labels are read at once"):
        imported("table", tmp_path, **LABELS_CSV)


def test_the_table_may_lie_elsewhere(imported, put, said, tmp_path):
    put(tmp_path / "photos", "1.png")
    (tmp_path / "labels.csv").write_text("image,label\n1.png,cat\n")
    photos = imported("table", tmp_path / "photos", **{**LABELS_CSV, "table": tmp_path / "labels.csv"})
    assert said(photos) == {"1.png": ["table: cat"]}
