"""A copy to the byte obeys the rules of groups and holdouts that a copy of other bytes obeys."""

from __future__ import annotations

import io
import itertools
from dataclasses import replace

import pandas as pd
import pytest
from PIL import Image

from photo_files import encode, picture
from visionpipe.images.importers import LabelClaim, Photo
from visionpipe.images.parameters import IngestionParameters

ADA_AND_BOB = IngestionParameters(workers=1, split={"group_by": "patient", "test": 0.4, "validation": 0.2})
NEW_CAMERA = IngestionParameters(workers=1, split={"holdout": {"camera": ["new"]}})


def again(data: bytes) -> bytes:
    return encode(Image.open(io.BytesIO(data)), "JPEG", quality=80)


@pytest.fixture
def taken(tmp_path, listed):
    """Photos of these bytes, in this order, each with its attributes."""

    def list_photos(*rows: tuple[bytes, dict[str, str]], first: int = 0) -> list[Photo]:
        folder = tmp_path / "photos/cat"
        folder.mkdir(parents=True, exist_ok=True)
        for number, (data, _) in enumerate(rows, first):
            (folder / f"{number:03d}.jpg").write_bytes(data)
        photos = {photo.path: photo for photo in listed(tmp_path / "photos")}
        return [
            replace(photos[f"cat/{number:03d}.jpg"], attributes=said)
            for number, (_, said) in enumerate(rows, first)
        ]

    return list_photos


def jpeg(seed: int) -> bytes:
    return encode(picture(seed), "JPEG", quality=92)


@pytest.mark.parametrize(
    ("parameters", "before", "after"),
    [
        (NEW_CAMERA, itertools.repeat({"camera": "old"}), itertools.repeat({"camera": "new"})),
        (
            ADA_AND_BOB,
            ({"patient": f"P{n}"} for n in range(20)),
            ({"patient": f"P{n}"} for n in range(1, 21)),
        ),
    ],
    ids=["holdout", "group"],
)
def test_as_many_copies_are_refused_whether_they_were_encoded_again_or_not(
    parameters, before, after, tmp_path, taken, warehouse
):
    before, after = list(itertools.islice(before, 20)), list(itertools.islice(after, 20))
    refused, splits = [], []
    for name, copy in (("exact", bytes), ("encoded again", again)):
        photos = taken(
            *((jpeg(seed), said) for seed, said in enumerate(before)),
            *((copy(jpeg(seed)), said) for seed, said in enumerate(after)),
        )
        alone = replace(warehouse, root=tmp_path / name)
        alone.take_in(photos, parameters)
        refused.append(alone.quarantine(parameters)[["path", "reason"]].to_numpy().tolist())
        first = alone.images.drop_duplicates("path").set_index("path")["image_id"]
        manifest = alone.manifest(parameters).set_index("image_id")["split"]
        splits.append(manifest[first[[f"cat/{number:03d}.jpg" for number in range(20)]]].tolist())
        assert alone.take_in(photos, parameters) == [([], [], [])]
        assert {reason for _, reason in refused[-1]} == {"group_spans_splits"}
    assert refused[0] == refused[1]
    assert splits[0] == splits[1]


def test_a_patient_who_is_named_by_a_copy_stays_in_the_split_of_its_image(taken, warehouse):
    alone = [(jpeg(seed), {"patient": "Ada"}) for seed in range(1)]
    copied = [(jpeg(0), {"patient": "Bob"})]
    later = [(jpeg(seed), {"patient": "Bob"}) for seed in range(1, 25)]
    photos = taken(*alone, *copied)
    warehouse.take_in(photos, ADA_AND_BOB)
    assert len(warehouse.images) == 1
    assert warehouse.images["further_attributes"].tolist() == [(("patient", "Bob"),)]
    before = warehouse.manifest(ADA_AND_BOB)
    photos += taken(*later, first=2)
    warehouse.take_in(photos, ADA_AND_BOB)
    manifest = warehouse.manifest(ADA_AND_BOB)
    assert len(manifest) == 25
    assert set(manifest["split"]) == set(before["split"])
    assert manifest["group_id"].nunique() == 1
    assert manifest.set_index("image_id")["patient"][before["image_id"][0]] == "Ada"
    assert warehouse.images["first_split"].tolist() == before["split"].tolist() * 25
    assert warehouse.take_in(photos, ADA_AND_BOB) == [([], [], [])]


