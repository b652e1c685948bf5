"""What was accepted for training is accepted where the model is served, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import mlflow
import numpy as np
import pandas as pd
import pytest

from card_facts import card_facts
from photo_sets import photo, saved
from visionpipe.images.parameters import IngestionParameters
from visionpipe.lineage.data_version import DataVersion
from visionpipe.models.candidate import describe_model, load_candidate
from visionpipe.pipelines.promotion.nodes import promote_candidate
from visionpipe.promotion.parameters import PromotionParameters
from visionpipe.promotion.registry import Registry


def answer(side_px: int) -> str:
    data = photo("red", np.random.default_rng(1), side_px)
    served = mlflow.pyfunc.load_model("models:/cells@champion")
    return served.predict(pd.DataFrame({"image": [data]}))["predicted_label"].item()


def promoted(photos, good, folder, **ingestion):
    candidate = replace(load_candidate(good), origin={"data": {}, "provenance": {}})
    facts = card_facts()
    facts["evaluation"]["model"] |= describe_model(candidate)
    facts["examination"]["model"] = describe_model(candidate)
    decision = promote_candidate(
        Registry("cells", saved(candidate, folder)),
        candidate,
        facts,
        photos.manifest,
        photos.read,
        lambda origin: DataVersion("1.dir", "2.dir", "3", 40, {"import": 40}),
        PromotionParameters(resamples=200),
        IngestionParameters(**ingestion),
    )
    assert decision["alias"] == "champion", decision["reason"]


def test_a_small_photo_of_a_project_of_small_photos(photos, models, plant, tmp_path):
    promoted(photos, models["good"], tmp_path / "candidate", min_side_px=16)
    assert answer(side_px=24) == "red"


def test_a_photo_that_its_project_refuses(photos, models, plant, tmp_path):
    promoted(photos, models["good"], tmp_path / "candidate", min_side_px=48)
    with pytest.raises(ValueError, match="row 0: too_small: 40 px on the shorter side, 48 needed"):
        answer(side_px=40)


def test_a_version_that_does_not_say_has_the_usual_limits(promote):
    promote("good")
    assert answer(side_px=40) == "red"
    with pytest.raises(ValueError, match="row 0: too_small: 24 px on the shorter side, 32 needed"):
        answer(side_px=24)


def test_what_decides_of_a_photo_is_read_back_whole():
    given = IngestionParameters(
        formats=("PNG",),
        min_side_px=7,
        max_bytes=10**6,
        rules={"blank": {"action": "flag"}},
        privacy={"strip_metadata": False},
        split={"seed": "of training alone"},
    )
    read = IngestionParameters.model_validate_json(given.acceptance())
    assert read == given.model_copy(update={"split": IngestionParameters().split})
