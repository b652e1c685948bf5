"""Intervals hold the truth as often as they say, with and without groups of images."""

import pytest

CORE = {"accuracy", "balanced_accuracy", "macro_f1", "auroc", "average_precision", "log_loss", "brier"}
GAINS = {f"gain in {name}" for name in ("accuracy", "balanced accuracy", "macro-F1", "AUROC", "Youden's J")}


@pytest.mark.parametrize("largest_group", [1, 4])
def test_intervals_hold_the_truth(largest_group):
    """100 simulations: 95 % leaves 89 or fewer with a chance of 1 %; intervals of half the width hold 67 %."""
    from interval_coverage import World, coverage

    found = coverage(World((0.6, 0.4), largest_group=largest_group), 400, 100, resamples=200)
    assert set(found) >= CORE | GAINS
    shares = {name: of.share for name, of in found.items() if name in CORE | GAINS}
    assert min(shares.values()) >= 0.87, shares


def test_few_images_of_a_class_do_not_make_a_limit_easier_to_meet():
    """100 simulations of 270 images, 13 of the rarer class: at 2.5 %, 7 or more bounds err with a chance of 1 %."""
    from interval_coverage import World, coverage

    found = coverage(World((0.95, 0.05), skill=2.0), 270, 100, resamples=200, allow_unseen=True)
    too_high = {name: found[name].below for name in ("auroc", "average_precision", "macro_f1", "accuracy")}
    too_low = {name: found[name].above for name in ("log_loss", "brier", "aurc", "ece", "classwise_ece")}
    assert max((too_high | too_low).values()) < 7, too_high | too_low


def test_intervals_that_ignore_groups_are_found_out(monkeypatch):
    """The study can fail: taken as single images, images in groups have intervals that are too short."""
    import interval_coverage
    from interval_coverage import World, coverage

    plain = interval_coverage.classification_metrics
    monkeypatch.setattr(interval_coverage, "_TRUTH_IMAGES", 20_000)
    monkeypatch.setattr(
        interval_coverage,
        "classification_metrics",
        lambda labels_N, probabilities_NK, classes, _, **options: plain(
            labels_N, probabilities_NK, classes, range(len(labels_N)), **options
        ),
    )
    found = coverage(World((0.6, 0.4), largest_group=6), 400, 60, resamples=100)
    assert found["accuracy"].share < 0.85


@pytest.mark.slow
@pytest.mark.parametrize("world", range(4))
def test_of_1000_intervals_93_to_97_percent_hold_the_truth(world):
    """Exact intervals and calibration errors err on the safe side. The standard error is 0.7 %.

    AURC is skewed: with few groups its upper bound is exceeded twice as often as it says.
    """
    from bench_gate import COVERED_IMAGES, WORLDS
    from interval_coverage import coverage

    found = coverage(list(WORLDS.values())[world], COVERED_IMAGES, 1000)
    share = {name: round(of.share, 3) for name, of in found.items()}
    least = {name: 0.93 for name in share} | {"aurc": 0.92}
    assert not {name: held for name, held in share.items() if held < least[name]}
    assert not {name: held for name, held in share.items() if name in CORE | GAINS and held > 0.97}
