"""A folder of photos is recognised for what it is, and where it could be several things, that is said."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from photo_files import class_folders, encode, picture
from visionpipe.errors import VisionpipeError
from visionpipe.images.importers import Source, iterate_photos
from visionpipe.images.layout import guess_layout
from visionpipe.images.use import look


def flat(root: Path, *names: str) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(encode(picture(seed, 40, 40), "PNG"))
    return root


def test_class_folders(tmp_path):
    layout = guess_layout(str(class_folders(tmp_path / "My pets", cat=2, dog=1)))
    assert layout.sources == {"my_pets": {"importer": "folder", "path": str(tmp_path / "My pets")}}
    assert (layout.description, layout.undecided) == ("class folders", None)


def test_class_folders_one_folder_down(tmp_path):
    class_folders(tmp_path / "images", cat=2, dog=1)
    layout = guess_layout(str(tmp_path), name="pets")
    assert layout.sources == {"pets": {"importer": "folder", "path": str(tmp_path / "images")}}


def test_train_and_test_folders_are_read_as_one_collection(tmp_path):
    for split in ("train", "val", "test"):
        class_folders(tmp_path / "pets" / split, cat=2, dog=1)
    layout = guess_layout(str(tmp_path / "pets"))
    assert layout.sources == {
        f"pets_{split}": {"importer": "folder", "path": str(tmp_path / "pets" / split)}
        for split in ("test", "train", "val")
    }
    assert "makes its own" in layout.notes[0]
    assert look(str(tmp_path / "pets")).survey.classes == {"cat": 6, "dog": 3}


def test_a_split_without_class_folders_is_left_out_and_that_is_said(tmp_path):
    class_folders(tmp_path / "pets/train", cat=2, dog=1)
    flat(tmp_path / "pets", "test/1.png", "test/2.png", "sample/3.png")
    layout = guess_layout(str(tmp_path / "pets"))
    assert layout.sources == {"pets_train": {"importer": "folder", "path": str(tmp_path / "pets/train")}}
    assert "nothing is read of: sample (1 image), test (2 images)" in layout.notes[0]


@pytest.mark.parametrize(
    "names",
    [
        ["train/1.png", "test/2.png"],
        ["train/1.png", "val/2.png", "sample/3.png"],
        ["images/train/1.png", "images/val/2.png"],  # YOLO
    ],
)
def test_splits_are_no_classes(names, tmp_path):
    layout = guess_layout(str(flat(tmp_path, *names)))
    assert layout.description == "images in splits without class folders"
    assert "which are no classes, and nothing that labels them" in layout.undecided


def test_a_train_is_a_class_among_other_vehicles(tmp_path):
    layout = guess_layout(str(class_folders(tmp_path / "traffic", train=2, bus=1)))
    assert (layout.description, layout.undecided) == ("class folders", None)


def test_what_programs_leave_behind_is_no_class(tmp_path):
    class_folders(tmp_path / "pets/train", cat=2, dog=1)
    flat(tmp_path / "pets", "__MACOSX/train/cat/00.png", ".ipynb_checkpoints/1.png", "train/.thumbs/1.png")
    assert look(str(tmp_path / "pets")).survey.classes == {"cat": 2, "dog": 1}


@pytest.mark.parametrize("column", ["label", "Category", "kind"])
def test_a_table_beside_the_images(column, tmp_path):
    """A column is the label by its name, or because its values are the folders' names."""
    class_folders(tmp_path, cat=2, dog=1)
    frame = pd.DataFrame(
        {"n": [1, 2, 3], "file": ["cat/00", "cat/01", "dog/00"], column: ["cat", "cat", "dog"]}
    )
    frame.to_csv(tmp_path / "labels.csv", index=False)
    layout = guess_layout(str(tmp_path), name="pets")
    table = {"importer": "table", "path": str(tmp_path), "table": "labels.csv"}
    assert layout.sources == {"pets": {**table, "path_column": "file", "label_column": column}}


def test_who_labelled_and_how_sure_are_claims_where_their_columns_are_named(tmp_path):
    flat(tmp_path, "1.png", "2.png")
    (tmp_path / "votes.csv").write_text("image,label,rater,certainty\n1,A,ann,0.9\n1,B,bob,0.6\n2,B,ann,1\n")
    found = look(str(tmp_path))
    assert found.survey.attributes == {"rater": 1, "certainty": 2}  # of each image's first row
    assert found.layout.notes == [
        "column 'rater' may say who labelled: --annotator-column rater makes each row a vote",
        "column 'certainty' may say how sure a label is: --confidence-column certainty trains on it (0 to 1)",
    ]
    options = {"annotator_column": "rater", "confidence_column": "certainty"}
    found = look(str(tmp_path), name="m", **options)
    assert (found.survey.attributes, found.layout.notes) == ({}, [])
    assert found.survey.trouble[0] == "1 contradictory label: 1.png (ann: A / bob: B)"
    [photo, _] = iterate_photos(Source(name="m", **found.layout.sources["m"]), datetime.now(UTC))
    assert [(claim.annotator, claim.label, claim.confidence) for claim in photo.claims] == [
        ("ann", "A", 0.9),
        ("bob", "B", 0.6),
    ]


