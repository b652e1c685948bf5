"""The gate lets in what is no better as rarely as it says, and what is better as often as theory says.

Models are heads on features of real photos (ELPV); the full studies are in `benchmarks/results/gate_*.md`.
"""

import numpy as np
import pytest

from visionpipe.promotion.parameters import PromotionParameters
from visionpipe.promotion.wear import Comparison, wear_of
from visionpipe.stats.paired import mcnemar_exact

FAST = {"resamples": 300}
METRICS = ("balanced_accuracy", "accuracy", "macro_f1", "auroc")


def promoted(tests, *, fresh=False, **parameters):
    """Count promotions; fresh test images may spend less than the whole error rate, as in `kedro run`."""
    count = 0
    for seed, test in enumerate(tests):
        asked = PromotionParameters(seed=seed, **parameters)
        wear = used(test, 0, asked) if fresh else None
        count += test.judged(asked, wear=wear).outcome == "promote"
    return count


def used(test, times, parameters):
    """Return the wear of test images that have all decided so many times."""
    ids = np.arange(len(test.labels_N)).astype(str).tolist()
    earlier = [Comparison("2026-01-01T00:00:00Z", "1", frozenset(ids), "reject")] * times
    return wear_of(ids, earlier, planned=parameters.planned_comparisons, alpha=parameters.alpha)


@pytest.fixture(scope="module")
def same_model(cells):
    """Test photos with the answers of two trainings that differ by their seed alone: 40 pairs."""
    from gate_studies import other_seeds

    return [other_seeds(cells, seed, by_group=False).test for seed in range(40)]


@pytest.fixture(scope="module")
def population(cells):
    """Photos and the answers of two models, each trained on photos of its own."""
    from gate_studies import other_seeds

    study = other_seeds(cells, 0, by_group=False, other_photos=True)
    return study.test.joined(study.elsewhere)


def test_the_same_model_with_another_seed_is_hardly_ever_promoted(same_model):
    """Comparing two numbers would promote half of them."""
    assert sum(test.gain("balanced_accuracy") > 0 for test in same_model) > 10
    assert promoted(same_model, fresh=True, **FAST) <= 3


@pytest.mark.parametrize("metric", METRICS)
def test_models_that_are_equally_good_in_truth_are_hardly_ever_promoted(same_model, metric):
    """Their answers are exchanged by the toss of a coin. More than 4 of 40 have a chance of 0.3 % at 2.5 %."""
    shuffled = [test.shuffled(seed) for seed, test in enumerate(same_model)]
    assert promoted(shuffled, metric=metric, **FAST) <= 4


@pytest.mark.slow
@pytest.mark.parametrize("photos", ["elpv", "clothing"])
def test_of_500_such_pairs_at_most_one_in_twenty_is_promoted(photos, request):
    """As in `kedro run`, and with answers exchanged even at the whole error rate, whatever the metric."""
    import real_photos
    from gate_studies import other_seeds
    from probe_heads import seen_by_backbone

    folder = request.getfixturevalue(photos)
    listed = real_photos.elpv() if photos == "elpv" else real_photos.clothing(folder)
    seen = seen_by_backbone(listed, side_px=96)
    tests = [other_seeds(seen, seed, by_group=photos == "clothing").test for seed in range(500)]
    assert promoted(tests, fresh=True) <= 25
    shuffled = [test.shuffled(seed) for seed, test in enumerate(tests)]
    for metric in METRICS:
        assert promoted(shuffled, metric=metric) <= 25, metric


def test_a_tilted_population_has_the_gain_that_it_was_given(population):
    from gate_power import tilted

    champion_N, challenger_N = population.right_2N
    for gain in (0.0, 0.02, 0.05):
        weights_N = tilted(population, gain)
        won_N = weights_N * (challenger_N.astype(float) - champion_N)
        assert won_N.sum() == pytest.approx(gain)
        for code in (0, 1):
            rows = population.labels_N == code
            assert won_N[rows].sum() / weights_N[rows].sum() == pytest.approx(gain)
            assert weights_N[rows].sum() == pytest.approx(rows.mean())
    with pytest.raises(ValueError, match="needs more"):
        tilted(population, 0.9)


def test_theory_is_what_mcnemars_test_does_by_itself():
    """Both powers against 2,000 simulated test sets: 1 % standard error."""
    from gate_power import mcnemar_power, normal_power

    random = np.random.default_rng(0)
    found = []
    for _ in range(2000):
        kind_N = random.choice(3, size=400, p=[0.05, 0.09, 0.86])  # lost, won, alike
        found.append(mcnemar_exact(kind_N == 0, kind_N == 1).p_greater <= 0.025)
    exact = mcnemar_power(gain=0.04, disagreement=0.14, n_images=400, alpha=0.025)
    assert np.mean(found) == pytest.approx(exact, abs=0.035)
    assert normal_power(0.04, [0.14], [400], 0.025) == pytest.approx(exact, abs=0.05)
    assert mcnemar_power(0.0, 0.14, 400, 0.025) <= 0.025


@pytest.mark.parametrize(("metric", "gain"), [("accuracy", 0.05), ("balanced_accuracy", 0.06)])
def test_a_true_gain_is_found_about_as_often_as_theory_says(population, metric, gain):
    """80 draws: 5.6 % standard error at most."""
    from gate_power import power_of

    found = power_of(population, gain, 500, 80, PromotionParameters(metric=metric, **FAST))
    assert 0.3 < found.normal < 0.95, "neither hopeless nor certain, or the test could not fail"
    assert found.proven / 80 == pytest.approx(found.exact or found.normal, abs=0.17)
    assert found.promoted <= found.proven


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy"])
def test_the_power_curve_lies_on_that_of_theory(elpv, metric):
    """200 draws a gain: 3.5 % standard error at most."""
    from bench_gate import GAINS, POWER_IMAGES, power_population
    from gate_power import power_of

    population = power_population()
    curve = [
        power_of(population, gain, POWER_IMAGES, 200, PromotionParameters(metric=metric)) for gain in GAINS
    ]
    shares = [found.proven / 200 for found in curve]
    assert shares[0] <= 0.05
    assert shares == sorted(shares)
    assert shares == pytest.approx([found.exact or found.normal for found in curve], abs=0.1)


def test_images_that_have_decided_before_let_in_less(population):
    from gate_power import tilted

    weights_N, random, outcomes = tilted(population, 0.06), np.random.default_rng(1), {0: 0, 3: 0}
    for seed in range(20):
        drawn = population.rows(random.choice(len(weights_N), size=500, p=weights_N))
        parameters = PromotionParameters(metric="accuracy", seed=seed, **FAST)
        for times in outcomes:
            wear = used(drawn, times, parameters)
            outcomes[times] += drawn.judged(parameters, wear=wear).outcome == "promote"
    assert outcomes[3] < outcomes[0]
