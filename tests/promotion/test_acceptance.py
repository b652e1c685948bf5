"""Good enough, in the user's words: each limit is met at its confidence bound."""

import math

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from statsmodels.stats.proportion import proportion_confint

from gate_cases import check, decide, labels_of, model_with, pair
from visionpipe.errors import VisionpipeError
from visionpipe.promotion.limits import parse_limit
from visionpipe.promotion.parameters import PromotionParameters


@pytest.mark.parametrize(
    ("share", "n", "limit", "outcome"),
    [
        (0.9, 400, "accuracy >= 0.85", "promote"),
        (0.9, 100, "accuracy >= 0.85", "insufficient_evidence"),
        (0.84, 400, "accuracy >= 0.85", "reject"),
        (1.0, 40, "balanced_accuracy >= 0.95", "insufficient_evidence"),
        (1.0, 400, "balanced_accuracy >= 0.95", "promote"),
        (0.9, 400, "recall[defective] >= 0.8", "promote"),
        (0.8, 400, "ece <= 0.1", "promote"),
        (0.95, 400, "ece <= 0.1", "reject"),
    ],
)
def test_without_a_champion_the_acceptance_limits_decide_at_their_confidence_bound(share, n, limit, outcome):
    if outcome == "reject" and limit.startswith("ece"):
        share = 0.65  # says 80 %
    labels_N, challenger = model_with(share, n)
    decision = decide(labels_N, challenger, parameters={"acceptance": [limit]})
    assert decision.outcome == outcome, decision.reason
    judged = check(decision, limit)
    assert judged.kind == "acceptance"
    assert judged.low <= judged.value <= judged.high
    if outcome == "insufficient_evidence" and share < 1:
        assert decision.images_needed > n


def test_a_first_model_without_limits_becomes_champion():
    decision = decide(*model_with(0.6, 100))
    assert decision.outcome == "promote"
    assert decision.champion_version is None
    assert "no acceptance limit" in decision.reason


def test_a_better_challenger_must_meet_the_acceptance_limits_as_well():
    labels_N = labels_of(800)
    models = pair(labels_N, 0.08, seed=1)
    assert decide(labels_N, *models, parameters={"acceptance": ["accuracy >= 0.5"]}).outcome == "promote"
    failed = decide(labels_N, *models, parameters={"acceptance": ["accuracy >= 0.5", "accuracy >= 0.99"]})
    assert failed.outcome == "reject"
    assert failed.reason.startswith("Not promoted: accuracy >= 0.99")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("acuracy >= 0.7", "did you mean 'accuracy'"),
        ("zebra >= 0.7", "known: accuracy"),
        ("accuracy > 0.7", "METRIC >= NUMBER"),
        ("accuracy >= seven", "'seven' is no number"),
        ("accuracy >= 70", "between 0 and 1"),
        ("accuracy >= nan", "between 0 and 1"),
        ("accuracy <= 0.7", "better when higher; use >="),
        ("ece >= 0.1", "better when lower; use <="),
        ("recall >= 0.7", "recall[CLASS] >= 0.7"),
        ("accuracy[defective] >= 0.7", "write accuracy >= 0.7"),
        ("log_loss <= inf", "between 0 and inf"),
        ("", "METRIC >= NUMBER"),
    ],
)
def test_a_mistyped_limit_is_named_before_anything_runs(text, hint):
    with pytest.raises(ValidationError) as error:
        PromotionParameters(acceptance=["accuracy >= 0.5", text])
    assert hint in str(error.value)
    assert repr(text) in str(error.value)


def test_limits_may_name_classes_with_odd_names():
    limit = parse_limit(" recall[T-shirt [old] >= 2] >= 0.25 ")
    assert (limit.metric, limit.class_name, limit.limit) == ("recall", "T-shirt [old] >= 2", 0.25)


def test_a_class_nobody_knows_is_named_with_those_that_are():
    parameters = PromotionParameters(acceptance=["recall[defectiv] >= 0.5"])
    assert len(parameters.limits()) == 1
    with pytest.raises(ValueError, match=r"'defectiv'; did you mean 'defective'\?"):
        parameters.limits(["functional", "defective"])
    with pytest.raises(ValueError, match=r"'defectiv'; known: a, b"):
        parameters.limits(["a", "b"])


@pytest.mark.parametrize(
    "wrong",
    [
        {"metrc": "accuracy"},
        {"metric": "f1"},
        {"level": 1},
        {"level": 95},
        {"resamples": 150, "level": 0.99},
        {"non_inferiority_margin": 5},
    ],
)
def test_parameters_out_of_range_are_refused(wrong):
    with pytest.raises(ValidationError):
        PromotionParameters(**wrong)


