"""A person lets a proposed model in, or puts the old one back; nobody gets around the gate that way."""

from __future__ import annotations

import pytest
from mlflow import MlflowClient

from visionpipe.errors import VisionpipeError
from visionpipe.promotion import record
from visionpipe.promotion.registry import Registry
from visionpipe.promotion.succession import approve, rollback

WORDS = {"by": "A. Jones", "why": "checked the worst mistakes"}


@pytest.fixture
def client(plant) -> MlflowClient:
    return MlflowClient()


@pytest.fixture
def refused(client):
    """`refused(approve, "2", match="...")`: it is turned down in one line, and nothing has changed."""

    def is_refused(change, version=None, *, match, **words):
        before = aliases(client)
        told = [event for event in record.events(client, "cells") if event.kind in ("approval", "rollback")]
        with pytest.raises(VisionpipeError, match=match) as error:
            change("cells", version, **{**WORDS, **words})
        assert "\n" not in str(error.value)
        assert aliases(client) == before
        after = [event for event in record.events(client, "cells") if event.kind in ("approval", "rollback")]
        assert after == told

    return is_refused


@pytest.fixture
def three_champions(promote, models):
    """Make versions 1, 2 and 3 champion one after the other, by a gate that lets everyone in."""

    def crown():
        yes = promote("poor").decision
        for _ in range(2):
            Registry("cells", models["poor"]).promote(
                lambda *_: yes,
                mode="promote",
                evaluation={},
                tags={},
                test_image_ids=["a"],
                metric="accuracy",
            )

    return crown


def aliases(client) -> dict[str, str]:
    names = [model.name for model in client.search_registered_models()]
    found = client.get_registered_model("cells").aliases if "cells" in names else {}
    return {name: str(version) for name, version in found.items()}


def unreadable(plant, version):
    """Damage the files of a version."""
    model_id = MlflowClient().get_model_version("cells", version).source.rpartition("/")[2]
    (path,) = (plant / "mlartifacts").rglob(f"models/{model_id}/**/weights.safetensors")
    path.write_bytes(b"nothing")