def test_a_column_of_no_table_is_refused(tmp_path):
    class_folders(tmp_path, cat=2, dog=1)
    with pytest.raises(VisionpipeError, match=r"^--annotator-column: no document .* has such columns"):
        guess_layout(str(tmp_path), annotator_column="who")


def test_a_table_whose_label_is_not_clear_asks_for_it(tmp_path):
    flat(tmp_path, "1.png", "2.png")
    (tmp_path / "labels.csv").write_text("image,grade,site\n1,A,x\n2,B,y\n")
    layout = guess_layout(str(tmp_path))
    assert layout.undecided == (
        "labels.csv: which column holds the label? Say so with --label-column (there are: grade, site)"
    )
    decided = guess_layout(str(tmp_path), name="m", label_column="grade")
    assert decided.undecided is None
    assert decided.sources["m"]["label_column"] == "grade"
    with pytest.raises(VisionpipeError, match=r"labels\.csv: no column 'x' \(option `path_column`\)"):
        guess_layout(str(tmp_path), table="labels.csv", path_column="x")


def test_a_table_that_names_no_image_labels_nothing(tmp_path):
    class_folders(tmp_path, cat=2, dog=1)
    (tmp_path / "prices.csv").write_text("item,label\nmilk,cheap\n")
    assert guess_layout(str(tmp_path)).description == "class folders"


COCO = {
    "images": [{"id": 1, "file_name": "1.png"}],
    "annotations": [{"image_id": 1, "category_id": 1}],
    "categories": [{"id": 1, "name": "cat"}],
}
STUDIO = [{"data": {"photo": "1.png"}, "annotations": []}]
CVAT = '<annotations><image name="1.png"><tag label="cat"/></image></annotations>'


@pytest.mark.parametrize(
    ("name", "text", "source"),
    [
        ("a.json", json.dumps(COCO), {"importer": "coco", "annotations": "a.json"}),
        (
            "a.json",
            json.dumps(STUDIO),
            {"importer": "label_studio", "annotations": "a.json", "image_key": "photo"},
        ),
        ("sub/a.xml", CVAT, {"importer": "cvat", "annotations": "sub/a.xml"}),
    ],
    ids=["coco", "label studio", "cvat"],
)
def test_annotation_exports(name, text, source, tmp_path):
    flat(tmp_path, "1.png")
    (tmp_path / "sub").mkdir()
    (tmp_path / name).write_text(text)
    for path in (tmp_path, tmp_path / name):
        if path == tmp_path or "/" not in name:
            assert guess_layout(str(path), name="m").sources == {"m": {"path": str(tmp_path), **source}}


def test_images_inside_parquet(tmp_path):
    images = [{"bytes": encode(picture(seed), "PNG"), "path": None} for seed in range(3)]
    for name in ("train-0.parquet", "train-1.parquet"):
        pq.write_table(pa.table({"image": images, "label": ["a", "b", "a"]}), tmp_path / name)
    layout = guess_layout(str(tmp_path), name="m")
    assert layout.sources == {"m": {"importer": "image_parquet", "path": str(tmp_path)}}
    assert look(str(tmp_path)).survey.classes == {"a": 4, "b": 2}


def test_several_documents_are_named_and_one_must_be_chosen(tmp_path):
    flat(tmp_path, "1.png")
    (tmp_path / "a.json").write_text(json.dumps(COCO))
    (tmp_path / "b.csv").write_text("image,label\n1.png,cat\n")
    assert guess_layout(str(tmp_path)).undecided == (
        "several documents could label these images: a.json (COCO annotations), b.csv (table); "
        "choose one with --table"
    )
    assert guess_layout(str(tmp_path), name="m", table="b.csv").sources["m"]["importer"] == "table"


