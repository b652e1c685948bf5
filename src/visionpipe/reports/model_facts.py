"""What a model is and how it comes to an answer, in words: the same on every page that describes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from visionpipe.counting import noun_for
from visionpipe.reports.automation import why_all_are_deferred
from visionpipe.reports.wording import NOTHING, counted, fact, is_number, number, percent


def model_facts(
    model: Mapping[str, Any], classes: Sequence[str], size: Mapping[str, Any] | None = None
) -> dict[str, str]:
    """Return title -> text; what is not known is left out.

    Parameters
    ----------
    model
        `visionpipe.models.candidate.describe_model`.
    classes
        The K names, in the order of the codes.
    size
        May hold `megabytes`.
    """
    side_px, megabytes = model.get("image_size_px"), (size or {}).get("megabytes")
    passes, views = model.get("mc_dropout_passes"), model.get("averaged_views") or ()
    values = {
        "Classes": ", ".join(map(str, classes)) or NOTHING,
        "Backbone": fact(model.get("backbone")),
        "Input": f"photos scaled to {side_px} x {side_px} px" if is_number(side_px) else NOTHING,
        "Parameters": number(model.get("n_parameters")),
        "Size": f"{number(megabytes, decimals=1)} MB" if is_number(megabytes) else NOTHING,
        "Trained": f"{trained_part(model)}, from {fact(model.get('weights'))} weights",
        "Temperature of its probabilities": number(model.get("temperature")),
        "A prediction is the mean of": _passes(passes, views),
        "Label given": _rule(model.get("decision") or {}, classes),
        "Left to a person": _deferral(model),
        "Weights (SHA-256)": f"{model['weights_sha256'][:12]}…" if model.get("weights_sha256") else NOTHING,
        "Made by": f"visionpipe {model['visionpipe_version']}"
        if model.get("visionpipe_version")
        else NOTHING,
    }
    return {title: text for title, text in values.items() if text != NOTHING}


def trained_part(model: Mapping[str, Any]) -> str:
    """Return which stages were trained for how long; the epochs of a new head alone are counted with its fit."""
    stages, epochs = fact(model.get("trained_stages")), model.get("epochs")
    return stages if epochs == 0 else f"{stages}, {fact(epochs)} {noun_for(epochs, 'epoch')}"


def _passes(passes: Any, views: Sequence[str]) -> str:
    means = [f"{counted(passes, 'pass')} with dropout"] if passes else []
    means += [f"{len(views)} views of the photo ({', '.join(map(fact, views))})"] if len(views) > 1 else []
    return " and ".join(means) or NOTHING


def _rule(decision: Mapping[str, Any], classes: Sequence[str]) -> str:
    if decision.get("costs_KK"):
        return "the class of least expected cost"
    if decision.get("capped_class") is not None:
        name = classes[decision["capped_class"]]
        return f"{name} from a probability of {number(decision['capped_from'])} on, else the likeliest class"
    return "the likeliest class"


def _deferral(model: Mapping[str, Any]) -> str:
    if "deferral_confidence" not in model:
        return NOTHING
    if model["deferral_confidence"] is None:
        return f"every photo: {why_all_are_deferred(model)}"
    return f"photos of which it is less than {percent(model['deferral_confidence'])} sure"
