"""What a model answers without a person, in the words of every page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from visionpipe.reports.wording import number


def left_to_a_person(evaluation: Mapping[str, Any] | None) -> str | None:
    """Say, without its full stop, that a person decides on every photo, or did on every test image, and why.

    Parameters
    ----------
    evaluation
        `model` (`visionpipe.models.candidate.describe_model`) and `selective` of evaluation.json; either may be
        missing.

    Returns
    -------
    str or None
        None where it answered some test images, and where that is not known.
    """
    evaluation = evaluation or {}
    if _answers_nothing(evaluation):
        return f"Every photo is left to a person: {why_all_are_deferred(evaluation['model'])}"
    deferral = (evaluation.get("selective") or {}).get("deferral")
    if deferral and deferral["n"] == 0:
        needed = f"the confidence of {number(deferral['threshold'])} that the model needs"
        return f"No test image was answered without a person: none reached {needed}"
    return None


def why_all_are_deferred(model: Mapping[str, Any]) -> str:
    """Say why a model has no confidence from which on it answers (`visionpipe.models.calibrate.calibrate`)."""
    return str(model.get("all_deferred") or "the validation images were not enough for the wanted accuracy")


def automatic_share(evaluation: Mapping[str, Any] | None) -> Mapping[str, Any] | str | None:
    """Return the share of the test images that a model answers by itself.

    Returns
    -------
    mapping, str or None
        An interval, 0 to 1; "none" where it has no confidence from which on it answers; or None where that is not
        known.
    """
    evaluation = evaluation or {}
    if _answers_nothing(evaluation):
        return "none"
    return ((evaluation.get("selective") or {}).get("deferral") or {}).get("coverage")


def _answers_nothing(evaluation: Mapping[str, Any]) -> bool:
    model = evaluation.get("model") or {}
    return "deferral_confidence" in model and model["deferral_confidence"] is None