class TestApprove:
    def test_the_model_that_waits_becomes_champion(self, promote, client, is_good):
        promote("poor")
        promote("good", mode="propose")
        event = approve("cells", **WORDS)
        assert aliases(client) == {"champion": "2"}
        assert is_good(Registry("cells").champion())
        assert event == record.events(client, "cells")[-1]
        assert (event.kind, event.who) == ("approval", "A. Jones")
        assert event.payload == {"version": "2", "previous": "1", "why": "checked the worst mistakes"}

    def test_the_first_model_can_wait_too(self, promote, client):
        promote("poor", mode="propose")
        assert approve("cells", **WORDS).payload["previous"] is None
        assert aliases(client) == {"champion": "1"}

    def test_an_earlier_proposal_can_be_chosen(self, promote, client):
        promote("poor")
        promote("good", mode="propose")
        promote("good", mode="propose")
        approve("cells", "2", **WORDS)
        assert aliases(client) == {"champion": "2"}  # nobody waits who is the champion's twin

    def test_a_champion_that_has_changed_since_must_be_met_again(self, promote, refused):
        promote("poor", mode="propose")
        promote("poor")
        refused(
            approve,
            "1",
            match=r"v1 was judged against no champion, and v2 is champion now: run the promotion again",
        )
        promote("good", mode="propose")
        promote("good")
        refused(approve, "3", match=r"v3 was judged against champion v2, and v4 is champion now")

    def test_a_champion_that_is_gone_since_must_be_met_again(self, promote, client, refused):
        promote("poor")
        promote("good", mode="propose")
        client.delete_registered_model_alias("cells", "champion")
        refused(approve, match="v2 was judged against champion v1, and there is none now")

    def test_only_what_was_proposed(self, promote, client, refused):
        refused(approve, match="no version waits for approval; with promotion.mode: propose")
        refused(approve, "1", match="cells has no version 1")
        promote("poor")
        refused(approve, match="no version waits")
        refused(approve, "1", match="v1 is champion already")
        refused(approve, "7", match="cells has no version 7")
        refused(approve, "latest", match="cells has no version latest")
        refused(
            approve, "", match="^VERSION is empty: give a version's number, or leave it out for the one that"
        )
        promote("good")
        reign = r"v1 was champion from 20\d\d-.* to 20.* UTC: .*visionpipe rollback --to 1$"
        refused(approve, "1", match=reign)

    def test_a_former_champion_that_was_approved_once_is_brought_back_too(self, promote, client, refused):
        promote("poor")
        promote("good", mode="propose")
        approve("cells", **WORDS)
        crowned = record.events(client, "cells")[-1].at
        promote("poor", mode="propose", min_test_images=2)
        rollback("cells", "1", **WORDS)
        left = record.events(client, "cells")[-1].at
        assert record.reign(record.events(client, "cells"), "2") == (crowned, left)
        assert record.reign(record.events(client, "cells"), "1") == (left, None)
        assert record.reign(record.events(client, "cells"), "3") is None
        client.set_model_version_tag("cells", "2", "visionpipe.champion_beaten", "3")
        refused(
            approve, "2", match=f"v2 was champion from {crowned:%Y-%m-%d %H:%M} to {left:%Y-%m-%d %H:%M} UTC"
        )

    def test_an_alias_set_by_hand_does_not_get_around_the_gate(self, promote, client, refused):
        promote("good")
        source = client.get_model_version("cells", "1").source
        client.create_model_version("cells", source=source)
        client.set_registered_model_alias("cells", "challenger", "2")
        refused(approve, match="v2 was never proposed: only a version that won its comparison")

    def test_one_that_cannot_be_read_stays_out(self, promote, plant, refused):
        promote("poor")
        promote("good", mode="propose")
        unreadable(plant, "2")
        refused(approve, match="version cells v2 cannot be read")

    @pytest.mark.parametrize("words", [{"by": " "}, {"why": ""}, {"why": "x" * 1001}, {"by": "x" * 201}])
    def test_who_and_why_must_be_said(self, words, promote, refused):
        promote("poor", mode="propose")
        refused(approve, match=rf"^--{next(iter(words))}", **words)

    @pytest.mark.parametrize("step", ["set_registered_model_alias", "delete_registered_model_alias"])
    def test_stopped_halfway_it_can_be_done_again(self, step, promote, client, monkeypatch):
        promote("poor")
        promote("good", mode="propose")
        stop_at(step, monkeypatch, lambda: approve("cells", **WORDS))
        assert record.events(client, "cells")[-1].who == "A. Jones"
        if step == "set_registered_model_alias":
            assert aliases(client)["champion"] == "1"
            approve("cells", **WORDS)
            told = [event.kind for event in record.events(client, "cells")][-3:]
            assert told == ["approval", "correction", "approval"]
        else:
            with pytest.raises(VisionpipeError, match="no version waits"):
                approve("cells", **WORDS)
        assert aliases(client) == {"champion": "2"}
        assert record.champions(record.events(client, "cells")) == ["1", "2"]


