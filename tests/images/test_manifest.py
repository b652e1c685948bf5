"""The manifest is a pure function of image store and label history, and no image in it ever changes split."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from photo_files import class_folders
from visionpipe.errors import VisionpipeError
from visionpipe.images import store
from visionpipe.images.file_index import build_quarantine
from visionpipe.images.manifest import attribute_columns, build_manifest, telling_columns
from visionpipe.images.parameters import IngestionParameters, SplitParameters

START = datetime(2026, 1, 5, tzinfo=UTC)
CONTRACT = """
    image_id label label_confidence rival_labels n_annotators source captured_at arrived_at width height format n_bytes
    brightness contrast sharpness perceptual_hash group_id split label_origin entropy flags contradicted
    """


def image_id(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def image(number: int, *copies: int, **attributes: str) -> dict:
    """An image that is a near-duplicate of others, given by their numbers."""
    return {
        "image_id": image_id(number),
        "source": "mine",
        "path": f"cat/{number}.png",
        "n_bytes": 10,
        "original_sha256": image_id(number),
        "flags": (),
        "duplicate_of": [(image_id(copy), "near") for copy in copies],
        "attributes": list(attributes.items()),
        "further_attributes": (),
    }


def index(*rows: dict) -> pd.DataFrame:
    names = [name for name in store.IMAGE_SCHEMA.names if name != "image"]
    return pd.DataFrame(list(rows), columns=[*names, "path", "shard", "row", "further_attributes"])


def sharing(**split) -> IngestionParameters:
    return IngestionParameters(split=SplitParameters(**split))


def label(number: int, name: str = "cat", day: int = 0, **more) -> dict:
    row = {
        "image_id": image_id(number),
        "label": name,
        "label_confidence": 1.0,
        "annotator": "import",
        "labelled_at": START + timedelta(days=day),
        "origin": "import",
        "selection": None,
    }
    return {**row, **more}


def history(*rows: dict) -> pd.DataFrame:
    frame = pd.DataFrame(list(rows), columns=store.LABEL_SCHEMA.names)
    return frame.astype({"labelled_at": "datetime64[us, UTC]"})


def test_the_columns_are_the_contract(tmp_path, listed, warehouse):
    warehouse.take_in(listed(class_folders(tmp_path / "photos", cat=3)))
    manifest = warehouse.manifest()
    assert set(manifest.columns) == set(CONTRACT.split())
    assert attribute_columns(manifest) == []
    assert manifest["image_id"].is_monotonic_increasing
    assert set(manifest["split"]) <= {"train", "validation", "test"}
    assert manifest["label_origin"].tolist() == ["import"] * 3
    assert manifest["n_annotators"].dtype == "int64"


def test_the_same_tables_give_the_same_manifest(tmp_path, listed, warehouse):
    warehouse.take_in(listed(class_folders(tmp_path / "photos", cat=5)))
    pd.testing.assert_frame_equal(warehouse.manifest(), warehouse.manifest())


def test_an_image_without_a_label_is_listed_as_kept_out_and_changes_no_column_type():
    images = index(image(1), image(2))
    manifest = build_manifest(images, history(label(1)), sharing())
    assert manifest["image_id"].tolist() == [images["image_id"][0]]
    assert manifest["n_annotators"].dtype == "int64"
    files = pd.DataFrame(columns=store.FILE_SCHEMA.names)
    quarantine = build_quarantine(files, images, history(label(1)), manifest)
    assert quarantine[["path", "reason"]].to_numpy().tolist() == [["cat/2.png", "no_label"]]


def test_an_image_that_would_tie_two_splits_together_is_listed_as_kept_out():
    by_split: dict[str, int] = {}
    for number in range(50):
        [split] = build_manifest(index(image(number)), history(label(number)), sharing())["split"]
        by_split.setdefault(split, number)
    train, test = by_split["train"], by_split["test"]
    images = index(image(train, sender="ada"), image(test, sender="bob"), image(99, train, sender="bob"))
    labels = history(label(train), label(test), label(99))
    manifest = build_manifest(images, labels, sharing(group_by="sender"))
    assert set(manifest["split"]) == {"train", "test"}
    quarantine = build_quarantine(pd.DataFrame(columns=store.FILE_SCHEMA.names), images, labels, manifest)
    assert quarantine[["path", "reason"]].to_numpy().tolist() == [["cat/99.png", "group_spans_splits"]]


def test_a_split_column_that_no_image_has_is_named():
    images, labels = index(image(1, camera="new")), history(label(1))
    for parameters in (sharing(group_by="sender"), sharing(holdout={"sender": ["ada"]})):
        with pytest.raises(VisionpipeError, match="no image has an attribute 'sender'; there are: camera"):
            build_manifest(images, labels, parameters)


selections = st.sampled_from([None, "random_audit", "uncertain"])
events = st.lists(
    st.tuples(
        st.integers(0, 5),  # which image
        st.sampled_from(["import", "review", "correction"]),
        selections,
        st.sampled_from(["cat", "dog"]),
        st.integers(-30, 30),  # labelled so many days before or after the start
    ),
    min_size=6,
    max_size=24,
)


@settings(max_examples=80)
@given(events=events, copies=st.lists(st.integers(0, 5), min_size=6, max_size=6), data=st.data())
def test_no_label_that_comes_later_moves_an_image_to_another_split(events, copies, data):
    """Labels and images come in, one after another; what was in the manifest half-way is where it was at the end."""
    labels = [
        label(number, name, day, origin=origin, selection=selection, annotator=f"who-{day % 3}")
        for number, origin, selection, name, day in events
    ]
    images = [image(number, copies[number]) for number in dict.fromkeys(event[0] for event in events)]

    def splits_after(count: int) -> dict[str, str]:
        present = {row["image_id"] for row in labels[:count]}
        shown = index(*(row for row in images if row["image_id"] in present))
        manifest = build_manifest(shown, history(*labels[:count]), sharing(validation=0.3, test=0.4))
        return dict(zip(manifest["image_id"], manifest["split"], strict=True))

    before = splits_after(data.draw(st.integers(1, len(labels))))
    after = splits_after(len(labels))
    assert {image_id: after.get(image_id) for image_id in before} == before


def test_a_column_that_repeats_the_label_tells_nothing_of_the_images():
    labels = ["Dress", "Shoes"] * 10
    columns = {"label": labels, "folder": [label.lower() for label in labels], "camera": ["c1", "c2"] * 10}
    manifest = pd.DataFrame(columns)
    manifest.loc[0, "label"] = "Shoes"  # corrected since
    assert attribute_columns(manifest) == ["folder", "camera"]
    assert telling_columns(manifest) == ["camera"]  # which may be a shortcut: its values are not the classes
    assert telling_columns(manifest[:0]) == ["folder", "camera"]