def test_parameters_do_not_change():
    with pytest.raises(ValidationError):
        PromotionParameters().level = 0.5


def judged(labels_N, decided_N, limit, *, sure=0.8, **others):
    probabilities_NK = np.where(np.eye(2)[decided_N] == 1, sure, 1 - sure)
    parameters = {"acceptance": [limit]} | others.pop("parameters", {})
    decision = decide(labels_N, probabilities_NK, parameters=parameters, **others)
    return decision, check(decision, limit)


@pytest.mark.parametrize(
    ("false_alarms", "outcome"), [(4, "promote"), (15, "insufficient_evidence"), (30, "reject")]
)
def test_a_limit_on_false_alarms_is_met_at_the_upper_bound(false_alarms, outcome):
    labels_N = np.repeat([0, 1], [400, 100])
    decided_N = labels_N.copy()
    decided_N[:false_alarms] = 1
    decision, limit = judged(labels_N, decided_N, "false_positive_rate[defective] <= 0.05")
    assert decision.outcome == outcome
    exact = proportion_confint(false_alarms, 400, alpha=0.05, method="beta")
    assert (limit.low, limit.high) == pytest.approx(exact)


def test_expected_cost_counts_the_users_costs_and_one_for_the_rest():
    """Twenty missed defects at 20 and ten false alarms at 1, of 500."""
    labels_N = np.repeat([0, 1], [300, 200])
    decided_N = labels_N.copy()
    decided_N[:10], decided_N[300:320] = 1, 0
    costs = {"parameters": {"costs": {"defective": {"functional": 20}}}}
    for limit, outcome in (("0.6", "reject"), ("0.9", "insufficient_evidence"), ("2", "promote")):
        decision, cost = judged(labels_N, decided_N, f"expected_cost <= {limit}", **costs)
        assert cost.value == pytest.approx((20 * 20 + 10) / 500)
        assert decision.outcome == outcome
    assert judged(labels_N, decided_N, "expected_cost <= 2")[1].value == pytest.approx(30 / 500)


@pytest.mark.parametrize(
    ("costs", "hint"),
    [
        ({"defectiv": {"functional": 2}}, "no class is called 'defectiv'"),
        ({"defective": {"functionl": 2}}, "no class is called 'functionl'"),
    ],
)
def test_costs_of_unknown_classes_are_named(costs, hint):
    with pytest.raises(VisionpipeError, match=hint):
        PromotionParameters(costs=costs).require_names(["functional", "defective"], [])
    assert decide(*model_with(0.9, 100), parameters={"costs": costs}).outcome == "reject"


@pytest.mark.parametrize("costs", [{"a": {"b": -1}}, {"a": {"a": 1}}, {"a": {"b": float("nan")}}])
def test_costs_that_make_no_sense_are_refused(costs):
    with pytest.raises(ValidationError):
        PromotionParameters(costs=costs)


