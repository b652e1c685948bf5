"""What must never get in: a loss in one slice under a gain of the whole, and models that have seen the test."""

from dataclasses import replace

import numpy as np
import pytest

from visionpipe.promotion.parameters import PromotionParameters

FAST = {"resamples": 300}


@pytest.fixture(scope="module")
def photos(cells):
    """Real answers to photos of two types of solar cell."""
    from gate_studies import other_seeds

    kinds = cells.manifest["stratum"].str.rsplit(" ", n=1).str[1]
    typed = replace(cells, manifest=cells.manifest.assign(cell_type=kinds), slices=("cell_type",))
    study = other_seeds(typed, 0, by_group=False)
    return study.test.joined(study.elsewhere)


def test_a_loss_planted_in_one_slice_is_blocked_while_the_whole_gains(photos):
    """20 challengers: 10 points worse on monocrystalline cells, 16 better on the others."""
    from gate_studies import planted

    random, blind, seeing = np.random.default_rng(0), [], []
    for seed in range(20):
        drawn = photos.rows(random.integers(0, len(photos.labels_N), size=1500))
        faulty = planted(drawn, "cell_type", "mono", loss=0.1, gain_elsewhere=0.16, seed=seed)
        parameters = PromotionParameters(metric="accuracy", seed=seed, **FAST)
        blind.append(replace(faulty, slices={}).judged(parameters).outcome)
        seeing.append(faulty.judged(parameters))
    assert blind.count("promote") >= 15, "the whole must gain, or there is nothing to block"
    assert {decision.outcome for decision in seeing} == {"reject"}
    assert all("cell_type is mono" in decision.reason for decision in seeing)


def test_without_a_planted_loss_the_same_slices_block_nothing(photos):
    from gate_studies import planted

    outcomes = []
    for seed in range(20):
        drawn = photos.rows(np.random.default_rng(seed).integers(0, len(photos.labels_N), size=1500))
        better = planted(drawn, "cell_type", "mono", loss=0.0, gain_elsewhere=0.16, seed=seed)
        outcomes.append(better.judged(PromotionParameters(metric="accuracy", seed=seed, **FAST)).outcome)
    assert outcomes.count("promote") >= 18


@pytest.mark.parametrize("who", ["champion", "challenger"])
@pytest.mark.parametrize("what", ["ids", "groups"])
def test_every_single_test_image_that_a_model_has_learned_from_is_found(photos, who, what):
    """One leaked image among 400 is enough, whichever it is; so is a near-duplicate of it (its group)."""
    some = photos.rows(np.arange(400))
    some = replace(some, group_ids_N=np.array([f"group{k // 2}" for k in range(400)]))
    ids = {"ids": [str(k) for k in range(400)], "groups": some.group_ids_N.tolist()}[what]
    trained_on = {f"other{k}" for k in range(1000)}
    for leaked in ids:
        decision = some.judged(PromotionParameters(**FAST), **{f"{who}_seen_{what}": trained_on | {leaked}})
        assert decision.outcome == "reject"
        assert f"the {who} has learned from 1 of the test" in decision.reason
        assert leaked in decision.reason
    clean = some.judged(PromotionParameters(**FAST), **{f"{who}_seen_{what}": trained_on})
    assert all(check.passed for check in clean.checks if check.kind == "leak")
