import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from quality_tables import N_IMAGES, judge, make_history, make_manifest, make_quarantine
from visionpipe.errors import VisionpipeError
from visionpipe.quality.expectations import ValidationFailed, require_success


def test_good_data_pass_without_a_word():
    outcome = judge(make_manifest())
    assert outcome.success and outcome.failures == [] and outcome.warnings == []
    outcome.raise_if_failed()


def test_the_result_of_good_data_survives_json():
    result = judge(make_manifest()).result
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_the_result_of_the_oddest_values_survives_strict_json():
    manifest = make_manifest().astype({"width": float, "captured_at": object})
    manifest.loc[3, "brightness"] = np.inf
    manifest.loc[4, ["brightness", "width", "label_confidence"]] = np.nan
    manifest.loc[5, ["label", "group_id"]] = None
    outcome = judge(manifest, ranges={"n_bytes": {"max": 1}}, required_attributes={"captured_at": ["never"]})
    assert json.loads(json.dumps(outcome.result, allow_nan=False)) == outcome.result
    (infinite,) = [each for each in outcome.failures if "within 0..255" in each["detail"]]
    assert infinite["rows"] == [{"image_id": manifest.loc[3, "image_id"], "brightness": "inf"}]


@pytest.mark.parametrize(
    ("column", "value", "claim"),
    [
        ("image_id", "zz" * 32, "SHA-256"),
        ("image_id", None, "image_id is always given"),
        ("label", None, "label is always given"),
        ("label", " ", "no label is blank"),
        ("label_confidence", 1.2, "label_confidence is within 0..1"),
        ("label_origin", "rumour", "label_origin is one of"),
        ("split", "holdout", "split is one of"),
        ("group_id", None, "group_id is always given"),
        ("width", 0, "width is 1 or more"),
        ("height", -3, "height is 1 or more"),
        ("brightness", 256.0, "brightness is within 0..255"),
        ("brightness", np.nan, "brightness is always given"),
        ("perceptual_hash", None, "perceptual_hash is always given"),
    ],
)
def test_one_bad_value_fails_and_its_row_is_named(column, value, claim):
    manifest = make_manifest()
    manifest.loc[7, column] = value
    outcome = judge(manifest)
    (failure,) = [
        entry for entry in outcome.failures if claim in entry["detail"] and entry["table"] == "manifest"
    ]
    assert not outcome.success
    assert failure["column"] == column
    assert f"not met by 1 of {N_IMAGES} rows" in failure["detail"]
    (row,) = failure["rows"]
    if column != "image_id":
        assert row["image_id"] == manifest.loc[7, "image_id"]
    assert row[column] == value or (row[column] is None and pd.isna(value))


def test_an_image_listed_twice_is_named_twice():
    manifest = make_manifest()
    manifest.loc[9, "image_id"] = manifest.loc[8, "image_id"]
    failures = judge(manifest).failures
    (failure,) = [each for each in failures if "no image is listed twice" in each["detail"]]
    assert failure["expectation"] == "expect_column_values_to_be_unique"
    assert [row["image_id"] for row in failure["rows"]] == [manifest.loc[8, "image_id"]] * 2


def test_a_group_in_two_splits_is_found_with_its_images():
    manifest = make_manifest()
    group = manifest["group_id"] == manifest.loc[6, "group_id"]
    manifest.loc[6, "split"], manifest.loc[7, "split"] = "test", "train"
    (failure,) = judge(manifest).failures
    assert failure["detail"].startswith("no group has images in two splits")
    assert {row["image_id"] for row in failure["rows"]} == set(manifest.loc[group, "image_id"])
    assert failure["rows"][0]["group_id"] == manifest.loc[6, "group_id"]
    assert failure["rows"][0]["splits_of_group"] == "test, train"


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_class_missing_from_train_or_test_is_named(split):
    manifest = make_manifest()
    manifest.loc[(manifest["label"] == "defective") & (manifest["split"] == split), "split"] = "validation"
    manifest["group_id"] = [f"g{i}" for i in range(N_IMAGES)]
    (failure,) = judge(manifest).failures
    assert failure["detail"] == f"each class has an image in split {split}: missing defective"