def test_a_photo_whose_rows_name_patients_of_two_splits_is_refused(taken, warehouse):
    of_each = [(jpeg(seed), {"patient": f"P{seed}"}) for seed in range(12)]
    photos = taken(*of_each)
    [shared] = taken((jpeg(99), {"patient": "P0"}), first=12)
    others = tuple({"patient": f"P{number}"} for number in range(1, 12))
    warehouse.take_in([*photos, replace(shared, further_attributes=others)], ADA_AND_BOB)
    assert warehouse.quarantine(ADA_AND_BOB)[["path", "reason"]].to_numpy().tolist() == [
        ["cat/012.jpg", "group_spans_splits"]
    ]


def test_a_photo_whose_rows_name_new_patients_ties_them_together(taken, warehouse):
    [shared] = taken((jpeg(99), {"patient": "P0"}))
    shared = replace(shared, further_attributes=({"patient": "P1"}, {"patient": "P2", "age": "7"}))
    warehouse.take_in([shared], ADA_AND_BOB)
    rest = taken(*((jpeg(seed), {"patient": f"P{seed % 3}"}) for seed in range(12)), first=1)
    warehouse.take_in([shared, *rest], ADA_AND_BOB)
    manifest = warehouse.manifest(ADA_AND_BOB)
    assert len(manifest) == 13
    assert manifest["group_id"].nunique() == 1
    assert set(manifest.columns).isdisjoint({"further_attributes", "age"})


def test_a_label_that_a_refused_copy_brings_is_not_taken(taken, warehouse):
    photos = taken(*((jpeg(seed), {"camera": "old"}) for seed in range(12)))
    copies = taken(*((jpeg(seed), {"camera": "new"}) for seed in range(12)), first=12)
    warehouse.take_in([*photos, *(replace(copy, claims=(LabelClaim("dog"),)) for copy in copies)], NEW_CAMERA)
    manifest = warehouse.manifest(NEW_CAMERA)
    assert set(manifest[manifest["split"] != "test"]["label"]) == {"cat"}


def test_a_file_that_was_touched_is_no_copy_of_itself(taken, warehouse):
    photos = taken(*((jpeg(seed), {"patient": f"P{seed % 4}"}) for seed in range(8)))
    warehouse.take_in(photos, ADA_AND_BOB)
    before = warehouse.manifest(ADA_AND_BOB)
    [chunk] = warehouse.take_in([replace(photo, mtime_ns=1) for photo in photos], ADA_AND_BOB)
    assert (len(chunk.images), len(chunk.files)) == (0, 8)
    pd.testing.assert_frame_equal(warehouse.manifest(ADA_AND_BOB), before)


def test_what_a_copy_said_is_no_image_when_the_image_is_lost(taken, warehouse):
    photos = taken(
        (jpeg(0), {"patient": "Ada"}), (jpeg(0), {"patient": "Bob"}), (jpeg(1), {"patient": "Eve"})
    )
    one_by_one = ADA_AND_BOB.model_copy(update={"chunk_images": 1})
    warehouse.take_in(photos, one_by_one)
    before = warehouse.manifest(ADA_AND_BOB)
    sorted((warehouse.root / "images").iterdir())[0].unlink()
    assert len(warehouse.images) == 1
    warehouse.take_in(photos, one_by_one)
    pd.testing.assert_frame_equal(warehouse.manifest(ADA_AND_BOB), before)
