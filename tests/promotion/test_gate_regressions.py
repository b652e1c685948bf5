"""No class and no slice pays for a gain."""

import numpy as np
import pytest

from gate_cases import answers, check, decide, labels_of, pair


@pytest.fixture
def regression():
    """2,000 images: 5 points better over all, 12 points worse at one of four sites."""
    random = np.random.default_rng(7)
    labels_N = labels_of(2000, share=0.5)
    site_N = np.array(["Ulm", "Graz", "Bern", "Linz"])[random.integers(0, 4, size=2000)]
    champion_N = random.random(2000) < 0.85
    right = np.where(site_N == "Linz", 0.73, 0.94)
    challenger_N = np.where(champion_N, random.random(2000) < right + 0.04, random.random(2000) < right - 0.2)
    return labels_N, answers(labels_N, challenger_N), answers(labels_N, champion_N), site_N


def test_a_planted_regression_in_one_slice_is_blocked_while_the_whole_gains(regression):
    labels_N, challenger, champion, site_N = regression
    assert decide(labels_N, challenger, champion).outcome == "promote"
    decision = decide(
        labels_N, challenger, champion, slices={"site": site_N}, parameters={"slices": ["site"]}
    )
    assert check(decision, "gain").passed
    assert decision.outcome == "reject"
    assert "site is Linz" in decision.reason
    linz = check(decision, "accuracy where site is Linz")
    assert linz.kind == "non_inferiority"
    assert linz.value < -0.05 == linz.limit
    assert linz.passed is False
    assert all(check(decision, f"accuracy where site is {s}").passed for s in ("Ulm", "Graz", "Bern"))


def test_small_slices_are_listed_and_block_nothing():
    labels_N = labels_of(800)
    site_N = np.array([f"site{i % 100}" for i in range(800)])
    decision = decide(labels_N, *pair(labels_N, 0.08, seed=8), slices={"site": site_N})
    sites = [c for c in decision.checks if "site" in c.name and c.kind == "non_inferiority"]
    assert len(sites) == 30
    more = check(decision, "70 more slices")
    assert "too few images to judge" in more.detail
    assert not more.blocking
    assert all(c.passed is None and not c.blocking and "too few images to judge" in c.detail for c in sites)
    assert decision.outcome == "promote"


def test_middling_slices_do_not_block_for_lack_of_data_either():
    """Twenty slices of 40 images: in most some are a few points down by chance alone."""
    promoted = 0
    for seed in range(40):
        labels_N = labels_of(800, seed)
        site_N = np.array([f"site{i % 20}" for i in range(800)])
        promoted += (
            decide(
                labels_N, *pair(labels_N, 0.1, seed), slices={"site": site_N}, parameters={"resamples": 200}
            ).outcome
            == "promote"
        )
    assert promoted >= 36


def test_a_loss_in_a_slice_too_small_for_the_margin_is_rarely_promoted():
    """100 of 500 images are of Linz, where the challenger is 12 points worse; its errors are its own."""
    random, outcomes = np.random.default_rng(21), []
    site_N = np.array(["Graz"] * 400 + ["Linz"] * 100)
    columns = {"site": site_N, "camera": np.array(["x", "y"] * 250), "shift": np.array(list("abcde") * 100)}
    for _ in range(40):
        labels_N = random.integers(0, 2, 500)
        champion = answers(labels_N, random.random(500) < 0.85)
        challenger = answers(labels_N, random.random(500) < np.where(site_N == "Graz", 0.95, 0.73))
        fast = {"resamples": 200}
        outcomes.append(decide(labels_N, challenger, champion, slices=columns, parameters=fast).outcome)
    assert outcomes.count("promote") <= 12  # 13 % of many; 63 % when the challenger's own errors excused it


def test_whoever_disagrees_more_in_a_small_slice_is_not_excused_for_it():
    """Ten images lost of 90 at Linz, net: more disagreement is less certainty, and no reason to look away."""
    labels_N = np.arange(900) % 2
    linz_N = np.arange(900) < 90
    champion_N = np.where(linz_N, np.arange(900) >= 12, np.arange(900) % 4 > 0)
    for more in (0, 12):
        challenger_N = ~linz_N | champion_N
        challenger_N[20 : 30 + more] = False
        challenger_N[:more] = True
        decision = decide(
            labels_N,
            answers(labels_N, challenger_N),
            answers(labels_N, champion_N),
            slices={"site": np.where(linz_N, "Linz", "Graz")},
        )
        linz = check(decision, "accuracy where site is Linz")
        assert linz.value == pytest.approx(-10 / 90)
        assert linz.passed is False or (linz.passed is None and linz.blocking)
        assert decision.outcome != "promote"


