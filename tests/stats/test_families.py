"""Classes and slices are judged together: Holm as statsmodels does it, and nobody who is too small is condemned."""

import numpy as np
import pytest
from scipy.stats import norm
from statsmodels.stats.multitest import multipletests

from visionpipe.stats.families import compare_family, slice_differences
from visionpipe.stats.paired import mcnemar_exact, non_inferiority, tango_z
from visionpipe.stats.youden import youden_difference


def compare(champion_N, challenger_N, slices, clusters_N=None):
    clusters_N = np.arange(len(champion_N)) if clusters_N is None else clusters_N
    members = slice_differences(champion_N, challenger_N, clusters_N, slices, level=0.95)
    return compare_family(members, margin=0.05, level=0.95)


def planted(n, losses, random):
    champion_N = random.random(n) < 0.9
    challenger_N = champion_N.copy()
    rows = [np.arange(k, n, len(losses)) for k in range(len(losses))]
    for k, loss in enumerate(losses):
        challenger_N[rows[k]] &= random.random(len(rows[k])) >= loss
    return champion_N, challenger_N, rows


def test_slices_are_corrected_together_and_a_planted_loss_is_found():
    champion_N, challenger_N, rows = planted(2000, [0.0, 0.0, 0.3, 0.01], np.random.default_rng(2))
    found = compare(champion_N, challenger_N, rows)
    tests = [mcnemar_exact(champion_N[r], challenger_N[r]) for r in rows]
    np.testing.assert_allclose(
        [f.p_worse for f in found], multipletests([t.p_less for t in tests], method="holm")[1]
    )
    shown = [non_inferiority(t.b, t.c, len(r), 0.05).p_value for t, r in zip(tests, rows, strict=True)]
    np.testing.assert_allclose([f.p_inferior for f in found], multipletests(shown, method="holm")[1])
    assert [f.p_inferior <= 0.025 for f in found] == [True, True, False, True]
    assert [f.low > -0.05 for f in found] == [True, True, False, True]
    assert found[2].p_worse < 1e-6


def test_classes_are_corrected_together_too():
    """Against statsmodels' Holm on the raw normal tails of each class's difference in J."""
    random = np.random.default_rng(5)
    labels_N = random.integers(0, 3, 900)
    said = [
        np.where(random.random(900) < share, labels_N, random.integers(0, 3, 900)) for share in (0.85, 0.8)
    ]
    members = [
        youden_difference(said[0] == k, said[1] == k, labels_N == k, np.arange(900), level=0.95)
        for k in range(3)
    ]
    found = compare_family(members, margin=0.05, level=0.95)
    for shift, got in ((0.05, [f.p_inferior for f in found]), (0.0, [f.p_worse for f in found])):
        sign = 1 if shift else -1
        raw = [norm.sf(sign * (m.difference + shift) / m.standard_error) for m in members]
        np.testing.assert_allclose(got, multipletests(raw, method="holm")[1])
    for f, passes in zip(found, [f.p_inferior <= 0.025 for f in found], strict=True):
        assert (f.low > -0.05) == passes  # the interval has the confidence at which Holm judged


def test_few_images_are_asked_for_less_and_many_for_the_margin():
    random = np.random.default_rng(3)
    champion_N, challenger_N = random.random(3000) < 0.9, random.random(3000) < 0.9
    small, large = compare(champion_N, challenger_N, [np.arange(40), np.arange(40, 3000)])
    assert 0.1 < small.excludable < 0.5
    assert large.excludable == 0.05


def test_what_is_asked_for_is_planned_from_the_champion_alone():
    """However often the challenger disagrees; and at the planned disagreement the power is 95 %."""
    champion_N = np.arange(100) >= 15
    asked = {
        compare(champion_N, np.roll(champion_N, by), [np.arange(100)])[0].excludable for by in (0, 3, 15, 40)
    }
    assert len(asked) == 1
    (excludable,) = asked
    error = 16 / 102
    planned = tango_z(*[50 * error * (1 - error)] * 2, 100, -excludable)
    assert planned == pytest.approx(norm.isf(0.025) + norm.isf(0.05))


def test_whoever_loses_more_than_chance_is_held_up_and_disagreement_is_no_excuse():
    """Net 12 of 100 images lost, with ever more disagreement beside them."""
    champion_N = np.arange(100) >= 15
    for more in (0, 4, 8, 15):
        challenger_N = champion_N.copy()
        challenger_N[:more] = True
        challenger_N[50 : 62 + more] = False
        found = compare(champion_N, challenger_N, [np.arange(100), np.arange(50)])[0]
        assert found.difference == -0.12
        assert found.held_up


def test_an_equally_good_challenger_is_seldom_held_up():
    """Errors that correlate by one half: of two members of different size each is held up in about 5 %."""
    random, held_up = np.random.default_rng(4), []
    for _ in range(400):
        hard_N = random.random(1100) < 0.5  # both err there with the same chance, elsewhere never
        champion_N, challenger_N = (~hard_N | (random.random(1100) < 0.75) for _ in range(2))
        held_up += [
            f.held_up for f in compare(champion_N, challenger_N, [np.arange(100), np.arange(100, 1100)])
        ]
    assert 0.005 < np.mean(held_up) < 0.2


def test_however_many_members_at_most_every_second_equally_good_challenger_is_held_up():
    random, held_up = np.random.default_rng(5), []
    for _ in range(60):
        hard_N = random.random(4000) < 0.3
        champion_N, challenger_N = (~hard_N | (random.random(4000) < 0.5) for _ in range(2))
        rows = [np.arange(k, 4000, 100) for k in range(100)]
        held_up.append(any(f.held_up for f in compare(champion_N, challenger_N, rows)))
    assert np.mean(held_up) < 0.6


def test_copies_of_an_image_are_no_further_evidence():
    champion_N, challenger_N, _ = planted(300, [0.05], np.random.default_rng(6))
    once = compare(champion_N, challenger_N, [np.arange(300)])[0]
    copied = np.repeat(np.arange(300), 4)
    again = compare(champion_N[copied], challenger_N[copied], [np.arange(1200)], copied)[0]
    assert again.difference == pytest.approx(once.difference, rel=1e-12)  # sums of other lengths
    assert abs((again.high - again.low) / (once.high - once.low) - 1) < 0.1


def test_no_members_no_comparisons():
    assert compare([True], [True], []) == []
