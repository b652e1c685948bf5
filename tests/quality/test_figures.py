"""Figures about the whole data set: shares, coverage, groups, flags, agreement, and the newest batch."""

import json

import numpy as np
import pandas as pd
import pytest

from quality_tables import arrivals, judge, make_history, make_manifest
from visionpipe.quality.parameters import AgreementParameters


@pytest.mark.parametrize(
    ("limits", "passes"),
    [({"min": 0.5}, True), ({"min": 0.51}, False), ({"max": 0.5}, True), ({"min": 0.1, "max": 0.49}, False)],
)
def test_the_share_of_a_class_is_held_to_its_limits(limits, passes):
    outcome = judge(make_manifest(), label_share={"defective": limits})
    assert outcome.success is passes
    if not passes:
        (failure,) = outcome.failures
        assert failure["detail"].endswith("(validation.label_share): defective: 0.5")
        assert failure["table"] == "figures"


@pytest.mark.parametrize("limits", [{"min": 0.05}, {"max": 0.6}])
def test_a_limit_on_a_class_that_nobody_knows_fails_whatever_it_is(limits):
    (failure,) = judge(make_manifest(), label_share={"defectve": limits}).failures
    assert failure["detail"] == (
        "each class that validation.label_share names is found, or is one of validation.classes: defectve: 0"
    )


def test_a_declared_class_that_is_not_there_has_a_share_of_nothing():
    classes = ["cracked", "defective", "functional"]
    failures = judge(make_manifest(), classes=classes, label_share={"cracked": {"min": 0.05}}).failures
    (share,) = [failure for failure in failures if failure["table"] == "figures"]
    assert share["detail"].endswith("(validation.label_share): cracked: 0")


def test_a_required_condition_without_a_class_is_warned_about_by_name():
    manifest = make_manifest()
    manifest["site"] = np.where(manifest["label"] == "defective", "north", manifest["site"].astype(str))
    outcome = judge(manifest, required_attributes={"site": ["north", "south"]})
    assert outcome.success
    (warning,) = outcome.warnings
    assert warning.endswith("site=south, defective: 0")
    assert "validation.required_attributes.site" in warning
    assert (
        judge(manifest, required_attributes={"site": ["north"]}, warn_images_per_condition=1).warnings == []
    )


@pytest.mark.parametrize("severity", ["warning", "error"])
def test_a_group_that_holds_too_much_is_named(severity):
    manifest = make_manifest()
    in_train = manifest.index[manifest["split"] == "train"]
    manifest.loc[in_train[:20], "group_id"] = "one photo"
    outcome = judge(manifest, max_group_share=0.3, group_severity=severity)
    (said,) = outcome.warnings or [failure["detail"] for failure in outcome.failures]
    assert outcome.success is (severity == "warning")
    assert said.endswith("one photo: 0.3333")
    assert judge(manifest, max_group_share=0.34).warnings == []


def test_flags_are_counted_by_rule_and_too_many_are_warned_about():
    manifest = make_manifest()
    manifest.loc[:14, "flags"] = "blur"
    manifest.loc[10:16, "flags"] = "blur,exposure"
    outcome = judge(manifest, max_flagged_share=0.2)
    assert outcome.result["flags"] == {"blur": 17, "exposure": 7}
    assert outcome.result["n_flagged"] == 17
    (warning,) = outcome.warnings
    assert warning.endswith("blur: 0.2833")


def two_annotators(n_disagree, n=60):
    """Return a manifest's history in which a second annotator contradicts the first on some images."""
    manifest = make_manifest(n)
    first = make_history(manifest)
    swap = {"defective": "functional", "functional": "defective"}
    second = first.assign(annotator="table")
    second.loc[: n_disagree - 1, "label"] = second.loc[: n_disagree - 1, "label"].map(swap)
    # the manifest's label is the first one's: of two votes the tie goes to the label that sorts first
    return pd.concat(
        [first.assign(label_confidence=1.0), second.assign(label_confidence=0.9)], ignore_index=True
    )


def test_contradictions_are_counted_named_and_warned_about():
    outcome = judge(make_manifest(), history=two_annotators(12))
    assert outcome.success
    assert outcome.result["n_contradicted"] == len(outcome.disagreements) == 12
    assert len(outcome.result["contradictions"]) == 10
    first = outcome.result["contradictions"][0]
    assert first["path"].startswith("photos/") and {c["annotator"] for c in first["claims"]} == {
        "folder",
        "table",
    }
    (warning,) = outcome.warnings
    assert warning.endswith("found: 12")


