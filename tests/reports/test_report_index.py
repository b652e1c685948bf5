"""The index and the table that ends a run write their figures as the pages do."""

import pytest

from visionpipe.reports import wording
from visionpipe.reports.index import run_index
from visionpipe.reports.summary import print_summary

FOUND = {"estimate": 0.912, "low": 0.881, "high": 0.938, "level": 0.95, "n": 60}
MISSING = {
    "estimate": None,
    "low": None,
    "high": None,
    "level": 0.95,
    "n": 60,
    "reason": "only class '[b]' occurs",
}
MODEL = {"backbone": "timm/resnet18", "trained_stages": "stages 4-5 and head", "epochs": 12}
DECISION = {
    "reason": "Proven better.",
    "outcome": "promote",
    "model_name": "cells",
    "champion_version": "1",
    "challenger_version": "2",
    "alias": "champion",
    "checks": [{"kind": "gain", "name": "gain in AUROC", "value": 0.01, "low": -0.004, "high": 0.024}],
    "provenance": {"git_commit": "abc"},
    "data": {"manifest_md5": "def", "n_images": 60, "labels_by_origin": {"import": 60}},
}


@pytest.mark.parametrize("accuracy", [FOUND, MISSING])
def test_the_index_writes_the_accuracy_as_every_page_does(accuracy):
    validation = {"n_images": 60, "n_quarantined": 0, "warnings": [], "success": True}
    page = run_index(DECISION, {"n": 60, "metrics": {"accuracy": accuracy}, "model": MODEL}, validation)
    assert f"60 test images, accuracy {wording.interval(accuracy)}" in page


def test_the_index_links_every_page_of_the_run(parse):
    validation = {"n_images": 60, "n_quarantined": 0, "warnings": [], "success": True}
    page = parse(run_index(DECISION, {"n": 60, "metrics": {"accuracy": FOUND}, "model": MODEL}, validation))
    names = ["decision.html", "evaluation.html", "training.html", "data_docs/index.html"]
    assert [a["href"] for a in page.all("a")] == names
    assert "timm/resnet18, trained: stages 4-5 and head, 12 epochs" in page.text


def test_the_last_table_of_a_run_writes_them_so_too(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    print_summary(
        {"decision": DECISION, "evaluation": {"n": 60, "metrics": {"accuracy": FOUND, "auroc": MISSING}}}, []
    )
    shown = capsys.readouterr().out
    assert "accuracy 0.912 (0.881–0.938), AUC — (only class '[b]' occurs)" in shown
    assert "gain in AUROC: +0.010 (−0.004 to +0.024)" in shown
