"""Confidence is made true by the temperature that explains validation best; below a threshold a person decides."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch.nn import functional

from visionpipe.errors import VisionpipeError
from visionpipe.models.calibrate import calibrate, check_decision, deferral_confidence, fit_temperature
from visionpipe.models.classifier import ModelSpec, softmax
from visionpipe.models.decisions import Decision
from visionpipe.models.parameters import TrainingParameters
from visionpipe.models.recipe_parameters import CalibrationParameters

CLASSES = ["cat", "dog", "fox", "owl"]
SPEC = ModelSpec(backbone="timm/test_resnet", weights="none", classes=CLASSES, image_size_px=32)


def drawn(temperature, seed=0, n=4000, n_classes=4):
    """Return labels drawn from logits, and those logits made `temperature` times too large."""
    random = np.random.default_rng(seed)
    logits_NK = random.normal(0, 2, (n, n_classes)).astype(np.float32)
    noise = random.gumbel(size=logits_NK.shape)  # the largest of logit + Gumbel is a draw from the softmax
    return logits_NK * np.float32(temperature), (logits_NK + noise).argmax(axis=1)


def by_lbfgs(logits_NK, labels_N):
    """Minimise the same likelihood as Guo et al.'s own code does: LBFGS on the temperature."""
    logits, labels = torch.tensor(logits_NK, dtype=torch.float64), torch.tensor(labels_N)
    temperature = torch.ones(1, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([temperature], lr=0.1, max_iter=500, line_search_fn="strong_wolfe")

    def step():
        optimiser.zero_grad()
        loss = functional.cross_entropy(logits / temperature, labels)
        loss.backward()
        return loss

    optimiser.step(step)
    return temperature.item()


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.0, 6.0])
def test_the_temperature_is_the_likeliest(temperature):
    logits_NK, labels_N = drawn(temperature)
    fitted = fit_temperature(logits_NK, labels_N)
    assert fitted == pytest.approx(by_lbfgs(logits_NK, labels_N), rel=1e-3)
    assert fitted == pytest.approx(temperature, rel=0.1)


def test_it_is_found_for_logits_so_large_that_probabilities_vanish():
    logits_NK, labels_N = drawn(15.0)
    assert np.ptp(logits_NK, axis=1).max() > 100
    assert fit_temperature(logits_NK * 1.0, labels_N) == pytest.approx(15.0, rel=0.1)


def test_it_stays_in_its_bounds():
    logits_NK, labels_N = drawn(1.0, n=50)
    right_NK = np.eye(4, dtype=np.float32)[labels_N]
    assert 19.0 < fit_temperature(np.roll(right_NK, 1, axis=1) * 50, labels_N) <= 20.0
    assert 0.05 <= fit_temperature(logits_NK * 1e6, labels_N) <= 20.0


@pytest.mark.parametrize("n_images", [20, 200, 2000])
@pytest.mark.parametrize("n_classes", [2, 5])
def test_n_right_answers_prove_no_more_than_n_plus_1_of_n_plus_2(n_images, n_classes):
    labels_N = np.arange(n_images) % n_classes
    logits_NK = 4 * np.eye(n_classes, dtype=np.float32)[labels_N]  # all equally sure
    confidence_N = softmax(logits_NK, fit_temperature(logits_NK, labels_N)).max(axis=1)
    np.testing.assert_allclose(1 - confidence_N, 1 / (n_images + 2), rtol=1e-3)


def test_one_wrong_answer_is_enough_for_the_likelihood_itself():
    logits_NK, labels_N = drawn(1.0, n=400)
    logits_NK = 6 * np.eye(4, dtype=np.float32)[labels_N] + logits_NK / 10
    logits_NK[0] = np.roll(logits_NK[0], 1)
    assert fit_temperature(logits_NK, labels_N) == pytest.approx(by_lbfgs(logits_NK, labels_N), rel=1e-3)


