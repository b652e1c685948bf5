"""What the gate says: its checks and its verdict, ready for a report, a record and JSON."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from visionpipe.promotion.wear import Wear

Kind = Literal["gain", "non_inferiority", "acceptance", "leak", "sanity", "wear", "class_change"]


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing the gate looked at, with the numbers that decided it."""

    name: str
    kind: Kind
    value: float | None = None
    low: float | None = None
    high: float | None = None
    limit: float | None = None
    p_value: float | None = None
    passed: bool | None
    """None: open, the evidence does not decide it."""
    detail: str
    blocking: bool = True
    """Whether the check stands in the way while it is open."""
    images_needed: int | None = None
    """Test images, in all, that would probably decide an open check."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """The verdict of the gate with everything it rests on."""

    outcome: Literal["promote", "reject", "insufficient_evidence"]
    reason: str
    """One sentence for a manager."""
    checks: list[Check]
    n_test_images: int
    images_needed: int | None
    champion_version: str | None
    metric: str
    looked: bool = False
    """Whether the test images told anything of the challenger: only then has the comparison used them."""
    wear: Wear | None = None
    """How often the test images have decided before; None when that was not asked."""

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-safe mapping: plain Python types, NaN and infinity as None."""
        return json_safe(asdict(self) | {"wear": self.wear.as_dict() if self.wear else None})


def json_safe(value: Any) -> Any:
    """Return a value as plain Python types; NaN and infinity become None."""
    if isinstance(value, dict):
        return {str(key): json_safe(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_safe(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
