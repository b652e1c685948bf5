"""The report on a training and what the index says of it are of one model."""

import pandas as pd
import yaml

from index_documents import DATED, NEWER, documents
from project_copy import ROOT
from visionpipe.metrics.parameters import EvaluationParameters
from visionpipe.pipelines.evaluation.nodes import render_training
from visionpipe.reports.index import run_index

MANIFEST = pd.DataFrame({"source": ["photos"]})


def test_the_index_tells_of_a_training_what_its_page_shows(parse):
    log = {**NEWER, "curves": {"epoch": [1], "train_loss": [0.5]}}
    earlier = documents(decision=DATED, training_summary=None)
    page, summary, index = render_training(log, MANIFEST, earlier, EvaluationParameters())
    assert "Training started 2026-02-03 10:20 UTC" in parse(page).text
    assert summary == NEWER
    assert index == run_index(earlier | {"training_summary": summary})
    assert "training.html" in index


def test_a_training_without_its_page_changes_nothing_on_the_index():
    """As `dvc repro fitting` leaves it, or a run that ended in between."""
    catalog = yaml.safe_load((ROOT / "conf/base/catalog.yml").read_text())
    read = {
        f"{catalog['earlier_reports']['path']}/{name}.json" for name in catalog["earlier_reports"]["names"]
    }
    assert catalog["training_summary"]["filepath"] in read
    assert catalog["training_log"]["filepath"] not in read
