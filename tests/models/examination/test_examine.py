"""The examination measures all parts of a model, tells them as plain JSON, and leaves out what is switched off."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime

import numpy as np
import pytest
from PIL import Image

from photo_sets import good_candidate, one_sided, photo_set
from visionpipe.errors import VisionpipeError
from visionpipe.images.importers import Photo
from visionpipe.metrics.parameters import EvaluationParameters
from visionpipe.models.candidate import predict_split
from visionpipe.models.examination.corruptions import CORRUPTIONS
from visionpipe.models.examination.examine import examine, spread_sample
from visionpipe.models.examination.pictures import example_pictures
from visionpipe.models.examination.shortcuts import hide
from visionpipe.models.examination.unrelated import unrelated_pictures

CLASSES = ["blue", "red"]
SMALL = {"images": 2, "attacked_images": 2, "pgd_steps": 2, "unrelated_images": 6, "timed_predictions": 3}


def parameters(**examination):
    return EvaluationParameters(resamples=200, examination={**SMALL, **examination})


@pytest.fixture(scope="module")
def photos():
    return photo_set(train=20, validation=8, test=12)


@pytest.fixture(scope="module")
def images(photos):
    return photos.prepared(64)


@pytest.fixture(scope="module")
def candidate(photos):
    return good_candidate(photos)


@pytest.fixture(scope="module")
def predictions(candidate, photos, images):
    return predict_split(candidate, photos.manifest, images, "test")


@pytest.fixture(scope="module")
def examined(candidate, photos, predictions, images):
    def run(model=candidate, rows=predictions, unrelated=(), **examination):
        return examine(
            model.classifier, photos.manifest, rows, images, list(unrelated), parameters(**examination)
        )

    return run


@pytest.fixture(scope="module")
def full(examined):
    """Of all 24 test images, though more are asked for."""
    return examined(images=10_000)


def a_photo(data, name="x.png"):
    return Photo(
        path=name,
        n_bytes=len(data),
        mtime_ns=0,
        read=lambda: data,
        source="odd",
        arrived_at=datetime(2026, 1, 5, tzinfo=UTC),
    )


def png(colour):
    file = io.BytesIO()
    Image.new("RGB", (70, 50), colour).save(file, "PNG")
    return file.getvalue()


def test_everything_is_measured_and_is_json(full):
    found = json.loads(json.dumps(full, allow_nan=False))
    assert found["sample"]["n"] == 24
    assert set(found["corruptions"]) == {"blur", "noise", "dark", "bright", "jpeg", "fog", "rotation"}
    for entries in found["corruptions"].values():
        assert [entry["strength"] for entry in entries] == [1, 2, 3, 4, 5]
        assert all(entry["low"] <= entry["estimate"] <= entry["high"] for entry in entries)
        assert {entry["n"] for entry in entries} == {24}
    assert [entry["epsilon"] for entry in found["adversarial"]["pgd"]] == [0.5, 1.0, 2.0, 4.0]
    assert found["out_of_distribution"]["origin"].startswith("drawn: ")
    assert found["speed"]["latency_ms_p95"] >= found["speed"]["latency_ms_p50"] > 0
    assert {entry["name"] for entry in found["shortcuts"]} == {"border of the photo", "camera"}


def test_but_for_the_clock_the_same_model_gives_the_same_examination(examined, predictions):
    first, second = examined(), examined(rows=predictions.sample(frac=1, random_state=3))
    assert first.pop("speed").keys() == second.pop("speed").keys()
    assert first == second


def test_each_part_can_be_switched_off(examined):
    off = {"images": 0, "timed_predictions": 0, "shortcut_images": 0}
    found = examined(**off)
    parts = ("corruptions", "surely_worse_from", "adversarial", "out_of_distribution", "hidden", "speed")
    assert [found[part] for part in (*parts, "shortcuts", "mean_corruption_accuracy")] == [None] * 8
    assert found["sample"] == {"n": 0, "accuracy": None}
    assert found["size"]["parameters"] > 1e6
    assert examined(**off, epsilons=[])["adversarial"] is None
    found = examined(unrelated_images=0, attacked_images=0)
    assert (found["out_of_distribution"], found["adversarial"]) == (None, None)


def test_a_model_that_always_says_the_same_is_robust_at_the_level_of_guessing(examined, candidate):
    found = examined(one_sided(candidate), images=4)
    assert {entry["estimate"] for entries in found["corruptions"].values() for entry in entries} == {0.5}
    assert found["mean_corruption_accuracy"] == 0.5
    assert set(found["surely_worse_from"].values()) == {None}
    auroc = found["out_of_distribution"]["max_probability"]["auroc"]
    assert auroc["estimate"] == pytest.approx(0.5)


def test_a_turn_leaves_the_tint_that_tells_the_classes(full):
    assert full["sample"]["accuracy"]["estimate"] == 1
    assert [entry["estimate"] for entry in full["corruptions"]["rotation"]] == [1.0] * 5
    assert full["surely_worse_from"]["rotation"] is None


def test_the_users_own_photos_take_the_place_of_drawn_ones(examined):
    own = [a_photo(png((0, 250, 0))), a_photo(b"no photo", "broken.jpg"), a_photo(png((250, 250, 0)))]
    found = examined(unrelated=own)["out_of_distribution"]
    assert found["n"] == 2
    assert found["origin"] == "2 photos of your own (catalog entry unrelated_photos)"


def test_photos_of_which_none_can_be_read_are_an_error_that_says_what_to_do():
    with pytest.raises(
        VisionpipeError, match="unrelated_photos: none of 1 files can be read as a photo; give"
    ):
        unrelated_pictures([a_photo(b"no photo")], 3, 32, seed=0)


def test_of_many_photos_some_are_drawn_by_lot():
    photos = [a_photo(png((shade, 0, 0)), f"{shade}.png") for shade in range(40)]
    first, second = (unrelated_pictures(photos, 5, 8, seed)[0][:, 0, 0, 0] for seed in (0, 1))
    assert len(set(first.tolist())) == 5
    assert set(first.tolist()) != set(second.tolist())


def test_energy_is_not_judged_where_predictions_are_means_of_passes(examined, photos):
    found = examined(good_candidate(photos, dropout=0.2, calibration={"mc_dropout_passes": 3}))
    energy = found["out_of_distribution"]["energy"]
    assert energy["auroc"]["estimate"] is None
    assert energy["auroc"]["reason"].startswith(
        "with mc_dropout_passes, logits are logarithms of a mean prob"
    )
    assert energy["auroc"]["n"] == found["out_of_distribution"]["max_probability"]["auroc"]["n"]
    assert found["out_of_distribution"]["max_probability"]["auroc"]["estimate"] is not None


def test_the_sample_is_spread_over_classes_and_over_how_sure_the_model_is(predictions):
    unsure = predictions.assign(
        probabilities=[
            np.array([p, 1 - p]) if label == "blue" else np.array([1 - p, p])
            for label, p in zip(predictions["label"], np.linspace(0.01, 0.99, len(predictions)), strict=True)
        ]
    )
    for seed in range(20):
        sample = spread_sample(unsure, 8, CLASSES, seed)
        assert sample["label"].value_counts().to_dict() == {"blue": 4, "red": 4}
        truth = [
            row[CLASSES.index(label)]
            for row, label in zip(sample["probabilities"], sample["label"], strict=True)
        ]
        assert np.mean(truth) == pytest.approx(0.5, abs=0.13)
        assert sample["image_id"].is_unique


def test_every_image_has_the_same_chance_of_being_examined(predictions):
    drawn = [spread_sample(predictions, 5, CLASSES, seed)["image_id"].tolist() for seed in range(600)]
    counts = np.unique(np.concatenate(drawn), return_counts=True)[1]
    assert len(counts) == len(predictions)
    expected, spread = 600 * 5 / 24, np.sqrt(600 * (5 / 24) * (19 / 24))
    assert np.abs(counts - expected).max() < 4.5 * spread


def test_what_is_hidden_is_its_mean_colour_and_the_rest_is_untouched(images):
    pixels = images.pixels_NHWC[:2]
    inner = np.zeros((64, 64), dtype=bool)
    inner[10:54, 10:54] = True
    for centre in (True, False):
        result, covered = hide(pixels, 0.15, centre=centre), inner if centre else ~inner
        np.testing.assert_array_equal(result[:, ~covered], pixels[:, ~covered])
        for photo, before in zip(result, pixels, strict=True):
            assert len(np.unique(photo[covered], axis=0)) == 1
            np.testing.assert_allclose(photo[covered][0], before[covered].mean(axis=0), atol=0.5)
    assert hide(pixels[:, :3, :3], 0.49, centre=True).shape == (2, 3, 3, 3)


def test_there_is_a_picture_of_each_corruption(predictions, images):
    shown = example_pictures(predictions, CLASSES, images, [], parameters())
    captions = [picture["caption"] for picture in shown["corruptions"]]
    assert captions == ["as it is", *(f"{name} 3" for name in CORRUPTIONS)]
    assert len(shown["hidden"]) == 2
    assert len(shown["unrelated"]) == 6
    pictures = [picture["thumbnail"] for part in shown.values() for picture in part]
    assert len(set(pictures)) == len(pictures)
    off = example_pictures(predictions, CLASSES, images, [], parameters(images=0))
    assert off == {"corruptions": [], "hidden": [], "unrelated": []}