def test_a_class_with_one_image_is_named_with_its_count():
    manifest = make_manifest()
    manifest.loc[0, "label"] = "cracked"
    details = [failure["detail"] for failure in judge(manifest).failures]
    assert any("min_images_per_class" in detail and "(cracked: 1)" in detail for detail in details)


def test_a_small_class_is_only_warned_about():
    outcome = judge(make_manifest(), warn_images_per_class=31)
    assert outcome.success
    (warning,) = outcome.warnings
    assert "defective: 30, functional: 30" in warning
    assert "warn_images_per_class" in warning


def test_one_class_is_too_few():
    manifest = make_manifest().assign(label="functional")
    (failure,) = judge(manifest).failures
    assert failure["detail"] == "there are 2 classes or more (validation.min_classes): found 1"


def test_a_label_that_the_history_does_not_give_is_named():
    history = make_history(make_manifest())
    history.loc[4, "label"] = "defective"
    (failure,) = judge(make_manifest(), history=history).failures
    assert failure["detail"].startswith("each label is the one that the label history gives: not met by 1 of")
    assert failure["rows"] == [
        {"image_id": history.loc[4, "image_id"], "label": "functional", "label_is_current": False}
    ]


@pytest.mark.parametrize(
    ("column", "value", "claim"),
    [
        ("label", None, "label is always given"),
        ("label", "", "no label is blank"),
        ("annotator", None, "annotator is always given"),
        ("annotator", "  ", "no annotator is blank"),
        ("label_confidence", -0.1, "label_confidence is within 0..1"),
        ("labelled_at", pd.NaT, "labelled_at is always given"),
        ("origin", "rumour", "origin is one of"),
    ],
)
def test_one_bad_row_of_the_label_history_is_named(column, value, claim):
    history = make_history(make_manifest())
    history = pd.concat([history, history.tail(1).assign(annotator="second")], ignore_index=True)
    history.loc[len(history) - 1, column] = value
    failures = [each for each in judge(make_manifest(), history=history).failures if claim in each["detail"]]
    (failure,) = [each for each in failures if each["table"] == "labels"]
    assert [row["image_id"] for row in failure["rows"]] == [history["image_id"].iloc[-1]]


def test_a_label_without_its_image_is_what_a_killed_run_leaves_so_it_only_warns():
    history = make_history(make_manifest())
    orphan = history.head(1).assign(image_id="ab" * 32)
    outcome = judge(make_manifest(), history=pd.concat([history, orphan], ignore_index=True))
    assert outcome.success
    (warning,) = outcome.warnings
    assert "each label belongs to an image in the store" in warning and "1 of 61 rows" in warning


def test_a_history_that_lacks_columns_is_named_and_the_manifest_still_judged():
    manifest = make_manifest().assign(width=0)
    details = [
        failure["detail"]
        for failure in judge(manifest, history=make_history(manifest).drop(columns="origin")).failures
    ]
    assert "the table has all its columns: missing origin" in details
    assert any("width is 1 or more" in detail for detail in details)
    assert len(details) == 2


def test_the_users_own_group_in_two_splits_is_found_with_its_images():
    manifest = make_manifest().assign(sender=lambda frame: frame["group_id"])
    assert judge(manifest, group_by="sender").success
    manifest.loc[[0, 40], "sender"] = "the same"
    assert set(manifest.loc[[0, 40], "split"]) == {"train"}
    assert judge(manifest, group_by="sender").success
    manifest.loc[[0, 4], "sender"] = "the same"
    (failure,) = judge(manifest, group_by="sender").failures
    assert failure["detail"].startswith("no sender has images in two splits (ingestion.split.group_by)")
    assert {row["image_id"] for row in failure["rows"]} == set(manifest.loc[[0, 4, 40], "image_id"])
    assert failure["rows"][0]["sender"] == "the same"


def test_declared_classes_must_be_there_and_no_others():
    outcome = judge(make_manifest(), classes=["functional", "cracked"])
    details = "\n".join(failure["detail"] for failure in outcome.failures)
    assert "each label is one of validation.classes: not met by 30 of 60 rows" in details
    assert "each class has an image in split train: missing cracked" in details


