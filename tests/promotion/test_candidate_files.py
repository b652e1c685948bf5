"""What is registered is the model that was judged, with its own papers."""

from __future__ import annotations

import errno
import shutil
from dataclasses import replace

import pytest
from mlflow import MlflowClient

from card_facts import card_facts
from photo_sets import saved
from visionpipe.errors import VisionpipeError
from visionpipe.images.parameters import IngestionParameters
from visionpipe.lineage.data_version import DataVersion
from visionpipe.models.candidate import describe_model, load_candidate
from visionpipe.pipelines.promotion.nodes import promote_candidate
from visionpipe.promotion.candidate_files import require_judged, snapshot
from visionpipe.promotion.contest import contest
from visionpipe.promotion.parameters import PromotionParameters
from visionpipe.promotion.registry import Registry

CALIBRATED = {"deferral_confidence": 0.123}  # the same weights, retrained for another accuracy
ORIGIN = {
    "data": {"store_md5": "61.dir", "labels_md5": "c3.dir", "manifest_md5": "37"},
    "provenance": {"git_commit": "abc", "run_options": "--params training.probe_epochs=7"},
}


class TestCandidateFiles:
    def test_what_was_judged_is_registered_though_the_folder_changes(
        self, promote, models, is_good, tmp_path
    ):
        yes, folder = promote("poor").decision, tmp_path / "candidate"
        shutil.copytree(models["good"], folder)

        def judge(champion, earlier):
            shutil.rmtree(folder)
            shutil.copytree(models["poor"], folder)
            return yes

        Registry("cells", folder).promote(
            judge, mode="promote", evaluation={}, tags={}, test_image_ids=["a"], metric="accuracy"
        )
        assert is_good(Registry("cells").champion())

    def test_files_of_another_model_than_the_judged_one_are_refused(self, plant, models, versions):
        with pytest.raises(VisionpipeError, match="files have changed since it was read") as refused:
            Registry("cells", models["poor"]).promote(
                lambda *_: None,
                mode="promote",
                evaluation={},
                tags={},
                test_image_ids=["a"],
                metric="accuracy",
                candidate=load_candidate(models["good"]),
            )
        assert "\n" not in str(refused.value)
        assert versions() == {}

    def test_a_full_disk_is_no_fault_of_the_candidate(self, models, monkeypatch):
        def full(source, target):
            raise OSError(errno.ENOSPC, "No space left on device", str(target))

        monkeypatch.setattr(shutil, "copy2", full)
        with pytest.raises(OSError, match="No space left") as told, snapshot(models["good"]):
            pass
        assert told.value.errno == errno.ENOSPC  # from which the command line knows what to advise

    def test_a_candidate_that_is_gone_is_told_with_the_cause(self, tmp_path):
        with (
            pytest.raises(VisionpipeError, match=r"cannot be read: .*No such file .*; train it again"),
            snapshot(tmp_path / "candidate"),
        ):
            pass

    def test_files_of_another_training_of_the_same_model_are_refused(self, plant, models, tmp_path):
        read = load_candidate(models["good"])
        folder = saved(replace(read, origin=ORIGIN), tmp_path / "trained later")
        with pytest.raises(VisionpipeError, match="files have changed since it was read"):
            require_judged(folder, read)

    def test_a_version_names_the_data_and_the_commit_of_its_training(self, plant, photos, models, tmp_path):
        """Whatever was committed and relabelled before it was judged."""
        candidate = replace(load_candidate(models["good"]), origin=ORIGIN)
        about = describe_model(candidate)
        facts = card_facts()
        told = promote_candidate(
            Registry("cells", saved(candidate, tmp_path / "candidate")),
            candidate,
            facts
            | {
                "evaluation": facts["evaluation"] | {"model": facts["evaluation"]["model"] | about},
                "examination": facts["examination"] | {"model": about},
            },
            photos.manifest,
            photos.read,
            lambda origin: DataVersion(**origin["data"], n_images=66, labels_by_origin={"import": 66}),
            PromotionParameters(resamples=200),
            IngestionParameters(),
        )
        assert told["alias"] == "champion"
        tags = MlflowClient().get_model_version("cells", "1").tags
        papers = ORIGIN["data"] | ORIGIN["provenance"]
        assert {name: tags[f"visionpipe.{name}"] for name in papers} == papers
        assert told["provenance"] == papers
        assert told["model"].items() >= about.items()

    @pytest.mark.parametrize("paper", ["evaluation", "examination"])
    @pytest.mark.parametrize("model", [{}, {"backbone": "x"}, {"weights_sha256": "of another"}, CALIBRATED])
    def test_papers_of_another_model_are_refused(self, paper, model, plant, photos, models, versions):
        good = load_candidate(models["good"])
        papers = {name: {"model": describe_model(good)} for name in ("evaluation", "examination")}
        papers[paper] = {"model": describe_model(good) | model if model == CALIBRATED else model}
        with pytest.raises(
            VisionpipeError, match=f"the {paper} is not of this candidate: run the evaluation"
        ):
            contest(
                Registry("cells", models["good"]),
                good,
                papers["evaluation"],
                photos.manifest,
                photos.read,
                {},
                PromotionParameters(resamples=200),
                examination=papers["examination"],
            )
        assert versions() == {}