def test_what_is_too_small_to_judge_says_which_loss_is_possible():
    labels_N = labels_of(800)
    site_N = np.array([f"site{i % 20}" for i in range(800)])
    decision = decide(labels_N, *pair(labels_N, 0.1, seed=1), slices={"site": site_N})
    unjudged = [c for c in decision.checks if "site is" in c.name and c.passed is None]
    assert unjudged
    for each in unjudged:
        assert f"a loss of up to {100 * max(0.05, -each.low):.2g} points is possible" in each.detail


def test_a_large_slice_whose_loss_can_not_be_excluded_leaves_it_open():
    n = 6000
    labels_N, random = labels_of(n, share=0.5), np.random.default_rng(9)
    new_N = np.arange(n) < 1500
    champion_N = random.random(n) < 0.9
    challenger_N = champion_N | (random.random(n) < 0.6)
    challenger_N[new_N] = champion_N[new_N] & (random.random(1500) > 0.046)
    decision = decide(
        labels_N,
        answers(labels_N, challenger_N),
        answers(labels_N, champion_N),
        slices={"camera": np.where(new_N, "new", "old")},
    )
    camera = check(decision, "accuracy where camera is new")
    assert (camera.passed, camera.blocking) == (None, True)
    assert camera.low < -0.05 < camera.high
    assert decision.outcome == "insufficient_evidence"


def test_a_forgotten_class_is_blocked():
    """Better on the common class, lost on the rare one: accuracy gains all the same."""
    labels_N, random = labels_of(1500, share=0.1), np.random.default_rng(10)
    champion_N = random.random(1500) < 0.8
    challenger_N = np.where(
        labels_N == 1, random.random(1500) < 0.4, champion_N | (random.random(1500) < 0.8)
    )
    decision = decide(
        labels_N,
        answers(labels_N, challenger_N),
        answers(labels_N, champion_N),
        parameters={"metric": "accuracy"},
    )
    assert check(decision, "gain").passed
    assert decision.outcome == "reject"
    assert "Youden's J of class defective" in decision.reason


def test_missing_slice_values_belong_to_no_slice():
    labels_N = labels_of(400)
    site_N = np.array(["north", None, np.nan, "south"] * 100, dtype=object)
    decision = decide(labels_N, *pair(labels_N, 0.1, seed=14), slices={"site": site_N})
    assert [c.name for c in decision.checks if "site" in c.name] == [
        "accuracy where site is north",
        "accuracy where site is south",
    ]


def test_a_class_that_the_challenger_has_never_heard_of_has_probability_zero_and_blocks():
    labels_N = labels_of(600, share=0.2)
    champion = answers(labels_N, np.random.default_rng(16).random(600) < 0.8)
    decision = decide(labels_N, np.tile([1.0, 0.0], (600, 1)), champion)
    assert decision.outcome == "reject"
    assert check(decision, "Youden's J of class defective").passed is False


def test_a_regression_in_one_combination_of_two_columns_is_found_when_it_is_asked_for():
    """Each site and each camera loses little; one camera at one site loses a lot."""
    random = np.random.default_rng(20)
    labels_N = labels_of(4000, share=0.5)
    site_N, camera_N = (
        np.array(names)[random.integers(0, 4, size=4000)] for names in (list("abcd"), list("wxyz"))
    )
    champion_N = random.random(4000) < 0.85
    lost_N = (site_N == "b") & (camera_N == "y")
    challenger_N = np.where(
        lost_N, champion_N & (random.random(4000) < 0.7), champion_N | (random.random(4000) < 0.5)
    )
    models = answers(labels_N, challenger_N), answers(labels_N, champion_N)
    slices = {"site": site_N, "camera": camera_N}
    assert decide(labels_N, *models, slices=slices).outcome == "promote"
    decision = decide(labels_N, *models, slices=slices, parameters={"slice_pairs": [["site", "camera"]]})
    assert decision.outcome == "reject"
    assert check(decision, "accuracy where site is b and camera is y").passed is False
    assert sum(" and camera is " in c.name for c in decision.checks) == 16
    of_class = decide(labels_N, *models, slices=slices, parameters={"slice_pairs": [["site", "label"]]})
    names = {c.name for c in of_class.checks}
    assert {
        f"accuracy where site is {s} and label is {k}" for s in "abcd" for k in ("functional", "defective")
    } <= names


@pytest.mark.parametrize("asked", [{"slices": ["site"]}, {"slice_pairs": [["site", "label"]]}])
@pytest.mark.parametrize("champion", [True, False])
def test_a_column_without_a_value_on_any_test_image_leaves_it_open(asked, champion):
    labels_N = labels_of(400)
    better, worse = pair(labels_N, 0.1, seed=14)
    site_N = np.full(400, None)
    decision = decide(
        labels_N, better, worse if champion else None, slices={"site": site_N}, parameters=asked
    )
    assert decision.outcome == "insufficient_evidence"
    assert "no test image has a value of 'site'" in decision.reason
    unasked = decide(labels_N, better, worse if champion else None, slices={"site": site_N})
    assert unasked.outcome == "promote"