def test_agreement_is_judged_by_the_lower_end_of_its_interval():
    history = two_annotators(6)
    measured = judge(make_manifest(), history=history).result["agreement"]["krippendorff_alpha"]
    low, estimate = measured["low"], measured["estimate"]
    assert low < 0.75 < estimate
    passing = {"agreement": {"min_alpha": low - 0.001}}
    assert judge(make_manifest(), history=history, **passing).success
    (failure,) = judge(make_manifest(), history=history, agreement={"min_alpha": 0.75}).failures
    assert "Krippendorff's alpha is 0.75 or more, by the lower end of its 95 % interval" in failure["detail"]
    assert f"alpha {estimate:.3f}" in failure["detail"]


@pytest.mark.parametrize("required", [False, True])
def test_too_few_doubly_labelled_images_warn_unless_agreement_is_required(required):
    agreement = {"min_alpha": 0.8, "required": required}
    outcome = judge(make_manifest(), agreement=agreement)  # one annotator
    assert outcome.success is not required
    (said,) = outcome.warnings or [failure["detail"] for failure in outcome.failures]
    assert "0 images have two annotators or more, 20 needed" in said
    assert outcome.result["agreement"]["krippendorff_alpha"]["estimate"] is None


def test_one_doubly_labelled_image_is_spoken_of_in_the_singular():
    history = make_history(make_manifest())
    twice = pd.concat([history, history.head(1).assign(annotator="table")], ignore_index=True)
    outcome = judge(make_manifest(), history=twice, agreement={"min_alpha": 0.8}, min_images_per_class=1)
    assert "1 image has two annotators or more, 20 needed" in outcome.warnings[0]
    claims = [check["claim"] for check in outcome.result["expectations"]]
    assert "each class has 1 image or more (validation.min_images_per_class)" in claims


def test_agreement_on_one_class_cannot_be_judged_rather_than_passing():
    manifest = make_manifest()
    history = make_history(manifest)
    functional = history[history["label"] == "functional"].assign(annotator="table")
    both = pd.concat([history, functional], ignore_index=True)
    (warning,) = judge(manifest, history=both, agreement={"min_alpha": 0.8}).warnings
    assert "only one class was named" in warning


def test_a_column_that_is_not_there_fails_and_one_without_numbers_is_named():
    outcome = judge(arrivals(100, 60), batch={"columns": ["site", "hue"]})
    (failure,) = outcome.failures
    assert failure["detail"].startswith("validation.batch.columns: hue is a column")
    assert outcome.result["batch"]["untested"] == ["site"]


@pytest.mark.parametrize("seed", range(6))
def test_no_value_whatever_stops_the_validation_itself(seed):
    """The tables come from Parquet, so a column keeps its type; within it anything may stand."""
    random = np.random.default_rng(seed)
    texts, figures = (
        [None, "", " ", "x" * 300, "<b>", "Größe 🙂", "a,b"],
        [np.nan, np.inf, -np.inf, 1e308, -1.0],
    )
    tables = [arrivals(70, 60, seed).astype({"width": float}), two_annotators(9, 130)]
    for table in tables:
        for column in table.columns:
            odd = texts
            if pd.api.types.is_datetime64_any_dtype(table[column]):
                odd = [pd.NaT, pd.Timestamp("2200-01-01", tz="UTC")]
            elif pd.api.types.is_float_dtype(table[column]):
                odd = figures
            elif not pd.api.types.is_string_dtype(table[column]) or isinstance(
                table[column].dtype, pd.CategoricalDtype
            ):
                continue
            for row in random.choice(len(table), 3, replace=False):
                table.loc[row, column] = odd[random.integers(len(odd))]
    outcome = judge(tables[0], history=tables[1], agreement={"min_alpha": 0.1})
    assert not outcome.success
    assert json.loads(json.dumps(outcome.result, allow_nan=False)) == outcome.result


def test_the_interval_of_agreement_can_be_had_at_another_level():
    history = two_annotators(6)
    widths = []
    for level in (0.8, 0.99):
        parameters = AgreementParameters(level=level).model_dump()
        alpha = judge(make_manifest(), history=history, agreement=parameters).result["agreement"]
        widths.append(alpha["krippendorff_alpha"]["high"] - alpha["krippendorff_alpha"]["low"])
    assert widths[0] < widths[1]
