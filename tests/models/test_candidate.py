"""A candidate is a model with its papers: what it predicts, what it has seen, how it was trained."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import log_softmax, softmax

from photo_sets import good_candidate, parameters, photo_set, saved
from visionpipe.errors import VisionpipeError
from visionpipe.images.manifest import attribute_columns, describe_manifest
from visionpipe.models import processes
from visionpipe.models.candidate import (
    describe_model,
    load_candidate,
    predict_manifest,
    predict_split,
    save_candidate,
)

PAPERS = {"weights.safetensors", "model.json", "reference.parquet", "seen.parquet", "curves.json"}


@pytest.fixture(scope="module")
def photos():
    return photo_set(train=10, validation=12, test=5, labels=("blue", "green"), seed=5)


@pytest.fixture(scope="module")
def candidate(photos):
    return good_candidate(photos, mode="finetune", epochs=1, probe_epochs=2, deferral_accuracy=0.8)


def test_a_candidate_comes_back_as_it_was(candidate, photos, tmp_path):
    save_candidate(candidate, tmp_path)
    loaded = load_candidate(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == PAPERS
    pd.testing.assert_frame_equal(loaded.seen, candidate.seen)
    assert loaded.curves == candidate.curves
    assert loaded.classifier.spec == candidate.classifier.spec
    plain = ["image_id", "label", "predicted_label", "confidence", "brightness", "camera"]
    pd.testing.assert_frame_equal(loaded.reference[plain], candidate.reference[plain])
    for column in ("probabilities", "embedding"):
        np.testing.assert_array_equal(
            np.stack(loaded.reference[column]), np.stack(candidate.reference[column])
        )
    prepared = photos.prepared(64)
    np.testing.assert_array_equal(
        predict_manifest(loaded.classifier, photos.manifest, prepared).logits_NK,
        predict_manifest(candidate.classifier, photos.manifest, prepared).logits_NK,
    )


def test_it_says_what_it_was_made_from(candidate, tmp_path):
    origin = {"data": {"manifest_md5": "37"}, "provenance": {"git_commit": "abc"}}
    save_candidate(replace(candidate, origin=origin), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == PAPERS | {"origin.json"}
    assert load_candidate(tmp_path).origin == origin


def test_it_has_seen_training_and_validation_and_nothing_of_the_test(candidate, photos):
    by_split = photos.manifest.groupby("split")["image_id"].agg(set)
    assert set(candidate.seen["image_id"]) == by_split["train"] | by_split["validation"]
    assert not set(candidate.seen["image_id"]) & by_split["test"]
    assert list(candidate.seen) == ["image_id", "group_id", "split"]


def test_its_reference_is_its_calibrated_predictions_on_validation(candidate, photos):
    validation = photos.manifest[photos.manifest["split"] == "validation"]
    reference = candidate.reference
    assert reference["image_id"].tolist() == validation["image_id"].tolist()
    found = predict_manifest(candidate.classifier, validation, photos.prepared(64))
    expected_NK = softmax(found.logits_NK.astype(float) / candidate.classifier.spec.temperature, axis=1)
    np.testing.assert_allclose(np.stack(reference["probabilities"]), expected_NK)
    np.testing.assert_allclose(reference["confidence"], expected_NK.max(axis=1))
    assert np.stack(reference["embedding"]).shape == (len(validation), 32)
    np.testing.assert_array_equal(reference["sharpness"], validation["sharpness"])
    assert reference["camera"].tolist() == validation["camera"].tolist()


def test_its_temperature_is_the_best_of_all_on_validation(candidate, photos):
    validation = photos.manifest[photos.manifest["split"] == "validation"]
    logits_NK = predict_manifest(candidate.classifier, validation, photos.prepared(64)).logits_NK
    labels_N = (validation["label"] == "green").to_numpy().astype(int)

    def likelihood(temperature):
        return log_softmax(logits_NK.astype(float) / temperature, axis=1)[
            np.arange(len(labels_N)), labels_N
        ].mean()

    fitted = candidate.classifier.spec.temperature
    assert likelihood(fitted) >= max(map(likelihood, np.geomspace(0.05, 20, 400))) - 1e-6


def test_deferral_keeps_the_accuracy_that_is_wanted(candidate):
    reference, threshold = candidate.reference, candidate.classifier.spec.deferral_confidence
    kept = reference[reference["confidence"] >= threshold]
    assert (kept["label"] == kept["predicted_label"]).sum() / (len(kept) + 1) >= 0.8


@pytest.mark.parametrize("without", ["most of them", "a class"])
def test_on_too_few_validation_photos_nothing_is_calibrated_and_everything_deferred(without, photos, caplog):
    manifest = photos.manifest
    validation = manifest["split"] == "validation"
    chosen = manifest["label"] == "blue" if without == "a class" else manifest["image_id"] > "b"
    few = replace(photos, manifest=manifest[~validation | chosen])
    candidate = good_candidate(few, probe_epochs=1)
    assert "every prediction is deferred to a person" in caplog.text
    spec = candidate.classifier.spec
    assert (spec.temperature, spec.deferral_confidence) == (1.0, None)
    assert spec.defers(candidate.reference["confidence"]).all()


def test_a_split_is_predicted_in_the_manifests_order_whatever_the_arrays(candidate, photos):
    prepared = photos.prepared(64)
    shuffled = photos.manifest.sample(frac=1, random_state=3)
    one = predict_split(candidate, photos.manifest, prepared, "test").set_index("image_id")["confidence"]
    other = predict_split(candidate, shuffled, prepared, "test").set_index("image_id")["confidence"]
    np.testing.assert_allclose(other[one.index], one, rtol=1e-6)


def test_an_empty_split_is_named(candidate, photos):
    rest = photos.manifest[photos.manifest["split"] != "test"]
    with pytest.raises(
        VisionpipeError, match=r"no image fell into the test split: .* ingestion\.split\.test"
    ):
        predict_split(candidate, rest, photos.prepared(64), "test")


def test_the_facts_of_a_model_and_its_data_can_be_written_as_json(candidate, photos):
    facts = json.loads(json.dumps(describe_model(candidate), allow_nan=False))
    assert facts["backbone"] == "efficientnet-lite0"
    assert facts["epochs"] == 1
    assert facts["n_parameters"] == 4_652_008 - 1000 * 1281 + 2 * 1281  # Lite0, its head exchanged
    assert describe_manifest(photos.manifest) == {
        "train": {"blue": 10, "green": 10},
        "validation": {"blue": 12, "green": 12},
        "test": {"blue": 5, "green": 5},
    }
    no_test = photos.manifest[photos.manifest["split"] != "test"]
    assert "test" not in describe_manifest(no_test)


def test_the_users_columns_are_kept(candidate, photos):
    assert attribute_columns(photos.manifest) == ["camera"]
    assert "camera" in candidate.reference


@pytest.mark.parametrize("name", sorted(PAPERS))
@pytest.mark.parametrize("damage", ["absent", "cut", "garbage"])
def test_a_damaged_paper_is_refused_in_one_line(candidate, name, damage, tmp_path):
    path = saved(candidate, tmp_path / "candidate") / name
    data = path.read_bytes()
    path.unlink()
    if damage != "absent":
        path.write_bytes(data[: len(data) // 2] if damage == "cut" else b"\x00\xff" * 200)
    with pytest.raises(VisionpipeError, match=r"cannot be loaded: .") as refused:
        load_candidate(path.parent)
    assert str(path.parent) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_it_is_said_when_votes_weighed_by_confidence_are_rather_for_another_class(photos, caplog):
    manifest = photos.manifest.assign(rival_labels="{}")
    two = manifest.index[manifest["split"] == "train"][:2]
    manifest.loc[two, "label_confidence"] = 0.3
    manifest.loc[two, "rival_labels"] = [
        json.dumps({"blue" if label == "green" else "green": [0.5, 0.5]})
        for label in manifest.loc[two, "label"]
    ]
    manifest.loc[two[1], "label_confidence"] = 0.5  # of half the votes: as much as for the other class
    good_candidate(replace(photos, manifest=manifest), probe_epochs=1)
    n_images = (manifest["split"] == "train").sum()
    assert (
        f"1 of {n_images} train images: votes, weighed by confidence, are rather for another" in caplog.text
    )


def test_a_gpu_is_free_for_others_once_the_candidate_is_trained(photos, monkeypatch):
    """What comes after runs on the CPU."""
    done = []
    monkeypatch.setattr(processes, "choose_device", lambda wanted: torch.device("cuda"))
    monkeypatch.setattr(processes, "train_candidate", lambda *_, **__: done.append("trained"))
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: done.append("freed"))
    processes.train_in_processes(photos.manifest, photos.prepared(64), parameters())
    assert done == ["trained", "freed"]