@pytest.mark.parametrize(("n_quarantined", "passes"), [(15, True), (16, False)])
def test_the_quarantined_share_is_of_all_inputs(n_quarantined, passes):
    outcome = judge(make_manifest(60), make_quarantine(n_quarantined), max_quarantined_share=0.2)
    assert outcome.success is passes
    assert (n_quarantined / (60 + n_quarantined) <= 0.2) is passes


def test_every_refusal_has_a_reason():
    quarantine = make_quarantine(3).assign(reason=["not_an_image", None, "too_small"])
    (failure,) = judge(make_manifest(), quarantine).failures
    assert failure["rows"] == [{"path": "photos/1.jpg", "reason": None}]


def test_a_required_condition_that_is_missing_is_named():
    outcome = judge(make_manifest(), required_attributes={"site": ["north", "east"], "camera": ["a"]})
    details = [failure["detail"] for failure in outcome.failures]
    assert "each value of validation.required_attributes.site is there: missing east" in details
    assert "validation.required_attributes.camera is a column: the manifest has no such column" in details


def test_a_range_of_the_users_own_is_kept():
    assert judge(make_manifest(), ranges={"contrast": {"min": 30, "max": 30}}).success
    (failure,) = judge(make_manifest(), ranges={"contrast": {"max": 29}}).failures
    assert "contrast is 29 or less (validation.ranges.contrast)" in failure["detail"]
    assert len(failure["rows"]) == 10


def test_missing_columns_are_named_and_nothing_else_is_said():
    (failure,) = judge(make_manifest().drop(columns=["split", "width"])).failures
    assert failure["detail"] == "the table has all its columns: missing split, width"


def test_an_empty_store_fails():
    outcome = judge(make_manifest().iloc[:0], make_quarantine(2), max_quarantined_share=0.5)
    details = [failure["detail"] for failure in outcome.failures]
    assert "there is at least one image: found 0" in details


def test_the_tables_are_left_as_they_were():
    manifest, quarantine, history = make_manifest(), make_quarantine(3), make_history(make_manifest())
    judge(manifest, quarantine, history)
    pd.testing.assert_frame_equal(manifest, make_manifest())
    pd.testing.assert_frame_equal(quarantine, make_quarantine(3))
    pd.testing.assert_frame_equal(history, make_history(make_manifest()))


def test_the_error_is_one_line_that_names_the_first_failure_and_the_page_of_all():
    manifest = make_manifest().assign(width=0)
    manifest.loc[3, "label_confidence"] = -1.0
    outcome = judge(manifest, history=make_history(make_manifest()))
    with pytest.raises(ValidationFailed) as raised:
        outcome.raise_if_failed()
    text = str(raised.value)
    assert isinstance(raised.value, VisionpipeError)
    assert text.startswith("2 expectations on the data failed, nothing was trained: ")
    assert "\n" not in text
    assert "the rows and the others are in data/08_reporting/data_docs/index.html" in text
    first, second = outcome.failures
    assert first["detail"] in text
    assert {len(first["rows"]), len(second["rows"])} == {10, 1}


def test_the_verdict_read_back_from_json_still_stops_the_run():
    result = json.loads(json.dumps(judge(make_manifest().assign(height=0)).result))
    with pytest.raises(ValidationFailed, match="height is 1 or more"):
        require_success(result)


def test_the_same_data_give_the_same_bytes():
    first, second = judge(make_manifest().assign(width=0)), judge(make_manifest().assign(width=0))
    assert first.sections == second.sections
    assert json.dumps(first.result) == json.dumps(second.result)


def test_nothing_is_printed_and_no_file_is_left(tmp_path, monkeypatch, capfd, caplog):
    caplog.set_level("INFO")  # as in `kedro run`
    for name in ("cwd", "home", "tmp"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    judge(make_manifest().assign(width=0))
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_great_expectations_is_not_imported_before_it_is_used():
    code = (
        "import sys, visionpipe.quality.expectations, visionpipe.quality.data_docs;"
        "print(sorted({'great_expectations', 'pandas', 'jinja2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
