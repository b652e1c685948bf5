"""Acceptance limits as a user writes them: `recall[defective] >= 0.80`, `worst_slice(accuracy) >= 0.7`."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from visionpipe.errors import meant

LATENCY = "latency_ms_p95"
HIGHER_IS_BETTER = {
    "accuracy": True,
    "balanced_accuracy": True,
    "macro_f1": True,
    "auroc": True,
    "average_precision": True,
    "log_loss": False,
    "brier": False,
    "ece": False,
    "classwise_ece": False,
    "aurc": False,
    "expected_cost": False,
    LATENCY: False,
}
"""Metrics of the whole test set, and of the model, that a limit may name."""
OF_A_CLASS = {"recall": True, "precision": True, "false_positive_rate": False}
"""Metrics of one class, written ``recall[defective]``."""
OF_SLICES = {"worst_slice": "accuracy"}
"""Metrics over slices, and what each is asked of: ``worst_slice(accuracy)``."""
MAXIMUM = {"log_loss": math.inf, "brier": 2.0, "expected_cost": math.inf, LATENCY: math.inf}

_LIMIT = re.compile(r"\s*(\w+)\s*(?:\[(.+)\]|\((.*)\))?\s*(>=|<=)\s*(\S+)\s*")


@dataclass(frozen=True)
class AcceptanceLimit:
    """One sentence of the problem definition, such as ``recall[defective] >= 0.80``."""

    metric: str
    class_name: str | None
    higher_is_better: bool
    limit: float

    @property
    def name(self) -> str:
        """The key of the metric in `visionpipe.metrics.summary.classification_metrics`."""
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
    metric, class_name, inner, operator, number = found.groups()
    known = HIGHER_IS_BETTER | OF_A_CLASS | dict.fromkeys(OF_SLICES, True)
    if metric not in known:
        raise ValueError(f"acceptance {text!r}: no metric is called {metric!r}; {meant(metric, known)}")
    form = _form(metric)
    given = f"{metric}[CLASS]" if class_name else f"{metric}({inner})" if inner is not None else metric
    if given.replace(" ", "") != form:
        raise ValueError(f"acceptance {text!r}: write {form} {operator} {number}")
    better = ">=" if known[metric] else "<="
    if operator != better:
        direction = "higher" if known[metric] else "lower"
        raise ValueError(f"acceptance {text!r}: {metric} is better when {direction}; use {better}")
    try:
        limit = float(number)
    except ValueError:
        raise ValueError(f"acceptance {text!r}: {number!r} is no number") from None
    maximum = MAXIMUM.get(metric, 1.0)
    if not 0 <= limit <= maximum or limit == math.inf:
        raise ValueError(f"acceptance {text!r}: {metric} lies between 0 and {maximum:g}")
    return AcceptanceLimit(metric, class_name.strip() if class_name else None, known[metric], limit)


def _form(metric: str) -> str:
    if metric in OF_A_CLASS:
        return f"{metric}[CLASS]"
    return f"{metric}({OF_SLICES[metric]})" if metric in OF_SLICES else metric