def test_it_changes_no_decision():
    logits_NK, labels_N = drawn(3.0, n=200)
    scaled_NK = logits_NK / fit_temperature(logits_NK, labels_N)
    np.testing.assert_array_equal(scaled_NK.argmax(axis=1), logits_NK.argmax(axis=1))


@st.composite
def judged(draw):
    n = draw(st.integers(1, 40))
    steps = st.sampled_from([0.3, 0.5, 0.5000001, 0.7, 0.9, 1.0])  # ties are the hard part
    confidence_N = draw(arrays(float, n, elements=steps | st.floats(0.25, 1)))
    return confidence_N, draw(arrays(bool, n))


@given(judged(), st.sampled_from([0.5, 0.8, 0.95, 1.0]))
def test_the_threshold_is_the_lowest_that_is_accurate_enough_with_one_more_wrong(cases, wanted):
    confidence_N, correct_N = cases
    good = [t for t in confidence_N if np.append(correct_N[confidence_N >= t], False).mean() >= wanted]
    assert deferral_confidence(confidence_N, correct_N, wanted) == (min(good) if good else None)


@given(judged(), st.permutations(range(40)))
def test_the_threshold_does_not_depend_on_the_order(cases, order):
    confidence_N, correct_N = cases
    order = [row for row in order if row < len(confidence_N)]
    shuffled = deferral_confidence(confidence_N[order], correct_N[order], 0.8)
    assert shuffled == deferral_confidence(confidence_N, correct_N, 0.8)


@given(judged())
def test_who_wants_more_accuracy_defers_no_less(cases):
    thresholds = [deferral_confidence(*cases, wanted) for wanted in (0.5, 0.8, 0.95, 1.0)]
    as_numbers = [np.inf if threshold is None else threshold for threshold in thresholds]
    assert as_numbers == sorted(as_numbers)


def test_it_is_said_how_many_images_an_accuracy_needs(caplog):
    labels_N = np.arange(40) % 4
    logits_NK = 4 * np.eye(4, dtype=np.float32)[labels_N]
    assert calibrate(SPEC, logits_NK, labels_N, parameters(0.98)).deferral_confidence is None
    assert "No confidence from which on 98.0% are right among 40 validation images (49 right" in caplog.text
    caplog.set_level("INFO")
    assert calibrate(SPEC, logits_NK, labels_N, parameters(0.95)).deferral_confidence is not None
    assert "given without a person: 100.0% of the validation images, of which 100.0% are right" in caplog.text


@pytest.mark.parametrize(("n", "wanted"), [(60, 0.9), (150, 0.95), (600, 0.95)])
def test_on_new_images_no_more_is_wrong_than_wanted_on_average(n, wanted):
    chance = np.random.default_rng(n)
    wrong = []
    for _ in range(1000):
        confidence_N = chance.uniform(0.5, 1, n + 500)
        correct_N = chance.random(n + 500) < confidence_N
        threshold = deferral_confidence(confidence_N[:n], correct_N[:n], wanted)
        given_N = confidence_N[n:] >= (2 if threshold is None else threshold)
        wrong.append((given_N & ~correct_N[n:]).sum() / max(1, given_N.sum()))
    assert np.mean(wrong) <= 1 - wanted + 2 * np.std(wrong) / 1000**0.5


def test_without_images_nothing_is_proven():
    assert deferral_confidence(np.array([]), np.array([], dtype=bool), 0.9) is None


def parameters(deferral_accuracy=0.8, **calibration):
    return TrainingParameters(deferral_accuracy=deferral_accuracy, calibration=calibration)


