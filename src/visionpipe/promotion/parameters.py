"""What must be proven before a model may take over, in the user's words."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from visionpipe.errors import VisionpipeError

HIGHER_IS_BETTER = {
    "accuracy": True,
    "balanced_accuracy": True,
    "macro_f1": True,
    "auroc": True,
    "average_precision": True,
    "log_loss": False,
    "brier": False,
    "ece": False,
}
"""Metrics of the whole test set that an acceptance limit may name."""
OF_A_CLASS = {"recall": True, "precision": True}
"""Metrics of one class, written ``recall[defective]``."""
MAXIMUM = {"log_loss": float("inf"), "brier": 2.0}

_LIMIT = re.compile(r"\s*(\w+)\s*(?:\[(.+)\])?\s*(>=|<=)\s*(\S+)\s*")


@dataclass(frozen=True)
class AcceptanceLimit:
    """One sentence of the problem definition, such as ``recall[defective] >= 0.80``."""

    metric: str
    class_name: str | None
    higher_is_better: bool
    limit: float

    @property
    def name(self) -> str:
        """The key of the metric in `visionpipe.metrics.classification_metrics`."""
        return self.metric if self.class_name is None else f"{self.metric}[{self.class_name}]"

    def is_met_by(self, value: float) -> bool:
        """Return whether a value, or a confidence bound, is on the right side of the limit."""
        return value >= self.limit if self.higher_is_better else value <= self.limit


def parse_limit(text: str) -> AcceptanceLimit:
    """Read one acceptance limit.

    Raises
    ------
    ValueError
        Names the text, what is wrong with it and what would be right.

    Examples
    --------
    >>> parse_limit("recall[defective] >= 0.80")
    AcceptanceLimit(metric='recall', class_name='defective', higher_is_better=True, limit=0.8)
    """
    found = _LIMIT.fullmatch(text)
    if found is None:
        raise ValueError(f"acceptance {text!r}: write METRIC >= NUMBER or METRIC[CLASS] >= NUMBER, or <=")
    metric, class_name, operator, number = found.groups()
    known = HIGHER_IS_BETTER | OF_A_CLASS
    if metric not in known:
        close = get_close_matches(metric, known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
        raise ValueError(f"acceptance {text!r}: no metric is called {metric!r}; {hint}")
    if (metric in OF_A_CLASS) != (class_name is not None):
        right = f"{metric}[CLASS]" if metric in OF_A_CLASS else metric
        raise ValueError(f"acceptance {text!r}: write {right} {operator} {number}")
    better = ">=" if known[metric] else "<="
    if operator != better:
        direction = "higher" if known[metric] else "lower"
        raise ValueError(f"acceptance {text!r}: {metric} is better when {direction}; use {better}")
    try:
        limit = float(number)
    except ValueError:
        raise ValueError(f"acceptance {text!r}: {number!r} is no number") from None
    maximum = MAXIMUM.get(metric, 1.0)
    if not 0 <= limit <= maximum or limit == float("inf"):
        raise ValueError(f"acceptance {text!r}: {metric} lies between 0 and {maximum:g}")
    return AcceptanceLimit(metric, class_name.strip() if class_name else None, known[metric], limit)


class PromotionParameters(BaseModel):
    """The ``promotion`` section of the parameters."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model_name: str = Field(default="visionpipe", min_length=1)
    """Name of the registered model."""
    mode: Literal["promote", "propose", "off"] = "promote"
    """Whether a winner takes over, waits for approval, or is only reported."""
    metric: Literal["accuracy", "balanced_accuracy", "macro_f1", "auroc"] = "balanced_accuracy"
    """In which the challenger must be proven better."""
    level: float = Field(default=0.95, ge=0.5, lt=1)
    """Confidence of the two-sided intervals; every single test runs at ``(1 - level) / 2``."""
    resamples: int = Field(default=2000, ge=100, le=1_000_000)
    """Bootstrap resamples and swaps; the smallest p-value is 1 / (resamples + 1)."""
    min_test_images: int = Field(default=30, ge=2)
    """With fewer there is no verdict but "insufficient evidence"."""
    non_inferiority_margin: float = Field(default=0.05, gt=0, lt=1)
    """Loss of Youden's J in a class, or of accuracy in a slice, that the gain may cost."""
    slices: list[str] = []
    """Attribute columns whose values are judged one by one."""
    min_slice_images: int = Field(default=30, ge=2)
    """A class or slice with fewer test images is listed as too small to judge."""
    acceptance: list[str] = []
    """Limits every model must meet, with its confidence bound: ``recall[defective] >= 0.80``."""
    seed: int = Field(default=0, ge=0)

    @field_validator("acceptance")
    @classmethod
    def _readable(cls, acceptance: list[str]) -> list[str]:
        for text in acceptance:
            parse_limit(text)
        return acceptance

    @model_validator(mode="after")
    def _enough_resamples(self) -> Self:
        needed = math.ceil(2 / (1 - self.level) - 1 - 1e-9)
        if self.resamples < needed:
            raise ValueError(f"resamples is {self.resamples}: level {self.level} needs at least {needed}")
        return self

    def limits(self, classes: Sequence[str] | None = None) -> list[AcceptanceLimit]:
        """Return the acceptance limits.

        Parameters
        ----------
        classes
            When given, every class that a limit names must be one of them.

        Raises
        ------
        ValueError
            When a limit names an unknown class.
        """
        limits = [parse_limit(text) for text in self.acceptance]
        for limit, text in zip(limits, self.acceptance, strict=True):
            if classes is not None and limit.class_name is not None and limit.class_name not in classes:
                known = ", ".join(classes)
                raise ValueError(
                    f"acceptance {text!r}: no class is called {limit.class_name!r}; known: {known}"
                )
        return limits

    def require_classes(self, classes: Iterable[str]) -> None:
        """Raise `VisionpipeError` when an acceptance limit names a class that is not among these."""
        try:
            self.limits(sorted(classes))
        except ValueError as error:
            raise VisionpipeError(f"promotion.acceptance: {error}") from error
