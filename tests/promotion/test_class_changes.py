"""Classes come and go: what only one of the two models knows is decided by rule."""

import numpy as np
import pytest

from gate_cases import check, decide

CLASSES = ["crack", "dust", "fine"]


def say(decided_N):
    return np.where(np.eye(3)[decided_N] == 1, 0.8, 0.1)


def photos(n=900, seed=0, shares=(0.2, 0.3, 0.5)):
    return np.random.default_rng(seed).choice(3, size=n, p=shares)


def answered(labels_N, accuracy, known, seed):
    """Decisions of a model that is right this often on what it knows, and guesses among that on the rest."""
    random = np.random.default_rng(seed)
    guess_N = random.choice(known, size=len(labels_N))
    right_N = np.isin(labels_N, known) & (random.random(len(labels_N)) < accuracy)
    return np.where(right_N, labels_N, guess_N)


def compare(labels_N, challenger_N, champion_N, challenger_knows, champion_knows, **parameters):
    return decide(
        labels_N,
        say(challenger_N),
        say(champion_N),
        classes=CLASSES,
        challenger_classes=challenger_knows,
        champion_classes=champion_knows,
        parameters=parameters,
    )


@pytest.mark.parametrize("n_left", [0, 5, 90])
def test_a_class_that_the_challenger_no_longer_knows_rejects_even_without_test_images(n_left):
    """Better everywhere else, and few images of the class: the overall gain would carry it."""
    labels_N = photos()
    labels_N[np.flatnonzero(labels_N == 0)[n_left:]] = 2
    champion_N = answered(labels_N, 0.7, [0, 1, 2], 1)
    challenger_N = np.where(labels_N == 0, 1, labels_N)
    asked = (labels_N, challenger_N, champion_N, CLASSES[1:], CLASSES)
    decision = compare(*asked, metric="accuracy")
    assert decision.outcome == "reject"
    assert check(decision, "gain").passed
    vanished = check(decision, "class crack is still known")
    assert (vanished.kind, vanished.passed) == ("class_change", False)
    assert "promotion.vanished_classes" in vanished.detail
    allowed = compare(*asked, metric="accuracy", vanished_classes="allow")
    assert allowed.outcome == "promote", allowed.reason
    assert not any("Youden's J of class crack" in c.name for c in allowed.checks)
    given_up = check(allowed, "class crack is given up")
    assert (given_up.passed, given_up.blocking) == (None, False)
    assert "that is allowed (promotion.vanished_classes), and nothing guards this class" in given_up.detail


def test_a_new_class_that_the_challenger_finds_is_let_in():
    labels_N = photos()
    champion_N, challenger_N = (
        answered(labels_N, right, known, seed)
        for right, known, seed in ((0.9, [1, 2], 1), (0.95, [0, 1, 2], 2))
    )
    asked = (labels_N, challenger_N, champion_N, CLASSES, CLASSES[1:])
    decision = compare(*asked)
    assert decision.outcome == "promote", decision.reason
    assert check(decision, "accuracy where the champion knew the class").passed
    new = check(decision, "new class crack")
    recall = (challenger_N == 0)[labels_N == 0].mean()
    false_alarms = (challenger_N == 0)[labels_N != 0].mean()
    assert new.value == pytest.approx(recall - false_alarms)
    assert 0 < new.low < new.value < new.high
    assert f"{recall:.0%} of its {np.sum(labels_N == 0)} test images" in new.detail
    refused = compare(*asked, new_classes="reject")
    assert refused.outcome == "reject"
    assert "promotion.new_classes" in refused.reason


@pytest.mark.parametrize(("calls", "passed"), [("by chance", None), ("never", False)])
def test_a_new_class_that_the_challenger_does_not_find_blocks(calls, passed):
    labels_N = photos(seed=3)
    champion_N, challenger_N = (
        answered(labels_N, accuracy, [1, 2], s) for accuracy, s in ((0.7, 1), (0.99, 2))
    )
    if calls == "by chance":
        challenger_N = np.where(np.arange(900) % 11 == 0, 0, challenger_N)
    decision = compare(labels_N, challenger_N, champion_N, CLASSES, CLASSES[1:])
    assert check(decision, "gain").passed
    assert check(decision, "new class crack").passed in {passed, False}
    assert decision.outcome != "promote"


def test_a_new_class_with_few_test_images_is_listed_and_blocks_nothing():
    labels_N = photos(shares=(0.02, 0.38, 0.6))
    champion_N, challenger_N = (
        answered(labels_N, accuracy, known, s)
        for accuracy, known, s in ((0.8, [1, 2], 1), (0.95, [0, 1, 2], 2))
    )
    decision = compare(labels_N, challenger_N, champion_N, CLASSES, CLASSES[1:])
    assert decision.outcome == "promote", decision.reason
    new = check(decision, "new class crack")
    assert (new.passed, new.blocking) == (None, False)
    assert "too few images" in new.detail


def test_a_new_class_does_not_pay_for_what_is_lost_on_the_old_ones():
    """Two rare old classes, each too small to judge alone: together they are not."""
    labels_N = np.repeat([0, 1, 2], [400, 28, 28])
    champion_N = np.where(labels_N == 0, 2, labels_N)
    challenger_N = np.where(labels_N == 0, 0, np.where(np.arange(456) % 2 == 0, labels_N, 0))
    decision = compare(labels_N, challenger_N, champion_N, CLASSES, CLASSES[1:], metric="accuracy")
    assert check(decision, "gain").passed
    forgotten = check(decision, "accuracy where the champion knew the class")
    assert (forgotten.passed, forgotten.value) == (False, pytest.approx(-0.5))
    assert decision.outcome == "reject"


def test_a_new_class_does_not_pay_for_losses_on_the_old_ones():
    """60 images a class: too few to judge each of the old ones, which truly lose 10 points."""
    labels_N, promoted = np.repeat([0, 1, 2], 60), 0
    for seed in range(40):
        champion_N = answered(labels_N, 0.85, [1, 2], seed)
        challenger_N = answered(labels_N, 0.7, [0, 1, 2], seed + 1000)
        decision = compare(labels_N, challenger_N, champion_N, CLASSES, CLASSES[1:], resamples=200)
        promoted += decision.outcome == "promote"
        old = check(decision, "accuracy where the champion knew the class")
        assert old.passed is not None or old.blocking
    assert promoted <= 1


def test_without_an_image_of_a_class_that_the_champion_knows_nothing_is_proven():
    labels_N = photos(shares=(0.4, 0.6, 0.0))
    champion_N = np.full(900, 2)
    decision = compare(labels_N, labels_N, champion_N, CLASSES, CLASSES[2:], metric="accuracy")
    assert decision.outcome == "insufficient_evidence"
    assert "no test image is of a class that the champion knows" in decision.reason