class TestRollback:
    def test_the_champion_before_comes_back(self, promote, client, is_good):
        promote("poor")
        promote("good")
        event = rollback("cells", by="B. Ito", why="misses cracks")
        assert aliases(client) == {"champion": "1"}
        assert not is_good(Registry("cells").champion())
        assert (event.kind, event.who) == ("rollback", "B. Ito")
        assert event.payload == {"version": "1", "previous": "2", "why": "misses cracks"}

    def test_twice_goes_back_two_champions(self, three_champions, client, refused):
        three_champions()
        rollback("cells", **WORDS)
        rollback("cells", **WORDS)
        assert aliases(client) == {"champion": "1"}
        refused(rollback, match="no earlier champion is on record")

    def test_one_that_was_taken_back_can_return(self, three_champions, client):
        three_champions()
        rollback("cells", "1", **WORDS)
        rollback("cells", "3", **WORDS)
        assert aliases(client) == {"champion": "3"}
        rollback("cells", **WORDS)
        assert aliases(client) == {"champion": "1"}

    def test_it_works_when_the_champion_cannot_be_read(self, promote, plant, client):
        promote("poor")
        promote("good")
        unreadable(plant, "2")
        assert promote("good").decision.outcome == "reject"
        rollback("cells", **WORDS)
        assert promote("good").alias == "challenger"  # it was taken back: a person lets it in again

    def test_the_same_model_waits_for_a_person_then(self, promote, client):
        """Else the next retraining on the same data makes champion again what a person took back."""
        promote("poor")
        promote("good")
        rollback("cells", by="B. Ito", why="misses cracks")
        promotion = promote("good")
        assert (promotion.decision.outcome, promotion.alias) == ("promote", "challenger")
        assert "B. Ito took this very model back on 20" in promotion.decision.reason
        assert "(misses cracks): it waits until a person lets it in" in promotion.decision.reason
        assert aliases(client) == {"champion": "1", "challenger": "3"}
        last = record.events(client, "cells")[-1]
        assert (last.kind, last.payload["version"]) == ("proposal", "3")
        approve("cells", **WORDS)
        assert aliases(client) == {"champion": "3"}
        client.set_registered_model_alias("cells", "champion", "1")
        assert promote("good").alias == "champion"  # for a person has let it in since

    def test_what_was_proposed_waits_no_more_when_it_is_promoted(self, promote, client):
        promote("poor")
        proposed = promote("good", mode="propose").decision
        promoted = promote("good").decision
        assert promoted.wear.comparison == proposed.wear.comparison == 2  # the same look, not another one
        assert aliases(client) == {"champion": "3"}

    def test_stopped_on_the_way_to_an_earlier_one_it_forgets_nobody(
        self, three_champions, client, monkeypatch
    ):
        three_champions()
        stop_at("set_registered_model_alias", monkeypatch, lambda: rollback("cells", "1", **WORDS))
        assert rollback("cells", **WORDS).payload["version"] == "2"

    def test_only_to_what_was_champion(self, promote, client, refused):
        refused(rollback, match="no earlier champion is on record")
        promote("poor")
        refused(rollback, match="no earlier champion is on record")
        refused(rollback, "1", match="v1 is champion already")
        promote("good", mode="propose")
        refused(rollback, "2", match="v2 was never champion; earlier champions: none")
        approve("cells", **WORDS)
        refused(rollback, "9", match="v9 was never champion; earlier champions: v1")
        refused(
            rollback, " ", match="^--to is empty: give a version's number, or leave it out for the champion"
        )

    def test_not_to_one_whose_files_are_damaged(self, promote, plant, refused):
        promote("poor")
        promote("good")
        unreadable(plant, "1")
        refused(rollback, match="version cells v1 cannot be read")

    def test_not_to_one_that_was_deleted(self, promote, client, refused):
        promote("poor")
        promote("good")
        client.delete_model_version("cells", "1")
        refused(rollback, match="cells has no version 1")

    def test_stopped_halfway_it_can_be_done_again(self, promote, client, monkeypatch):
        promote("poor")
        promote("good")
        stop_at("set_registered_model_alias", monkeypatch, lambda: rollback("cells", **WORDS))
        assert aliases(client) == {"champion": "2"}
        assert rollback("cells", **WORDS).payload["version"] == "1"
        assert aliases(client) == {"champion": "1"}

    def test_a_promotion_that_a_crash_stopped_is_nothing_to_go_back_to(
        self, promote, client, monkeypatch, refused
    ):
        promote("poor")
        stop_at("set_registered_model_alias", monkeypatch, lambda: promote("good"))
        promote("good")
        assert aliases(client) == {"champion": "3"}
        refused(rollback, "2", match="v2 was never champion; earlier champions: v1")
        assert rollback("cells", **WORDS).payload["version"] == "1"


def stop_at(step, monkeypatch, act):
    with monkeypatch.context() as crash, pytest.raises(KeyboardInterrupt):

        def stop(*args, **kwargs):
            raise KeyboardInterrupt

        crash.setattr(MlflowClient, step, stop)
        act()
