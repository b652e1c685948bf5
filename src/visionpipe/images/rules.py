"""Judge a photo that can be decoded: good enough, merely poor, or of no use."""

from __future__ import annotations

from visionpipe.images.measurements import Measurements
from visionpipe.images.parameters import RuleParameters


def judge(
    measured: Measurements, width: int, height: int, rules: RuleParameters
) -> tuple[tuple[str, ...], tuple[str, str] | None]:
    """Hold a photo against the rules.

    Parameters
    ----------
    measured : Measurements
        Its numbers.
    width, height : int
        Its size [pixels].
    rules : RuleParameters
        Limits, and what each costs.

    Returns
    -------
    flags : tuple of str
        Codes of the rules with the action `flag` that the photo breaks.
    refusal : tuple of str or None
        Code and detail of the first broken rule with the action `quarantine`.
    """
    broken = _broken(measured, width, height, rules)
    for code, detail in broken.items():
        if getattr(rules, code).action == "quarantine":
            return (), (code, detail)
    return tuple(code for code in broken if getattr(rules, code).action == "flag"), None


def _broken(seen: Measurements, width: int, height: int, rules: RuleParameters) -> dict[str, str]:
    aspect = max(width, height) / min(width, height)
    below = {  # code -> (name of the number, number): broken below the limit
        "blank": ("contrast", seen.contrast),
        "dark": ("brightness", seen.brightness),
        "blurred": ("sharpness", seen.sharpness),
        "low_entropy": ("entropy", seen.entropy),
    }
    above = {  # broken above the limit
        "aspect": ("longer by shorter side", aspect),
        "bright": ("brightness", seen.brightness),
        "clipped_dark": ("share of black pixels", seen.clipped_dark),
        "clipped_bright": ("share of white pixels", seen.clipped_bright),
    }
    broken = {}
    for code, (name, value) in below.items():
        if value < (limit := getattr(rules, code).limit):
            broken[code] = f"{name} {value:.4g}, at least {limit:g} needed (ingestion.rules.{code}.limit)"
    for code, (name, value) in above.items():
        if value > (limit := getattr(rules, code).limit):
            broken[code] = f"{name} {value:.4g}, at most {limit:g} (ingestion.rules.{code}.limit)"
    return broken
