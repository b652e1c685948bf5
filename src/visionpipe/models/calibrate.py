"""Make confidence mean what it says: temperature, decision rule, and the threshold below which a person decides.

Legend: N validation images, K classes.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable

import numpy as np

from visionpipe.counting import counted
from visionpipe.errors import VisionpipeError, meant
from visionpipe.metrics.costs import cost_matrix
from visionpipe.models.classifier import ModelSpec, softmax
from visionpipe.models.decisions import Decision, capped_threshold, fit_prior_weights
from visionpipe.models.parameters import TrainingParameters
from visionpipe.models.recipe_parameters import CalibrationParameters

logger = logging.getLogger(__name__)
_TEMPERATURES = (1e-3, 20.0)  # a network that has hardly learned may have tiny logits
_TOO_FEW_FOR = {
    "least_cost": "the rule of least cost needs a validation image of every class",
    "capped_false_positives": "the validation images are too few for the wanted false-positive rate",
}
_MIN_IMAGES = 20  # one temperature is little to fit, but a handful of images can drive it anywhere


def check_decision(parameters: CalibrationParameters, classes: list[str]) -> None:
    """Refuse a decision rule that names what is no class, before hours of training.

    Raises
    ------
    VisionpipeError
        When `costs` or `capped_class` names something else than a class.
    """
    named = {"costs": [*parameters.costs, *(given for row in parameters.costs.values() for given in row)]}
    named["capped_class"] = [parameters.capped_class] if parameters.capped_class is not None else []
    for key, labels in named.items():
        unknown = sorted(set(labels) - set(classes))
        if unknown:
            raise VisionpipeError(
                f"training.calibration.{key}: no class is called {unknown[0]!r}; {meant(unknown[0], classes)}"
            )


def calibrate(
    spec: ModelSpec, logits_NK: np.ndarray, labels_N: np.ndarray, parameters: TrainingParameters
) -> ModelSpec:
    """Return the spec with what validation says of it: temperature, decision rule and deferral threshold.

    With fewer than 20 images, or all of one class, nothing is fitted, and every prediction is deferred. Without an
    image of some class all is fitted to the others, but for the rule of least cost: then every prediction is deferred.

    Parameters
    ----------
    spec : ModelSpec
        Of the trained classifier; left as it is.
    logits_NK : numpy.ndarray
        Validation logits.
    labels_N : numpy.ndarray
        Class codes, int.
    parameters : TrainingParameters
        `calibration` and `deferral_accuracy`.
    """
    n_found = len(np.unique(labels_N))
    found = f"{counted(len(labels_N), 'validation image')} of {counted(n_found, 'class')}"
    if len(labels_N) < _MIN_IMAGES or n_found == 1:
        logger.warning(
            "Not calibrated: %s are too few (at least %d, of two); every prediction is deferred to a person",
            *(found, _MIN_IMAGES),
        )
        why = f"{found} are too few to calibrate it"
        nothing = {"temperature": 1.0, "decision": Decision(), "deferral_confidence": None}
        return spec.model_copy(update={**nothing, "all_deferred": why})
    temperature = fit_temperature(logits_NK, labels_N)
    _log_temperature(temperature, logits_NK, labels_N)
    probabilities_NK = softmax(logits_NK, temperature)
    decision = None
    if _rule_can_be_fitted(labels_N, spec.classes, parameters.calibration):
        decision = fit_decision(probabilities_NK, labels_N, spec.classes, parameters.calibration)
    threshold, why = None, ""
    if decision is None:
        why = _TOO_FEW_FOR[parameters.calibration.decision]
    else:
        given_N, confidence_N = decision.decide(probabilities_NK)
        correct_N = given_N == labels_N
        threshold = deferral_confidence(confidence_N, correct_N, parameters.deferral_accuracy)
        _log_deferral(threshold, confidence_N, correct_N, parameters.deferral_accuracy)
        if threshold is None:
            wanted = f"{100 * parameters.deferral_accuracy:g} % of right answers"
            why = f"no confidence was enough for {wanted} on {found}"
    return spec.model_copy(
        update={
            "temperature": temperature,
            "decision": decision or Decision(),
            "deferral_confidence": threshold,
            "all_deferred": why,
        }
    )


def fit_temperature(logits_NK: np.ndarray, labels_N: np.ndarray) -> float:
    """Find the temperature with the least negative log-likelihood (Guo et al., ICML 2017, section 4.2).

    Where no image is wrong, the likelihood only grows as the temperature falls and has no optimum. Targets
    (N + 1) / (N + 2) instead of 1, as in Platt (1999), then give one: N right answers prove no more.

    Parameters
    ----------
    logits_NK : numpy.ndarray
        Validation logits.
    labels_N : numpy.ndarray
        Class codes, int.

    Returns
    -------
    float
        Above 1 softens, below 1 sharpens; within [0.001, 20].
    """
    from scipy.special import log_softmax

    n_images, n_classes = logits_NK.shape
    doubt = 1 / (n_images + 2) if _none_is_wrong(logits_NK, labels_N) else 0.0
    rows, logits_NK = np.arange(n_images), logits_NK.astype(np.float64)
    spread = doubt / (n_classes - 1)  # what each wrong class gets of the target

    def negative_log_likelihood(temperature: float) -> float:
        log_p_NK = log_softmax(logits_NK / temperature, axis=1)
        right = (1 - doubt - spread) * log_p_NK[rows, labels_N].mean()
        return -(right + spread * log_p_NK.sum(axis=1).mean() if doubt else right)

    return least_loss_temperature(negative_log_likelihood)


def least_loss_temperature(loss: Callable[[float], float], lowest: float = _TEMPERATURES[0]) -> float:
    """Find the temperature from `lowest` to 20 at which a loss is least."""
    from scipy.optimize import minimize_scalar

    bounds = (np.log(lowest), np.log(_TEMPERATURES[1]))
    found = minimize_scalar(
        lambda log_temperature: loss(float(np.exp(log_temperature))),
        bounds=bounds,
        method="bounded",
    )
    return float(np.exp(found.x))


def fit_decision(
    probabilities_NK: np.ndarray, labels_N: np.ndarray, classes: list[str], parameters: CalibrationParameters
) -> Decision | None:
    """Find the decision rule that is asked for; None when the images are too few for its promise.

    Raises
    ------
    VisionpipeError
        When `costs` or `capped_class` names something else than a class.
    """
    check_decision(parameters, classes)
    if parameters.decision == "least_cost":
        costs_KK = cost_matrix(parameters.costs, classes)
        weights_K = fit_prior_weights(probabilities_NK, labels_N)
        decision = Decision(costs_KK=costs_KK.tolist(), prior_weights_K=weights_K.tolist())
        likeliest_N, chosen_N = probabilities_NK.argmax(axis=1), decision.choose(probabilities_NK)
        logger.info(
            "Mistakes on validation cost %.4f an image by the rule of least cost, %.4f by the likeliest class",
            *(costs_KK[labels_N, codes_N].mean() for codes_N in (chosen_N, likeliest_N)),
        )
        return decision
    if parameters.decision == "capped_false_positives":
        code = classes.index(parameters.capped_class)
        cap, of_class_N = parameters.max_false_positive_rate, labels_N == code
        threshold = capped_threshold(probabilities_NK[:, code], of_class_N, cap)
        if threshold is None:
            logger.warning(
                "training.calibration.max_false_positive_rate: %s of other classes than %s cannot prove a rate of %g "
                "(%d are needed); every prediction is deferred to a person",
                counted((~of_class_N).sum(), "validation image"),
                *(classes[code], cap, np.ceil(1 / cap - 1)),
            )
            return None
        given_N = probabilities_NK[:, code] >= threshold
        logger.info(
            "%s is given from a probability of %.3f on: to at most %.1f%% of other images, and to %d of its own %d",
            *(classes[code], threshold, 100 * cap, given_N[of_class_N].sum(), of_class_N.sum()),
        )
        return Decision(capped_class=code, capped_from=threshold)
    return Decision()


def deferral_confidence(
    confidence_N: np.ndarray, correct_N: np.ndarray, wanted_accuracy: float
) -> float | None:
    """Find the lowest confidence from which on predictions are as accurate as wanted, had one more been wrong.

    The lowest threshold of all that reach an accuracy on some images falls short of it on others. One more wrong
    prediction among those that are given, as in conformal selection, takes about as much back; how much on average,
    and where it is not enough, stands in `benchmarks/results/deferral_*`.

    Parameters
    ----------
    confidence_N : numpy.ndarray
        Validation confidences, 0 to 1.
    correct_N : numpy.ndarray
        Whether each prediction was right, bool.
    wanted_accuracy : float
        Of the predictions at or above the threshold, 0 to 1.

    Returns
    -------
    float or None
        None when no threshold reaches it: wanted_accuracy / (1 - wanted_accuracy) right ones are needed at least.

    References
    ----------
    Jin and Candès, Selection by Prediction with Conformal p-values, JMLR 24, 2023.

    Examples
    --------
    >>> deferral_confidence(np.array([0.6, 0.7, 0.8, 0.9]), np.array([False, True, True, True]), 0.75)
    0.7
    """
    order = np.argsort(-confidence_N, kind="stable")
    accuracy_N = np.cumsum(correct_N[order]) / np.arange(2, len(order) + 2)
    last_of_ties = np.append(np.diff(confidence_N[order]) != 0, True)
    good = np.flatnonzero((accuracy_N >= wanted_accuracy) & last_of_ties)
    return float(confidence_N[order][good[-1]]) if len(good) else None


def _log_deferral(
    threshold: float | None, confidence_N: np.ndarray, correct_N: np.ndarray, wanted_accuracy: float
) -> None:
    if threshold is None:
        logger.warning(
            "No confidence from which on %.1f%% are right among %d validation images (%d right answers are needed at "
            "least): every prediction is deferred to a person. A lower training.deferral_accuracy or more images help",
            *(
                100 * wanted_accuracy,
                len(confidence_N),
                math.ceil(wanted_accuracy / (1 - wanted_accuracy) - 1e-9),
            ),
        )
        return
    given_N = confidence_N >= threshold
    logger.info(
        "From a confidence of %.3f on predictions are given without a person: %.1f%% of the validation images, of "
        "which %.1f%% are right",
        *(threshold, 100 * given_N.mean(), 100 * correct_N[given_N].mean()),
    )


def _rule_can_be_fitted(labels_N: np.ndarray, classes: list[str], parameters: CalibrationParameters) -> bool:
    """Warn of classes without a validation image; False when the decision rule needs images of all of them."""
    missing = [label for k, label in enumerate(classes) if k not in labels_N]
    if not missing:
        return True
    needs_all = parameters.decision == "least_cost"  # it weighs classes by their shares
    if needs_all:
        follows = f"{parameters.decision} (training.calibration.decision) is not fitted, every prediction is deferred"
    else:
        follows = "confidence is calibrated on the other classes"
    logger.warning("No validation image of %s: %s", ", ".join(missing), follows)
    return not needs_all


def _none_is_wrong(logits_NK: np.ndarray, labels_N: np.ndarray) -> bool:
    return bool((logits_NK.argmax(axis=1) == labels_N).all())


def _log_temperature(temperature: float, logits_NK: np.ndarray, labels_N: np.ndarray) -> None:
    n_images = len(labels_N)
    if temperature < 1.01 * _TEMPERATURES[0]:
        logger.warning(
            "The temperature ran to its bound of %g: the network tells classes apart by so little that its confidence "
            "stays too low; train it longer",
            _TEMPERATURES[0],
        )
    elif _none_is_wrong(logits_NK, labels_N):
        logger.warning(
            "None of the %d validation images is wrong: they cannot say how sure the model may be, and count as %d "
            "right answers in %d (temperature %.3f)",
            *(n_images, n_images + 1, n_images + 2, temperature),
        )
    elif temperature > 0.99 * _TEMPERATURES[1]:
        logger.warning(
            "The temperature ran to its bound of %g: on validation the model is no better than guessing",
            _TEMPERATURES[1],
        )
    else:
        logger.info("Calibrated on %d validation images: temperature %.3f", n_images, temperature)
