"""Every arrival is predicted once by each champion, and what becomes known of it is held against its promise."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, roc_auc_score

from photo_sets import good_candidate, photo_set
from visionpipe.images.decode import decode_rgb
from visionpipe.metrics.evaluation import evaluate
from visionpipe.metrics.parameters import EvaluationParameters
from visionpipe.monitoring.prediction_log import read_predictions, write_predictions
from visionpipe.monitoring.scoring import score_new, summarise

NOON = datetime(2026, 5, 3, 12, tzinfo=UTC)
FAST = EvaluationParameters(resamples=200)
CLASSES = ["blue", "red"]
NOTHING_SEEN = pd.DataFrame({"image_id": [], "group_id": [], "split": []}, dtype="str")
OWN = {"n": 40, "metrics": {"accuracy": {"estimate": 0.9}}, "per_class": {}, "confusion": [[1, 2], [3, 4]]}


@pytest.fixture(scope="module")
def photos():
    return photo_set(train=6, validation=4, test=30, seed=9)


@pytest.fixture(scope="module")
def classifier(photos):
    return good_candidate(photos, probe_epochs=1).classifier


@pytest.fixture(scope="module")
def arrivals(photos):
    """The index of a store of arrivals, with attributes as the store gives them back."""
    index = photos.manifest[photos.manifest["split"] == "test"]
    attributes = [[("camera", camera)] if row % 5 else None for row, camera in enumerate(index["camera"])]
    return index[["image_id", "brightness", "contrast", "sharpness"]].assign(attributes=attributes)


@pytest.fixture
def log(tmp_path):
    return partial(read_predictions, tmp_path / "log", now=NOON)


def scored(classifier, arrivals, photos, log, version="3", now=NOON, seen=NOTHING_SEEN):
    return score_new(classifier, version, arrivals, photos.read, log, now, seen=seen)


def test_arrivals_are_predicted_as_the_model_predicts_their_pixels(classifier, arrivals, photos, log):
    rows = scored(classifier, arrivals, photos, log).set_index("image_id")
    assert sorted(rows.index) == sorted(arrivals["image_id"])
    pixels_NHWC = np.stack([decode_rgb(photos.files[image_id], 64) for image_id in rows.index])
    expected = classifier.predict(pixels_NHWC)
    np.testing.assert_allclose(
        np.stack(rows["probabilities"]), expected.probabilities_NK, rtol=1e-4, atol=1e-6
    )
    np.testing.assert_allclose(np.stack(rows["embedding"]), expected.embeddings_NE, rtol=1e-3, atol=1e-3)
    assert rows["predicted_label"].tolist() == expected.labels
    np.testing.assert_allclose(rows["confidence"], expected.confidence_N, rtol=1e-4)
    assert (rows["latency_ms"] > 0).all()
    assert set(rows["model_version"]) == {"3"}


def test_what_is_known_of_a_photo_is_logged_with_its_prediction(classifier, arrivals, photos, log):
    rows = scored(classifier, arrivals, photos, log).set_index("image_id").loc[arrivals["image_id"]]
    for name in ("brightness", "contrast", "sharpness"):
        np.testing.assert_array_equal(rows[name], arrivals[name])
    cameras = [dict(pairs or ()).get("camera") for pairs in arrivals["attributes"]]
    assert rows["camera"].astype(object).where(rows["camera"].notna(), None).tolist() == cameras


def test_the_log_takes_every_row(classifier, arrivals, photos, log, tmp_path):
    write_predictions(tmp_path / "log", scored(classifier, arrivals, photos, log))
    written = log(classes=CLASSES)
    assert len(written.rows) == len(arrivals)
    assert written.refused.empty


def test_nothing_is_predicted_twice(classifier, arrivals, photos, log, tmp_path):
    early, late = arrivals.iloc[:25], arrivals
    write_predictions(tmp_path / "log", scored(classifier, early, photos, log))
    second = scored(classifier, late, photos, log)
    assert set(second["image_id"]) == set(arrivals["image_id"].iloc[25:])
    write_predictions(tmp_path / "log", second)
    assert scored(classifier, late, photos, log).empty
    assert len(log(classes=CLASSES).rows) == len(arrivals)


def test_two_scorers_at_once_log_each_photo_once(classifier, arrivals, photos, log, tmp_path):
    both = [scored(classifier, arrivals, photos, log) for _ in range(2)]
    for rows in both:
        write_predictions(tmp_path / "log", rows)
    assert len(log(classes=CLASSES).rows) == len(arrivals)


def test_a_new_champion_predicts_everything_again(classifier, arrivals, photos, log, tmp_path):
    write_predictions(tmp_path / "log", scored(classifier, arrivals, photos, log))
    again = scored(classifier, arrivals, photos, log, version="4")
    write_predictions(tmp_path / "log", again)
    assert len(again) == len(arrivals)
    assert log(classes=CLASSES).rows.groupby("model_version").size().to_dict() == {"3": 60, "4": 60}


def learned(image_ids, oldest_of_a_group=()):
    """What a model has seen: these photos, and near-duplicates of others."""
    rows = [(each, each, "validation") for each in image_ids]
    rows += [("f" * 64, each, "train") for each in oldest_of_a_group]
    return pd.DataFrame(rows, columns=["image_id", "group_id", "split"])


def test_photos_that_the_model_learned_from_are_not_predicted(classifier, arrivals, photos, log, caplog):
    ids = arrivals["image_id"].tolist()
    with caplog.at_level("INFO", logger="visionpipe"):
        rows = scored(classifier, arrivals, photos, log, seen=learned(ids[:20], ids[20:21]))
    assert sorted(rows["image_id"]) == sorted(ids[21:])
    assert "21 arrivals left out: version 3 was trained or tuned on them" in caplog.text


def test_no_arrivals_give_no_rows(classifier, arrivals, photos, log):
    assert scored(classifier, arrivals.head(0), photos, log).empty


@pytest.mark.parametrize("threshold", [0.0, 0.6, 1.0, None])
def test_unsure_predictions_are_deferred(classifier, arrivals, photos, log, threshold, monkeypatch):
    monkeypatch.setattr(classifier.spec, "deferral_confidence", threshold)
    rows = scored(classifier, arrivals, photos, log)
    expected = rows["confidence"] < threshold if threshold is not None else [True] * len(rows)
    assert rows["deferred"].tolist() == list(expected)


class TestSummary:
    def labels(self, photos, arrivals, n):
        known = arrivals.merge(photos.manifest[["image_id", "label"]])[["image_id", "label"]]
        return known.head(n)

    def summary(self, log, labels, arrivals, version="3", seen=NOTHING_SEEN, **options):
        return summarise(CLASSES, version, OWN, log, labels, FAST, arrivals=arrivals, seen=seen, **options)

    @pytest.fixture
    def rows(self, classifier, arrivals, photos, log, tmp_path):
        rows = scored(classifier, arrivals, photos, log)
        write_predictions(tmp_path / "log", rows)
        return rows

    def test_arrivals_are_measured_as_scikit_learn_measures(self, rows, photos, arrivals, log):
        labels = self.labels(photos, arrivals, 45)
        judged = rows.merge(labels, on="image_id")
        found = self.summary(log, labels, arrivals)
        accuracy = accuracy_score(judged["label"], judged["predicted_label"])
        auroc = roc_auc_score(judged["label"] == "red", np.stack(judged["probabilities"])[:, 1])
        assert found["arrivals"]["n"] == 45
        assert found["arrivals"]["metrics"]["accuracy"]["estimate"] == pytest.approx(accuracy)
        assert found["arrivals"]["metrics"]["auroc"]["estimate"] == pytest.approx(auroc)
        assert (found["n_logged"], found["n_deferred"]) == (60, rows["deferred"].sum())
        assert found["model_version"] == "3"

    def test_the_promise_is_what_was_measured_at_registration(self, rows, photos, arrivals, log):
        own = self.summary(log, self.labels(photos, arrivals, 45), arrivals)["own_test"]
        assert own == {key: OWN[key] for key in ("n", "metrics", "per_class")}

    def test_without_labels_there_is_no_verdict_on_arrivals(self, rows, photos, arrivals, log):
        assert self.summary(log, self.labels(photos, arrivals, 0), arrivals)["arrivals"] is None

    def test_other_versions_do_not_count(self, rows, photos, arrivals, log):
        found = self.summary(log, self.labels(photos, arrivals, 45), arrivals, version="4")
        assert (found["n_logged"], found["arrivals"]) == (0, None)

    def test_photos_that_the_model_learned_from_are_no_evidence_of_it(self, rows, photos, arrivals, log):
        labels = self.labels(photos, arrivals, 45)
        ids = labels["image_id"].tolist()
        found = self.summary(log, labels, arrivals, seen=learned(ids[:20], ids[20:21]))
        assert found["n_learned_from"] == 21
        assert found["arrivals"] == self.summary(log, labels.iloc[21:], arrivals)["arrivals"]
        others = rows[~rows["image_id"].isin(ids[:21])]
        assert (found["n_logged"], found["n_deferred"]) == (39, others["deferred"].sum())

    def test_the_newest_label_counts(self, rows, photos, arrivals, log):
        labels = self.labels(photos, arrivals, 45)
        corrected = labels.assign(label=np.where(labels["label"] == "red", "blue", "red")).head(10)
        found = self.summary(log, pd.concat([labels, corrected]), arrivals)
        newest = pd.concat([labels.iloc[10:], corrected])
        judged = rows.merge(newest, on="image_id").assign(group_id=lambda t: t["image_id"])
        expected = evaluate(judged, CLASSES, [], FAST)["metrics"]["accuracy"]
        assert found["arrivals"]["metrics"]["accuracy"] == expected
        assert found["arrivals"]["unknown_classes"] == {}

    def test_arrivals_of_a_class_that_the_model_does_not_know_are_wrong(self, rows, photos, arrivals, log):
        labels = self.labels(photos, arrivals, 45)
        known = self.summary(log, labels.head(20), arrivals)["arrivals"]
        strange = pd.concat([labels.head(20), labels.tail(25).assign(label="cracked")])
        found = self.summary(log, strange, arrivals)["arrivals"]
        accuracy, of_known = (each["metrics"]["accuracy"] for each in (found, known))
        assert (found["n"], accuracy["n"], found["unknown_classes"]) == (45, 45, {"cracked": 25})
        assert accuracy["estimate"] == pytest.approx(of_known["estimate"] * 20 / 45)
        exact = binomtest(round(accuracy["estimate"] * 45), 45).proportion_ci()
        assert (accuracy["low"], accuracy["high"]) == pytest.approx((exact.low, exact.high))
        assert found["metrics"]["auroc"] == known["metrics"]["auroc"]

    def test_arrivals_of_unknown_classes_alone_are_all_wrong(self, rows, photos, arrivals, log):
        found = self.summary(log, self.labels(photos, arrivals, 45).assign(label="cracked"), arrivals)[
            "arrivals"
        ]
        assert (found["n"], found["metrics"]["accuracy"]["estimate"]) == (45, 0.0)
        assert set(found["metrics"]) == {"accuracy"}

    def test_a_photo_predicted_for_two_requests_is_one_piece_of_evidence(
        self, rows, photos, arrivals, log, tmp_path
    ):
        labels = self.labels(photos, arrivals, 45)
        once = self.summary(log, labels, arrivals)["arrivals"]["metrics"]["accuracy"]
        more = pd.concat(
            [rows.assign(prediction_id=[f"{k}-{i}" for i in rows["image_id"]]) for k in range(9)]
        )
        write_predictions(tmp_path / "log", more)
        tenfold = self.summary(log, labels, arrivals)["arrivals"]["metrics"]["accuracy"]
        assert tenfold["estimate"] == pytest.approx(once["estimate"])
        assert tenfold["high"] - tenfold["low"] > 0.8 * (once["high"] - once["low"])

    def test_the_photos_of_one_sender_are_one_piece_of_evidence(self, rows, photos, arrivals, log, tmp_path):
        labels = self.labels(photos, arrivals, 45)
        senders = [f"sender {i // 9}" if i < 36 else None for i in range(len(rows))]
        write_predictions(tmp_path / "sent", rows.assign(sender=senders))
        sent = partial(read_predictions, tmp_path / "sent", now=NOON)
        alone = self.summary(sent, labels, arrivals)["arrivals"]["metrics"]["accuracy"]
        found = self.summary(sent, labels, arrivals, group_by="sender")["arrivals"]["metrics"]
        judged = sent(classes=CLASSES).rows.merge(labels, on="image_id")
        groups = judged["sender"].where(judged["sender"].notna(), judged["image_id"])
        expected = evaluate(judged.assign(group_id=groups), CLASSES, [], FAST)["metrics"]["accuracy"]
        assert found["accuracy"] == expected != alone