@pytest.mark.parametrize(
    ("share", "outcome"), [(0.97, "promote"), (0.88, "insufficient_evidence"), (0.6, "reject")]
)
def test_the_worst_slice_must_meet_its_limit_whatever_the_others_do(share, outcome):
    labels_N = np.arange(800) % 2
    site_N = np.array([f"site{i}" for i in np.arange(800) // 2 % 8])
    wrong_M = np.flatnonzero(site_N == "site5")[: round(100 * (1 - share))]
    decided_N = labels_N.copy()
    decided_N[wrong_M] = 1 - labels_N[wrong_M]
    decision, worst = judged(labels_N, decided_N, "worst_slice(accuracy) >= 0.85", slices={"site": site_N})
    assert decision.outcome == outcome, decision.reason
    assert "site is site5" in worst.detail
    assert (worst.low, worst.high) == pytest.approx(
        proportion_confint(100 - len(wrong_M), 100, alpha=0.05, method="beta")
    )


def test_a_tiny_slice_is_no_worst_slice_and_without_slices_the_limit_is_open():
    labels_N = np.arange(400) % 2
    decided_N = labels_N.copy()
    decided_N[:4] = 1 - labels_N[:4]
    text = "worst_slice(accuracy) >= 0.9"
    site_N = np.where(np.arange(400) < 5, "tiny", np.where(np.arange(400) < 200, "a", "b"))
    decision, worst = judged(labels_N, decided_N, text, slices={"site": site_N})
    assert decision.outcome == "promote", decision.reason
    assert "1 smaller slice not judged" in worst.detail
    alone, open_ = judged(labels_N, decided_N, text)
    assert (alone.outcome, open_.passed) == ("insufficient_evidence", None)


def test_many_blameless_slices_do_not_reject():
    """Forty slices of 40 images, all at the limit: by chance alone some are far below it."""
    outcomes = []
    for seed in range(40):
        random = np.random.default_rng(seed)
        labels_N = np.arange(1600) % 2
        decided_N = np.where(random.random(1600) < 0.9, labels_N, 1 - labels_N)
        slices = {"site": np.array([f"s{i}" for i in np.arange(1600) // 40])}
        outcomes.append(judged(labels_N, decided_N, "worst_slice(accuracy) >= 0.9", slices=slices)[0].outcome)
    assert outcomes.count("reject") <= 3  # 2.5 % of 40, and luck
    assert "promote" not in outcomes


@pytest.mark.parametrize(
    ("latency", "outcome"),
    [
        (18.0, "promote"),
        (20.0, "promote"),
        (22.0, "reject"),
        ((18.0, 19.0), "promote"),
        ((18.0, 22.0), "insufficient_evidence"),
        ((18.0, None), "insufficient_evidence"),
        ((22.0, 30.0), "reject"),
        ((None, None), "insufficient_evidence"),
        (None, "insufficient_evidence"),
        (math.nan, "insufficient_evidence"),
    ],
)
def test_a_limit_on_speed_is_open_until_it_was_measured(latency, outcome):
    labels_N = np.arange(100) % 2
    decision, limit = judged(labels_N, labels_N, "latency_ms_p95 <= 20", latency_ms_p95=latency)
    assert decision.outcome == outcome
    measured = latency[0] if isinstance(latency, tuple) else latency
    assert limit.value == (None if measured is None or math.isnan(measured) else measured)


@pytest.mark.parametrize("metric", ["classwise_ece", "aurc", "ece", "log_loss"])
def test_limits_on_confidence_are_judged_too(metric):
    labels_N = np.arange(400) % 2
    decided_N = np.where(np.arange(400) % 10 == 0, 1 - labels_N, labels_N)
    assert judged(labels_N, decided_N, f"{metric} <= 0.9", sure=0.9)[0].outcome == "promote"
    assert judged(labels_N, decided_N, f"{metric} <= 0.001", sure=0.7)[0].outcome == "reject"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("worst_slice >= 0.7", r"write worst_slice\(accuracy\) >= 0.7"),
        ("worst_slice(acuracy) >= 0.7", r"write worst_slice\(accuracy\) >= 0.7"),
        ("accuracy() >= 0.7", "write accuracy >= 0.7"),
        ("false_positive_rate <= 0.1", r"write false_positive_rate\[CLASS\] <= 0.1"),
        ("false_positive_rate[x] >= 0.1", "better when lower; use <="),
        ("recall(x) >= 0.1", r"write recall\[CLASS\]"),
        ("latency_ms_p95 <= -1", "between 0 and inf"),
        ("wurst_slice(accuracy) >= 0.7", "did you mean 'worst_slice'"),
    ],
)
def test_a_mistyped_limit_of_the_newer_kinds_is_named(text, hint):
    with pytest.raises(ValidationError, match=hint):
        PromotionParameters(acceptance=[text])


@pytest.mark.parametrize(
    ("parameters", "hint"),
    [
        (
            {"slices": ["sight"]},
            "promotion.slices: no attribute column is called 'sight'; did you mean 'site'",
        ),
        ({"slice_pairs": [["site", "camra"]]}, "slice_pairs: .*'camra'; did you mean 'camera'"),
        ({"acceptance": ["recall[defectiv] >= 0.8"]}, "promotion.acceptance .*'defectiv'"),
    ],
)
def test_a_mistyped_name_is_an_error_before_training(parameters, hint):
    with pytest.raises(VisionpipeError, match=hint):
        PromotionParameters(**parameters).require_names(["functional", "defective"], ["site", "camera"])
    right = PromotionParameters(
        slices=["site"], slice_pairs=[["site", "label"]], acceptance=["recall[defective] >= 0.8"]
    )
    right.require_names(["functional", "defective"], ["site", "camera"])


def test_training_is_not_even_started_with_a_mistyped_name():
    from visionpipe.pipelines.validation.nodes import admit_data

    manifest = pd.DataFrame(
        {"image_id": ["a", "b"], "label": ["functional", "defective"], "site": ["x", "y"]}
    )
    right = PromotionParameters(slices=["site"], acceptance=["recall[defective] >= 0.8"])
    assert admit_data(manifest, {"success": True}, right) is manifest
    for wrong in ({"slices": ["sight"]}, {"acceptance": ["recall[defectiv] >= 0.8"]}):
        with pytest.raises(VisionpipeError, match="promotion"):
            admit_data(manifest, {"success": True}, PromotionParameters(**wrong))
