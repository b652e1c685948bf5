"""Test images wear out: each comparison on them is counted, and spends of one error rate."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from gate_cases import answers, check, decide, labels_of, model_with, pair
from visionpipe.promotion.checks import images_needed
from visionpipe.promotion.parameters import PromotionParameters
from visionpipe.promotion.wear import MOST_PLANNED, Comparison, spent_alpha, wear_of

IDS = [f"image{i}" for i in range(800)]


def used(*sets):
    """Earlier comparisons on these images; None: nobody knows any more on which."""
    return [Comparison("2026-01-01", "1", None if ids is None else frozenset(ids), "reject") for ids in sets]


def wear(earlier, ids=IDS, planned=12, alpha=0.025):
    return wear_of(ids, earlier, planned=planned, alpha=alpha)


def judged_with(found, gain=0.08, **others):
    labels_N = labels_of(800)
    return decide(labels_N, *pair(labels_N, gain, seed=1), wear=found, **others)


@pytest.mark.parametrize("planned", range(1, MOST_PLANNED + 1))
def test_what_all_planned_comparisons_spend_is_within_alpha_and_falls_with_the_square(planned):
    spent = [spent_alpha(k, planned, 0.025) for k in range(1, planned + 1)]
    assert math.fsum(spent) <= 0.025
    assert [spent[0] / each for each in spent] == pytest.approx([k**2 for k in range(1, planned + 1)])
    assert spent_alpha(planned + 1, planned, 0.025) == 0


@pytest.mark.parametrize(
    ("earlier", "n_fresh", "mean_uses", "comparison"),
    [
        ([], 800, 0, 1),
        ([IDS], 0, 1, 2),
        ([["elsewhere"]], 800, 0, 1),
        ([IDS[:400]], 400, 0.5, 2),  # rounded up
        ([IDS[:400], IDS[400:]], 0, 1, 2),  # each image once
        ([IDS, IDS, IDS[:1]], 0, 2 + 1 / 800, 4),
        ([None, IDS[:400]], 0, 1.5, 3),
        ([IDS] * 11, 0, 11, 12),
    ],
)
def test_uses_are_counted_image_by_image(earlier, n_fresh, mean_uses, comparison):
    found = wear(used(*earlier))
    assert (found.n_fresh, found.comparison) == (n_fresh, comparison)
    assert found.mean_uses == pytest.approx(mean_uses)
    assert not found.worn_out


@given(
    st.lists(st.one_of(st.none(), st.sets(st.integers(0, 30))), max_size=40),
    st.integers(1, 12),
    st.integers(1, 31),
)
def test_the_fresh_images_asked_for_are_just_enough(earlier, planned, n):
    ids = [str(i) for i in range(n)]
    record = used(*[None if s is None else {str(i) for i in s} for s in earlier])
    found = wear(record, ids, planned)
    assert found.worn_out == (found.comparison > planned) == (found.fresh_needed != 0) == (found.spent == 0)
    if found.fresh_needed is None:  # whatever comes, the unreadable ones count for it
        assert wear(record, [f"fresh{i}" for i in range(10_000)], planned).comparison >= planned
    elif found.worn_out:
        fresh = [f"fresh{i}" for i in range(found.fresh_needed)]
        assert not wear(record, fresh if planned == 1 else ids + fresh, planned).worn_out
        if planned > 1:
            assert wear(record, ids + fresh[:-1], planned).worn_out


def test_earlier_images_that_nobody_can_read_any_more_are_named_as_the_remedy():
    decision = judged_with(wear(used(*[None] * 12)), gain=0.12)
    assert decision.outcome == "insufficient_evidence"
    assert "comparison/test_images-*.json" in decision.reason


def test_the_same_gain_that_convinces_once_does_not_convince_after_many_tries():
    at_first, later = (judged_with(wear(used(*[IDS] * k)), gain=0.03) for k in (0, 9))
    assert at_first.outcome == "promote", at_first.reason
    assert later.outcome == "insufficient_evidence"
    assert check(later, "gain").low < 0 < check(at_first, "gain").low
    assert check(later, "gain").value == check(at_first, "gain").value


@pytest.mark.parametrize("k", [1, 6, 12])
def test_a_gain_without_doubt_is_promoted_as_long_as_comparisons_are_left(k):
    """The smallest p-value of the swap test must be below what is left to spend."""
    found = wear(used(*[IDS] * (k - 1)))
    decision = judged_with(found, gain=0.12)
    assert decision.outcome == "promote", decision.reason
    assert check(decision, "gain").p_value <= found.spent
    told = check(decision, "use of the test images")
    assert (told.passed, told.value, told.limit) == (True, k, 12)


def test_worn_out_images_decide_nothing_and_say_how_many_fresh_ones_would():
    found = wear(used(*[IDS] * 12))
    decision = judged_with(found, gain=0.12)
    assert decision.outcome == "insufficient_evidence"
    assert "worn out" in decision.reason
    assert "73 fresh test images" in decision.reason  # 12 * 800 / 11 = 872.7
    assert not any(c.kind == "gain" for c in decision.checks)
    assert not decision.looked
    first = decide(*model_with(0.9, 800), wear=found)
    assert first.outcome == "insufficient_evidence"


@pytest.mark.parametrize("k", [1, 2, 4, 9])
def test_the_images_asked_for_are_judged_by_what_so_many_may_spend(k):
    """More images are worn less; but this comparison is a use of the present ones, too."""
    present = wear(used(*[IDS] * (k - 1)))
    z = 2.0
    needed = images_needed(800, z, present.spent, present)
    then = wear(used(*[IDS] * k), IDS + [f"fresh{i}" for i in range(needed - 800)])
    assert needed == pytest.approx(800 * ((norm.isf(then.spent) + norm.isf(0.2)) / z) ** 2, rel=0.01)
    if k == 9:  # at the 9th comparison's own error rate it would be more
        assert needed < 0.85 * images_needed(800, z, present.spent)
    if k == 1:  # and at the first one's less: the next is the second
        assert needed > 1.2 * images_needed(800, z, present.spent)


def test_worn_out_images_are_asked_for_enough_fresh_ones():
    assert images_needed(800, 50.0, 0.0001, wear(used(*[IDS] * 11))) >= 873  # 12 * 800 / 11


def test_what_earlier_comparisons_spent_is_remembered_when_the_plan_changes():
    """Planned as the only one, the first comparison ran at 0.7 alpha; with three planned its share would be 0.51."""
    first = [Comparison("2026-01-01", "1", frozenset(IDS), "reject", spent=0.7 * 0.025)]
    assert wear(first, planned=12).spent == spent_alpha(2, 12, 0.025)
    twice = [replace(first[0], at="2026-02-01", image_ids=frozenset(IDS[:400])), *first]
    found = wear(twice, planned=12)
    assert (found.worn_out, found.spent, found.comparison) == (True, 0, 3)
    assert found.spent_before == pytest.approx(1.5 * 0.7 * 0.025)
    decision = judged_with(found, gain=0.12)
    assert decision.outcome == "insufficient_evidence"
    assert "earlier comparisons have spent 2.6 % of the 2.5 %" in decision.reason
    enough = IDS + [f"fresh{i}" for i in range(found.fresh_needed)]
    assert not wear(twice, enough).worn_out
    assert wear(twice, enough[:-1]).worn_out


def test_a_core_of_images_that_is_in_every_comparison_wears_out_on_its_own():
    """With 800 fresh ones each time the mean use, and so k, stays low; but the core has been in all of them."""
    core, earlier = IDS[:200], []
    for time in range(9):
        images = core + [f"other{time}.{i}" for i in range(800)]
        spent = wear(earlier, images).spent
        earlier.append(Comparison("2026-01-01", "1", frozenset(images), "reject", spent=spent))
    assert wear(earlier, core).worn_out
    assert wear(earlier, core, planned=12).comparison == 10
    assert wear(used(*[core] * 9), core).comparison == 10
    assert not wear(used(*[core] * 9), core).worn_out


def test_limits_are_judged_at_what_is_left_too():
    """Whoever has no champion to beat could try until the limit is met by luck."""
    limits = {"acceptance": ["accuracy >= 0.88"]}
    fresh, used_up = (
        decide(*model_with(0.91, 800), parameters=limits, wear=wear(used(*[IDS] * k))) for k in (0, 9)
    )
    assert fresh.outcome == "promote"
    assert used_up.outcome == "insufficient_evidence"


def test_classes_and_slices_are_guarded_as_well_on_worn_images():
    labels_N = labels_of(800)
    site_N = np.array(["Ulm", "Graz"])[np.arange(800) % 2]
    fresh, worn = (
        decide(labels_N, *pair(labels_N, 0.12, seed=1), slices={"site": site_N}, wear=wear(used(*[IDS] * k)))
        for k in (0, 11)
    )
    guards = [[c for c in d.checks if c.kind == "non_inferiority"] for d in (fresh, worn)]
    assert guards[0] == guards[1] != []


@pytest.mark.parametrize("k", [1, 6, 12])
def test_a_loss_in_groups_is_proven_as_well_on_worn_images(k):
    """Twelve groups of ten photos, of which 36 are lost and 5 won."""
    labels_N, group_N, place_N = labels_of(120), np.arange(120) // 10, np.arange(120) % 10
    lost_N, won_N = place_N < np.where(group_N % 2 == 0, 4, 2), (place_N == 9) & (group_N < 5)
    challenger_NK, champion_NK = answers(labels_N, ~lost_N), answers(labels_N, ~won_N)
    found = wear(used(*[IDS[:120]] * (k - 1)), IDS[:120])
    decision = decide(labels_N, challenger_NK, champion_NK, group_ids_N=group_N.astype(str), wear=found)
    told = check(decision, "right answers")
    assert told.passed is False
    assert told.p_value <= 0.05


def test_only_a_comparison_that_told_something_has_used_the_images():
    labels_N = labels_of(800)
    better, worse = pair(labels_N, 0.08, seed=1)
    assert decide(labels_N, better, worse).looked
    assert decide(labels_N, better).looked
    assert not decide(labels_N, worse, worse).looked  # the same answers once more
    assert not decide(labels_N, better, worse, champion_seen_ids={"image3"}).looked
    assert not decide(labels_N[:5], better[:5], worse[:5]).looked
    assert not decide(labels_N, better * np.nan, worse).looked


def test_the_count_is_part_of_the_verdict():
    decision = judged_with(wear(used(IDS, IDS[:200])))
    told = json.loads(json.dumps(decision.as_dict(), allow_nan=False))["wear"]
    assert (told["n_images"], told["n_fresh"], told["comparison"], told["planned"]) == (800, 0, 3, 12)
    assert (told["mean_uses"], told["most_uses"], told["worn_out"]) == (1.25, 2, False)
    detail = check(decision, "use of the test images").detail
    assert "1.25 earlier comparisons" in detail
    assert "0 are fresh" in detail
    assert decide(*model_with(0.9, 100)).as_dict()["wear"] is None


def test_more_comparisons_than_the_simulation_covers_cannot_be_planned():
    with pytest.raises(ValueError, match="less than or equal to 12"):
        PromotionParameters(planned_comparisons=13)
