"""The label audit on real photos: wrong labels that were planted come out on top, with their pictures."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner

from visionpipe.datasets.tables import JsonDocument, ParquetTable, WebPage
from visionpipe.models.parameters import TrainingParameters
from visionpipe.pipelines.label_audit import create_pipeline
from visionpipe.quality.parameters import LabelAuditParameters, ValidationParameters

CLASSES = ("dress", "hat", "pants", "shoes")


def garments(folder):
    """596 photos of four classes that are easy to tell apart."""
    return {file: name for name in CLASSES for file in sorted((folder / name).glob("*.jpg"))[:149]}


def cells(folder):
    """300 solar cells of two kinds of silicon, which every clone has."""
    table = pd.read_csv(folder / "labels.csv", sep=r"\s+", names=["path", "defective", "kind"])
    return {folder / path: kind for kind, some in table.groupby("kind") for path in some["path"].head(150)}


@pytest.fixture(scope="module", params=[("clothing", garments), ("elpv", cells)], ids=["garments", "cells"])
def audit(request, tmp_path_factory):
    """Run the pipeline on photos of which 5 % have a wrong label.

    Returns its outputs, the true label of each image that has a wrong one, and the table that it was given.
    """
    name, choose = request.param
    label_of = choose(request.getfixturevalue(name))
    bytes_of = {hashlib.sha256(file.read_bytes()).hexdigest(): file for file in label_of}
    rows = [
        {"image_id": image_id, "label": label_of[file], "source": name, "path": file.name}
        for image_id, file in bytes_of.items()
    ]
    table = pd.DataFrame(rows).sort_values("image_id", ignore_index=True)
    random = np.random.default_rng(0)
    flips = random.choice(len(table), round(0.05 * len(table)), replace=False)
    planted = table.loc[flips].set_index("image_id")["label"]
    for place in flips:
        others = [each for each in sorted(set(label_of.values())) if each != table.at[place, "label"]]
        table.at[place, "label"] = random.choice(others)
    manifest = table.assign(group_id=table["image_id"], split="train")
    history = table[["image_id", "label"]].assign(
        label_confidence=1.0,
        annotator="folder",
        labelled_at=pd.Timestamp("2026-01-05", tz="UTC"),
        origin="import",
        selection=None,
    )
    second = history.head(40).assign(annotator="table")
    second.loc[[3, 5], "label"] = "skirt"

    def read(image_ids):
        return ((each, bytes_of[each].read_bytes()) for each in bytes_of if each in set(image_ids))

    inputs = {
        "manifest": manifest,
        "image_store": table[["image_id", "source", "path"]],
        "label_history": pd.concat([history, second], ignore_index=True),
        "image_bytes": read,
        "earlier_reports": {},
        "params:training": TrainingParameters(image_size_px=128, device="cpu"),
        "params:label_audit": LabelAuditParameters(),
        "params:validation": ValidationParameters(),
    }
    catalog = DataCatalog({name: MemoryDataset(value, copy_mode="assign") for name, value in inputs.items()})
    folder = tmp_path_factory.mktemp("reporting")
    kinds = {"label_issues": ParquetTable, "label_audit": JsonDocument, "label_audit_report": WebPage}
    for name, kind in kinds.items():
        catalog[name] = kind(filepath=str(folder / name))
    SequentialRunner().run(create_pipeline(), catalog)
    outputs = {name: catalog.load(name) for name in kinds}
    return outputs, planted, table


def test_planted_errors_are_found(audit):
    """5 % of the labels are wrong: 30 of the garments', 15 of the cells'.

    Measured on the garments over six seeds, mean (least): precision among the first 30 is 0.89 (0.83), recall among
    the first 60 0.98 (0.97); cleanlab's own verdict has a precision of 0.81 (0.78) and a recall of 0.83 (0.67). The
    bars leave room for another decoder or BLAS; picking at random would give 0.05 and 0.10.
    """
    outputs, planted, _ = audit
    issues = outputs["label_issues"]
    first = issues["image_id"].head(len(planted)).isin(planted.index)
    twice = issues["image_id"].head(2 * len(planted)).isin(planted.index)
    verdict = issues.loc[issues["is_issue"], "image_id"].isin(planted.index)
    assert first.mean() >= 0.7
    assert twice.sum() / len(planted) >= 0.9
    assert verdict.mean() >= 0.6 and verdict.sum() / len(planted) >= 0.5


def test_the_suggestion_is_mostly_what_the_photo_shows(audit):
    outputs, planted, _ = audit
    issues = outputs["label_issues"]
    found = issues[issues["is_issue"] & issues["image_id"].isin(planted.index)].set_index("image_id")
    assert (found["suggested_label"] == planted[found.index]).mean() >= 0.9


def test_the_list_names_each_image_once_with_its_place(audit):
    issues, table = audit[0]["label_issues"], audit[2]
    assert list(issues.columns) == [
        *("image_id", "source", "label", "suggested_label", "self_confidence", "label_quality", "is_issue"),
        *("split", "path"),
    ]
    assert sorted(issues["image_id"]) == sorted(table["image_id"])
    assert issues["label_quality"].is_monotonic_increasing
    assert issues["path"].notna().all()


def test_the_page_shows_what_is_doubtful_and_what_is_contradictory(audit):
    outputs, _, table = audit
    page, summary = outputs["label_audit_report"], outputs["label_audit"]
    n_shown = min(summary["n_issues"], LabelAuditParameters().max_pictures)
    assert page.count("data:image/jpeg;base64,") == n_shown + 2
    assert summary["n_contradicted"] == 2
    assert f"{summary['n_issues']} doubtful labels and 2 contradictory labels" in page
    assert table.at[3, "path"] in page and "Krippendorff" in page
