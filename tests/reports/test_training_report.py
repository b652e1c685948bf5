"""The report on a training and what the index says of it are of one model."""

import json

import pandas as pd
import pytest
import yaml

from index_documents import DATED, NEWER, documents
from project_copy import ROOT
from visionpipe.metrics.parameters import EvaluationParameters
from visionpipe.models.backbones import build_backbone
from visionpipe.models.candidate import Candidate, describe_model
from visionpipe.models.classifier import ImageClassifier, ModelSpec
from visionpipe.pipelines.evaluation.nodes import render_training
from visionpipe.reports.index import run_index

MANIFEST = pd.DataFrame({"source": ["photos"]})
LOG = {"curves": {"epoch": [1], "train_loss": [0.5]}}


@pytest.fixture
def candidate():
    spec = ModelSpec(
        backbone="timm/test_resnet",
        weights="none",
        classes=["owl", "hat"],
        image_size_px=64,
        averaged_views=("identity", "horizontal_flip"),
        trained_stages="head",
    )
    classifier = ImageClassifier(spec, build_backbone(spec.backbone, "none", 64))
    return Candidate(classifier, pd.DataFrame(), pd.DataFrame(), {})


def test_the_index_tells_of_a_training_what_its_page_shows(candidate, parse):
    log = {**NEWER, **LOG}
    earlier = documents(decision=DATED, training_summary=None)
    page, summary, index = render_training(log, candidate, MANIFEST, earlier, EvaluationParameters())
    assert "Training started 2026-02-03 10:20 UTC" in parse(page).text
    assert summary == NEWER
    assert index == run_index(earlier | {"training_summary": summary})
    assert "training.html" in index


def test_a_log_of_an_early_version_which_knows_no_model_is_of_the_candidate(candidate, parse):
    evaluated = json.loads(json.dumps(describe_model(candidate)))
    earlier = documents(training_summary=None)
    earlier["evaluation"] = earlier["evaluation"] | {"model": evaluated}
    page, summary, index = render_training(LOG, candidate, MANIFEST, earlier, EvaluationParameters())
    text = parse(page).text
    assert "Classes owl, hat" in text and "Backbone timm/test_resnet" in text
    assert summary["model"]["weights_sha256"] == evaluated["weights_sha256"]
    assert "training.html" in index and "not evaluated" not in index
    page, *_ = render_training(
        {"curves": {"epoch": []}}, candidate, MANIFEST, earlier, EvaluationParameters()
    )
    assert "Nothing was recorded" not in page


def test_a_training_without_its_page_changes_nothing_on_the_index():
    """As `dvc repro fitting` leaves it, or a run that ended in between."""
    catalog = yaml.safe_load((ROOT / "conf/base/catalog.yml").read_text())
    read = {
        f"{catalog['earlier_reports']['path']}/{name}.json" for name in catalog["earlier_reports"]["names"]
    }
    assert catalog["training_summary"]["filepath"] in read
    assert catalog["training_log"]["filepath"] not in read
