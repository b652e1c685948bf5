"""What a model answers without a person, in the words of every page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from visionpipe.reports.wording import number


def why_nothing_is_automatic(evaluation: Mapping[str, Any] | None) -> str | None:
    """Return why a model leaves every photo to a person, as the middle of a sentence.

    Parameters
    ----------
    evaluation
        `model` (`visionpipe.models.candidate.describe_model`) and `selective` of evaluation.json; either may be
        missing.

    Returns
    -------
    str or None
        None where it answers some photos, and where that is not known.
    """
    evaluation = evaluation or {}
    model = evaluation.get("model") or {}
    if "deferral_confidence" in model and model["deferral_confidence"] is None:
        return why_all_are_deferred(model)
    deferral = (evaluation.get("selective") or {}).get("deferral")
    if deferral and deferral["n"] == 0:
        return f"no test image reached the confidence of {number(deferral['threshold'])} that it needs"
    return None


def why_all_are_deferred(model: Mapping[str, Any]) -> str:
    """Say why a model has no confidence from which on it answers (`visionpipe.models.calibrate.calibrate`)."""
    return str(model.get("all_deferred") or "the validation images were not enough for the wanted accuracy")


def automatic_share(evaluation: Mapping[str, Any] | None) -> Mapping[str, Any] | str | None:
    """Return the share of the test images that a model answers by itself.

    Returns
    -------
    mapping, str or None
        An interval, 0 to 1; "none"; or None where that is not known.
    """
    if why_nothing_is_automatic(evaluation):
        return "none"
    deferral = ((evaluation or {}).get("selective") or {}).get("deferral") or {}
    return deferral.get("coverage")