def test_calibration_fits_temperature_and_deferral_and_leaves_the_spec_as_it_was():
    logits_NK, labels_N = drawn(3.0)
    spec = calibrate(SPEC, logits_NK, labels_N, parameters())
    assert spec.temperature == pytest.approx(3.0, rel=0.1)
    probabilities_NK = softmax(logits_NK, spec.temperature)
    confidence_N, correct_N = probabilities_NK.max(axis=1), probabilities_NK.argmax(axis=1) == labels_N
    assert (spec.deferral_confidence, spec.all_deferred) == (
        deferral_confidence(confidence_N, correct_N, 0.8),
        "",
    )
    assert correct_N[~spec.defers(confidence_N)].mean() == pytest.approx(0.8, abs=0.01)
    assert spec.decision == Decision()
    assert (SPEC.temperature, SPEC.deferral_confidence) == (1.0, None)
    assert ModelSpec.model_validate_json(spec.model_dump_json()) == spec


def test_the_accuracy_wanted_is_that_of_the_labels_that_are_given():
    logits_NK, labels_N = drawn(1.0)
    costs = {"cat": {"dog": 9, "fox": 9, "owl": 9}}
    spec = calibrate(SPEC, logits_NK, labels_N, parameters(decision="least_cost", costs=costs))
    probabilities_NK = softmax(logits_NK, spec.temperature)
    given_N = spec.decision.choose(probabilities_NK)
    assert (given_N != probabilities_NK.argmax(axis=1)).mean() > 0.1
    kept_N = ~spec.defers(probabilities_NK[np.arange(len(given_N)), given_N])
    assert (given_N == labels_N)[kept_N].mean() == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize("rows", [np.arange(19), np.arange(0)], ids=["19 images", "none"])
def test_too_few_images_calibrate_nothing_and_everything_is_deferred(rows, caplog):
    logits_NK, labels_N = drawn(1.0)
    spec = calibrate(SPEC, logits_NK[rows], labels_N[rows], parameters())
    assert (spec.temperature, spec.deferral_confidence) == (1.0, None)
    assert spec.defers(np.array([1.0])).all()
    assert "Not calibrated" in caplog.text


def test_a_class_without_images_leaves_the_confidence_of_the_others_calibrated(caplog):
    logits_NK, labels_N = drawn(3.0)
    rows = labels_N != 2
    spec = calibrate(SPEC, logits_NK[rows], labels_N[rows], parameters())
    assert spec.temperature == fit_temperature(logits_NK[rows], labels_N[rows])
    assert spec.deferral_confidence is not None
    assert "No validation image of fox: confidence is calibrated on the other classes" in caplog.text


def test_images_of_one_class_calibrate_nothing(caplog):
    logits_NK, labels_N = drawn(1.0)
    rows = labels_N == 2
    spec = calibrate(SPEC, logits_NK[rows], labels_N[rows], parameters())
    said = f"{rows.sum():,} validation images of 1 class are too few"
    assert (spec.deferral_confidence, spec.all_deferred) == (None, f"{said} to calibrate it")
    assert f"{said} (at least 20, of two)" in caplog.text


def test_no_decision_rule_is_fitted_without_images_of_a_class(caplog):
    logits_NK, labels_N = drawn(1.0)
    rows, costs = labels_N != 2, {"cat": {"dog": 9}}
    spec = calibrate(SPEC, logits_NK[rows], labels_N[rows], parameters(decision="least_cost", costs=costs))
    assert (spec.decision, spec.deferral_confidence) == (Decision(), None)
    assert "rule of least cost needs a validation image of every class" in spec.all_deferred
    assert "least_cost (training.calibration.decision) is not fitted" in caplog.text


@pytest.mark.parametrize("without", ["fox", "owl"])
def test_a_cap_needs_no_image_of_every_class(without, caplog):
    logits_NK, labels_N = drawn(1.0)
    rows = labels_N != SPEC.classes.index(without)
    wanted = parameters(decision="capped_false_positives", capped_class="fox", max_false_positive_rate=0.1)
    caplog.set_level("INFO")
    spec = calibrate(SPEC, logits_NK[rows], labels_N[rows], wanted)
    assert spec.deferral_confidence is not None
    of_others_N = labels_N[rows] != SPEC.classes.index("fox")
    given_N = spec.decision.choose(softmax(logits_NK[rows], spec.temperature)) == SPEC.classes.index("fox")
    assert 0.08 < given_N[of_others_N].mean() <= 0.1
    assert f"and to {given_N[~of_others_N].sum()} of its own {(~of_others_N).sum()}" in caplog.text