def test_a_document_that_cannot_be_read_is_noted_and_not_used(tmp_path):
    class_folders(tmp_path, cat=2, dog=1)
    (tmp_path / "a.json").write_text("{")
    (tmp_path / "b.parquet").write_bytes(b"PAR1")
    layout = guess_layout(str(tmp_path))
    assert layout.description == "class folders"
    assert [note.split(":")[0] for note in layout.notes] == ["a.json", "b.parquet"]
    with pytest.raises(VisionpipeError, match=r"a\.json: is no complete JSON document"):
        guess_layout(str(tmp_path), table="a.json")


def test_a_document_beside_each_image_is_no_layout(tmp_path):
    class_folders(tmp_path, cat=2, dog=30)
    for number in range(30):
        (tmp_path / f"dog/{number:02d}.json").write_text("{}")
    layout = guess_layout(str(tmp_path))
    assert (layout.description, layout.undecided) == ("class folders", None)
    assert layout.notes == ["30 documents lie beside the images and were not opened; --table names one"]


@pytest.mark.parametrize("names", [["1.png", "2.png"], ["photos/1.png", "photos/2.png"]])
def test_images_without_labels_are_undecided(names, tmp_path):
    layout = guess_layout(str(flat(tmp_path, *names)))
    assert layout.description == "images without labels"
    assert "2 images and nothing that labels them" in layout.undecided


@pytest.mark.parametrize("path", ["", "  "])
def test_no_path_is_not_the_working_directory(path, tmp_path, monkeypatch):
    monkeypatch.chdir(class_folders(tmp_path, cat=1, dog=1))
    with pytest.raises(VisionpipeError, match="PATH is empty"):
        guess_layout(path)


def test_a_folder_without_images(tmp_path):
    with pytest.raises(VisionpipeError, match="holds no file at all"):
        guess_layout(str(tmp_path))
    (tmp_path / "a.txt").touch()
    (tmp_path / "b.txt").touch()
    with pytest.raises(VisionpipeError, match=r"holds 2 files \(2 \.txt\), but no image"):
        guess_layout(str(tmp_path))
    with pytest.raises(VisionpipeError, match="gone is not a folder"):
        guess_layout(str(tmp_path / "gone"))
    with pytest.raises(VisionpipeError, match="x is not a folder"):
        guess_layout("~no-such-user/x")


def test_what_is_counted_and_what_is_trouble(tmp_path):
    root = class_folders(tmp_path, cat=12, dog=2)
    (root / "Dog").mkdir()
    (root / "Dog/00.png").write_bytes((root / "dog/00.png").read_bytes())
    (root / "stray.png").write_bytes(encode(picture(99), "PNG"))
    (root / "README.md").write_text("pets")
    survey = look(str(root)).survey
    files = [file for file in root.rglob("*.png")]
    assert (survey.n_images, survey.n_bytes) == (16, sum(file.stat().st_size for file in files))
    assert (survey.extensions, survey.classes) == ({".png": 16}, {"cat": 12, "dog": 2, "Dog": 1})
    assert survey.trouble == [
        "1 image without a label: stray.png",
        "1 other file: README.md",
        "2 files of one name and size in several folders, in 1 group: Dog/00.png, dog/00.png",
        "2 names that differ only in upper and lower case, in 1 group: Dog/00.png, dog/00.png",
        "2 classes with fewer than 10 images: Dog (1); dog (2) (kedro run stops at such, unless "
        "validation.min_images_per_class allows them)",
        "1 class spelled in several ways: Dog = dog",
    ]


def test_the_clothing_photos(clothing):
    found = look(str(clothing))
    told = pd.read_csv(clothing / "images.csv")
    assert found.layout.sources["clothing"] == {
        "importer": "table",
        "path": str(clothing),
        "table": "images.csv",
        "path_column": "image",
        "label_column": "label",
    }
    assert found.survey.classes == told["label"].str.lower().value_counts().to_dict()
    assert found.survey.attributes == told[["folder_label", "sender_id", "kids"]].nunique().to_dict()
    assert found.survey.n_bytes == sum(file.stat().st_size for file in clothing.glob("*/*.jpg"))
    assert found.survey.trouble[0].startswith("15 contradictory labels: dress/46e4c390")
    assert "--group-by sender_id" in found.layout.notes[-1]


def test_columns_named_like_our_own_are_left_out_and_that_is_said(tmp_path):
    flat(tmp_path, "1.png", "2.png")
    (tmp_path / "t.csv").write_text("file,label,width,split,site\n1,cat,3,train,A\n2,dog,3,test,B\n")
    found = look(str(tmp_path), name="m")
    assert found.layout.sources["m"]["attributes"] == ["site"]
    assert found.survey.attributes == {"site": 2}
    assert found.layout.notes == ["columns named like our own are left out: width, split"]
