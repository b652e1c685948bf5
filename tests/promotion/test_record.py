"""What was decided about a model stays on record: nothing is overwritten, lost in a crash, or quietly left out."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import mlflow
import pytest
from mlflow import MlflowClient

from photo_sets import saved
from visionpipe.errors import VisionpipeError
from visionpipe.models.candidate import load_candidate
from visionpipe.promotion import record
from visionpipe.promotion.comparisons import comparisons_of, identity_of, images_file
from visionpipe.promotion.record import PREFIX


@pytest.fixture
def client(plant) -> MlflowClient:
    return MlflowClient()


def kinds(client) -> list[str]:
    return [event.kind for event in record.events(client, "cells")]


class TestEvents:
    def test_a_model_without_a_record_has_no_events(self, client):
        assert record.events(client, "cells") == []
        assert record.reconcile(client, "cells") == []

    def test_they_come_back_as_they_were_written_oldest_first(self, client):
        written = [
            record.append(
                client, "cells", "rollback", {"version": str(number), "why": "ünïcode"}, who="A. Jones"
            )
            for number in range(5)
        ]
        assert record.events(client, "cells") == written
        assert record.events(client, "cells", "approval") == []
        assert all(abs(event.at - datetime.now(UTC)) < timedelta(minutes=5) for event in written)

    def test_a_clock_that_is_behind_does_not_change_the_order(self, client):
        """As when two machines promote: who comes second is second, whatever its clock says."""
        ahead = datetime.now(UTC) + timedelta(days=1)
        key = f"{PREFIX}{ahead.strftime('%Y%m%dT%H%M%S.%fZ')}.0"
        client.create_registered_model("cells")
        value = json.dumps({"kind": "promotion", "who": "fast", "payload": {"version": "1"}})
        client.set_registered_model_tag("cells", key, value)
        record.append(client, "cells", "rollback", {"version": "0"}, who="slow")
        assert [event.who for event in record.events(client, "cells")] == ["fast", "slow"]

    def test_what_does_not_fit_is_refused_before_anything_is_written(self, client):
        with pytest.raises(VisionpipeError, match=r"does not fit the record \(5000\); shorten"):
            record.append(client, "cells", "rollback", {"why": "x" * 5000}, who="A. Jones")
        assert record.events(client, "cells") == []

    def test_a_long_reason_is_shortened_and_a_script_costs_one_character_a_letter(self, client):
        event = record.append(client, "cells", "comparison", {"reason": '"ж' * 4000, "n": 3}, who="王")
        (found,) = record.events(client, "cells")
        assert found == event
        assert found.payload["reason"].endswith("…")
        assert found.payload["n"] == 3
        assert len(client.get_registered_model("cells").tags[event.key]) <= 5000
        record.append(client, "cells", "rollback", {"why": "新线" * 500}, who="王" * 200)

    @pytest.mark.parametrize("value", ["", "[]", "{}", '{"kind": "comparison", "who": "x", "payload": 3}'])
    def test_a_damaged_event_is_not_taken_for_none(self, value, client, promote, versions):
        """Else whoever damages a comparison would get fresh test images for it."""
        promote("poor")
        (event,) = record.events(client, "cells", "comparison")
        client.set_registered_model_tag("cells", event.key, value)
        with pytest.raises(VisionpipeError, match="is no event of the record") as refused:
            promote("good")
        assert "\n" not in str(refused.value)
        assert versions() == {"1": ["champion"]}

    def test_other_tags_of_the_model_are_no_events(self, client):
        client.create_registered_model("cells", tags={"team": "optics", "visionpipe.note": "x"})
        assert record.events(client, "cells") == []


class TestPromotions:
    def test_a_comparison_is_on_record_before_its_promotion(self, promote, client):
        promote("poor")
        promote("good")
        assert kinds(client) == ["comparison", "promotion"] * 2
        first, promoted, second, last = record.events(client, "cells")
        assert promoted.payload["comparison"] == first.key
        assert (promoted.payload["version"], promoted.payload["previous"]) == ("1", None)
        assert (last.payload["version"], last.payload["previous"]) == ("2", "1")
        assert second.payload["outcome"] == "promote"
        assert second.payload["champion_version"] == "1"
        assert second.payload["gain"]["low"] > 0
        assert second.who

    def test_a_proposal_is_no_promotion(self, promote, client):
        promote("poor", mode="propose")
        assert kinds(client) == ["comparison", "proposal"]
        assert record.champions(record.events(client, "cells")) == []

    def test_who_looks_at_no_test_image_is_not_counted(self, promote, client):
        promote("good", min_test_images=1000)
        assert kinds(client) == []

    def test_a_champion_set_by_hand_is_found_and_noted(self, promote, client):
        promote("poor")
        promote("good")
        client.set_registered_model_alias("cells", "champion", "1")
        promote("good")
        correction = record.events(client, "cells", "correction")[0]
        assert (correction.payload["version"], correction.payload["previous"]) == ("1", "2")
        assert record.champions(record.events(client, "cells")) == ["1", "3"]

    def test_a_model_that_was_champion_before_there_was_a_record_enters_it(self, promote, client):
        promote("poor")
        for event in record.events(client, "cells"):
            client.delete_registered_model_tag("cells", event.key)
        promote("good")
        assert record.champions(record.events(client, "cells")) == ["1", "2"]
        assert kinds(client)[0] == "correction"


class TestComparisons:
    def test_they_name_their_images(self, promote, client, photos):
        test = frozenset(photos.manifest.loc[photos.manifest["split"] == "test", "image_id"])
        promote("poor")
        promote("good")
        found = comparisons_of(record.events(client, "cells"))
        assert [comparison.image_ids for comparison in found] == [test, test]
        assert [comparison.champion_version for comparison in found] == [None, "1"]
        assert [comparison.outcome for comparison in found] == ["promote", "promote"]
        assert found[0].at < found[1].at

    def test_each_wears_the_images_and_fresh_ones_do_not_count(self, promote, photos):
        test = photos.manifest[photos.manifest["split"] == "test"].sort_values("image_id")
        learned = photos.manifest[photos.manifest["split"] != "test"]
        promote("poor", manifest=test.head(30).pipe(with_rows, learned))
        wear = promote(
            "good", manifest=test.tail(30).pipe(with_rows, learned), min_test_images=10
        ).decision.wear
        assert (wear.n_images, wear.n_fresh) == (30, 10)
        assert wear.most_uses == 1

    @pytest.mark.parametrize("damage", ["lost", "changed"])
    def test_one_whose_images_can_no_longer_be_read_counts_for_every_image(
        self, damage, promote, client, photos, tmp_path
    ):
        test = photos.manifest[photos.manifest["split"] == "test"].sort_values("image_id")
        learned = photos.manifest[photos.manifest["split"] != "test"]
        promote("poor", manifest=test.head(30).pipe(with_rows, learned))
        (event,) = record.events(client, "cells", "comparison")
        run_id = event.payload["run_id"]
        if damage == "lost":
            client.delete_run(run_id)
            mlflow.artifacts  # noqa: B018 - the run is only marked as deleted: its files go too
            for path in tmp_path.rglob("test_images-*.json"):
                path.unlink()
        else:
            file = images_file(event.payload["images_sha256"])
            client.log_dict(run_id, {"image_ids": ["none of yours"]}, file)
        assert [comparison.image_ids for comparison in comparisons_of(record.events(client, "cells"))] == [
            None
        ]
        wear = promote(
            "good", manifest=test.tail(10).pipe(with_rows, learned), min_test_images=10
        ).decision.wear
        assert (wear.n_fresh, wear.comparison) == (0, 2)

    def test_two_in_one_run_keep_their_images_apart(self, promote, client, photos):
        test = photos.manifest[photos.manifest["split"] == "test"].sort_values("image_id")
        learned = photos.manifest[photos.manifest["split"] != "test"]
        with mlflow.start_run():
            for name, part in (("poor", test.head(30)), ("good", test.tail(30))):
                promote(name, manifest=part.pipe(with_rows, learned))
        first, second = comparisons_of(record.events(client, "cells"))
        assert first.image_ids == frozenset(test.head(30)["image_id"])
        assert second.image_ids == frozenset(test.tail(30)["image_id"])

    def test_a_list_of_an_early_run_is_read_under_its_early_name(self, promote, client, tmp_path):
        promote("poor")
        (path,) = tmp_path.rglob("test_images-*.json")
        path.rename(path.with_name("test_images.json"))
        (compared,) = comparisons_of(record.events(client, "cells"))
        assert len(compared.image_ids) == 40

    def test_the_same_model_trained_at_a_later_commit_is_the_same_candidate(self, models, tmp_path):
        origin = {"data": {}, "provenance": {"git_commit": "abc"}}
        later = saved(replace(load_candidate(models["good"]), origin=origin), tmp_path / "later")
        good, poor = (identity_of(models[name], "1", "basis") for name in ("good", "poor"))
        assert identity_of(later, "1", "basis") == good != poor

    def test_the_very_same_comparison_again_is_no_second_look(self, promote, client):
        promote("good")
        first = promote("poor").decision
        for again in (promote("poor", tags={"git_commit": "abc"}), promote("poor", mode="propose")):
            assert again.decision.as_dict() == first.as_dict()
        assert len(comparisons_of(record.events(client, "cells"))) == 2
        assert kinds(client).count("comparison") == 4  # each is on record nevertheless
        assert promote("poor", seed=1).decision.wear.comparison == 3

    @pytest.mark.parametrize("column", ["label", "group_id", "camera"])
    def test_other_facts_of_the_same_images_are_another_comparison(self, column, promote, photos):
        promote("good")
        promote("poor")
        manifest = photos.manifest.copy()
        first = manifest.index[manifest["split"] == "test"][0]
        values = {"label": {"red": "blue", "blue": "red"}.get(manifest.loc[first, "label"])}
        manifest.loc[first, column] = values.get(column, "another")
        assert promote("poor", manifest=manifest).decision.wear.comparison == 3


def with_rows(test, learned):
    import pandas as pd

    return pd.concat([test, learned])