@pytest.mark.parametrize("scale", [1e-2, 1e-9])
def test_a_network_that_hardly_learned_is_made_as_sure_as_it_is_right_or_it_is_said(scale, caplog):
    labels_N = np.arange(200) % 4
    logits_NK = scale * np.eye(4, dtype=np.float32)[labels_N]
    spec = calibrate(SPEC, logits_NK, labels_N, parameters())
    confidence = softmax(logits_NK, spec.temperature).max(axis=1).mean()
    assert (confidence > 0.99) == (scale == 1e-2)
    assert ("ran to its bound of 0.001" in caplog.text) == (scale == 1e-9)
    assert ("201 right answers in 202" in caplog.text) == (scale == 1e-2)


def test_it_is_said_when_no_image_is_wrong_and_when_all_are(caplog):
    labels_N = np.arange(40) % 4
    right_NK = 4 * np.eye(4, dtype=np.float32)[labels_N]
    spec = calibrate(SPEC, right_NK, labels_N, parameters())
    assert (
        "None of the 40 validation images is wrong" in caplog.text and "41 right answers in 42" in caplog.text
    )
    assert spec.temperature > 0.5
    caplog.clear()
    calibrate(SPEC, np.roll(right_NK, 1, axis=1), labels_N, parameters())
    assert "no better than guessing" in caplog.text


def test_a_cap_that_the_images_cannot_prove_defers_everything(caplog):
    logits_NK, labels_N = drawn(1.0, n=100)
    wanted = {"decision": "capped_false_positives", "capped_class": "fox"}
    spec = calibrate(SPEC, logits_NK, labels_N, parameters(**wanted, max_false_positive_rate=0.001))
    assert "999 are needed" in caplog.text
    assert (spec.decision, spec.deferral_confidence) == (Decision(), None)
    assert "too few for the wanted false-positive rate" in spec.all_deferred
    proven = calibrate(SPEC, logits_NK, labels_N, parameters(**wanted, max_false_positive_rate=0.2))
    assert proven.decision.capped_class == 2 and proven.deferral_confidence is not None


def test_the_log_says_what_the_rule_does(caplog):
    caplog.set_level(logging.INFO)
    logits_NK, labels_N = drawn(1.0)
    calibrate(SPEC, logits_NK, labels_N, parameters(decision="least_cost", costs={"cat": {"dog": 9}}))
    assert "cost" in caplog.text
    calibrate(SPEC, logits_NK, labels_N, parameters(decision="capped_false_positives", capped_class="fox"))
    assert "fox is given from a probability of" in caplog.text


@pytest.mark.parametrize(
    ("calibration", "said"),
    [
        (
            {"decision": "least_cost", "costs": {"wolf": {"cat": 2}}},
            "training.calibration.costs: no class is called 'wolf'; known: cat, dog, fox, owl",
        ),
        (
            {"decision": "least_cost", "costs": {"cat": {"wolf": 2}}},
            "training.calibration.costs: no class is called 'wolf'; known: cat, dog, fox, owl",
        ),
        (
            {"decision": "capped_false_positives", "capped_class": "wolf"},
            "training.calibration.capped_class: no class is called 'wolf'; known: cat, dog, fox, owl",
        ),
        (
            {"decision": "capped_false_positives", "capped_class": "foxx"},
            "training.calibration.capped_class: no class is called 'foxx'; did you mean 'fox'",
        ),
    ],
)
def test_a_rule_about_what_is_no_class_is_refused(calibration, said):
    with pytest.raises(VisionpipeError, match=said):
        check_decision(CalibrationParameters(**calibration), CLASSES)
    with pytest.raises(VisionpipeError, match="no class is called"):
        calibrate(SPEC, *drawn(1.0), parameters(**calibration))
