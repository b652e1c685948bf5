"""How the reports write numbers: one way to print an estimate, an interval, a p-value, a metric's name."""

from __future__ import annotations

import math
import numbers
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from visionpipe.counting import noun_for

NOTHING = "—"
MOST_TOLD_IMAGES = 1_000_000
_PERCENT = "\N{NO-BREAK SPACE}%"

# name in the metrics -> (name for people, what it says, which way is better)
METRICS: dict[str, tuple[str, str]] = {
    "accuracy": ("Accuracy", "Share of test images given the right class. Higher is better."),
    "balanced_accuracy": (
        "Balanced accuracy",
        "Mean recall of the classes, each counted the same. Higher is better.",
    ),
    "macro_f1": (
        "Macro F1",
        "Mean over the classes of the balance of recall and precision. Higher is better.",
    ),
    "auroc": ("AUROC", "Chance that a positive image is scored above a negative one; 0.5 is guessing."),
    "average_precision": ("Average precision", "Area under the precision–recall curve. Higher is better."),
    "ece": (
        "Calibration error (ECE)",
        "Mean gap between stated confidence and actual accuracy. Lower is better.",
    ),
    "classwise_ece": (
        "Classwise calibration error",
        "The same gap, for the probability of every class. Lower is better.",
    ),
    "brier": ("Brier score", "Squared error of the probabilities; 0 is perfect."),
    "nll": ("Log loss", "Mean negative log-likelihood of the true class. Lower is better."),
    "aurc": ("AURC", "Area under the risk–coverage curve. Lower is better."),
}
CHECK_KINDS = {
    "gain": "Is it better?",
    "non_inferiority": "Is anything worse?",
    "class_change": "Classes come and gone",
    "acceptance": "Is it good enough?",
    "leak": "Are the images new to it?",
    "sanity": "Can it be judged?",
    "wear": "May the images decide again?",
}
"""What a check of the gate asks, by its kind."""
_RANKING = {"auroc", "average_precision"}
_SYNONYMS = {
    "auc": "auroc",
    "roc_auc": "auroc",
    "log_loss": "nll",
    "brier_score": "brier",
    "f1_macro": "macro_f1",
}
_CAPITALS = (
    "AUROC",
    "AUC",
    "ECE",
    "NLL",
    "F1",
    "DVC",
    "MD5",
    "MMD",
    "KS",
    "ID",
    "SHA256",
    "GPU",
    "CPU",
    "JPEG",
    "MLflow",
)
_SPELLINGS = {word.lower(): word for word in _CAPITALS}


def is_number(value: Any) -> bool:
    """Return whether `value` is a finite real number (NaN, infinity, None and booleans are not)."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


def _decimals(*values: float) -> int:
    largest = max(abs(value) for value in values)
    if largest >= 1000:
        return 0
    if largest >= 100:
        return 1
    if largest >= 10:
        return 2
    return 3 if largest >= 0.01 or largest == 0 else 5


def number(value: Any, *, signed: bool = False, decimals: int | None = None) -> str:
    """Return a number with the digits that matter, a real minus sign, and a dash for nothing; only 0 is written as 0.

    >>> number(0.91234), number(2624), number(-0.02, signed=True), number(None), number(1e-9)
    ('0.912', '2,624', '−0.020', '—', '< 0.00001')
    """
    if not is_number(value):
        return NOTHING
    if isinstance(value, numbers.Integral) or (decimals is None and abs(value) >= 10 and value == int(value)):
        text = f"{int(value):,}"
    else:
        text = f"{float(value):,.{_decimals(float(value)) if decimals is None else decimals}f}"
    if decimals is None and value and not text.strip("-0."):
        return "> −0.00001" if value < 0 else f"< {'+' if signed else ''}0.00001"
    if text.startswith("-"):
        text = "−" + text[1:] if text.strip("-0.,") else text[1:]
    elif signed and text.strip("0.,"):
        text = "+" + text
    return text


def counted(n: Any, noun: str) -> str:
    """Return a count with its noun, singular or plural.

    >>> counted(1, "image"), counted(2624, "class"), counted(0, "image")
    ('1 image', '2,624 classes', '0 images')
    """
    return f"{number(n)} {noun_for(n, noun)}"


def images_needed(n: int) -> str:
    """Return how many test images would decide something; beyond a million the figure says no more than that.

    >>> images_needed(2900), images_needed(7_343_232)
    ('about 2,900', 'more than 1 million')
    """
    return "more than 1 million" if n > MOST_TOLD_IMAGES else f"about {number(n)}"


def interval(found: Mapping[str, Any] | None, *, signed: bool = False) -> str:
    """Return an estimate with its interval; a dash when there is no estimate.

    `found` holds `estimate` (or `value`), `low` and `high`, in the unit of the metric.

    >>> interval({"estimate": 0.912, "low": 0.881, "high": 0.938, "level": 0.95})
    '0.912 (0.881–0.938)'
    >>> interval({"value": 0.01, "low": -0.004, "high": 0.024}, signed=True)
    '+0.010 (−0.004 to +0.024)'
    """
    found = found or {}
    estimate = found.get("estimate", found.get("value"))
    if not is_number(estimate):
        return NOTHING
    low, high = found.get("low"), found.get("high")
    if not (is_number(low) and is_number(high)):
        return number(estimate, signed=signed)
    ends = (float(estimate), float(low), float(high))
    places = _decimals(*ends) if max(map(abs, ends)) >= 0.00001 else None  # smaller: each says so
    middle, left, right = (number(float(v), signed=signed, decimals=places) for v in ends)
    # "−0.02–0.01" could be read two ways
    return f"{middle} ({left} to {right})" if signed or low < 0 else f"{middle} ({left}–{right})"


def level(intervals: Iterable[Mapping[str, Any] | None]) -> str:
    r"""Return the confidence level of some intervals as "95 %"; several levels are all named.

    >>> level([{"estimate": 0.9, "level": 0.95}, {"estimate": None}])
    '95\xa0%'
    """
    found = sorted({float(i["level"]) for i in intervals if i and is_number(i.get("level"))})
    return " or ".join(f"{100 * value:g}{_PERCENT}" for value in found) or f"95{_PERCENT}"


def p_value(value: Any) -> str:
    """Return a p-value, never as a bare zero.

    >>> p_value(0.0), p_value(0.0421), p_value(None)
    ('< 0.001', '0.042', '—')
    """
    if not is_number(value):
        return NOTHING
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def percent(share: Any) -> str:
    r"""Return a share (0 to 1) as a percentage; only what is exactly 1 or 0 is written as 100 % or 0.

    >>> percent(0.973), percent(0.99999), percent(1.0), percent(0.0001)
    ('97.3\xa0%', '> 99.9\xa0%', '100\xa0%', '< 0.1\xa0%')
    """
    if not is_number(share):
        return NOTHING
    if share == 1:
        return f"100{_PERCENT}"
    if 0 < abs(share) < 0.0005:
        return f"< 0.1{_PERCENT}" if share > 0 else f"> −0.1{_PERCENT}"
    return (
        f"> 99.9{_PERCENT}" if 0.9995 <= share < 1 else f"{number(100 * float(share), decimals=1)}{_PERCENT}"
    )


def minute(time: Any) -> str:
    """Return an ISO 8601 time to the minute; anything else as it is. Times of the tables are UTC.

    >>> minute("2024-04-01T08:15:32.123+00:00"), minute("2024-04-01"), minute(None)
    ('2024-04-01 08:15', '2024-04-01', '—')
    """
    return re.sub(r"^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d).*$", r"\1 \2", fact(time))


def duration(seconds: Any) -> str:
    """Return a time span in the two units that matter.

    >>> duration(7.4), duration(192), duration(7509), duration(None)
    ('7.4 s', '3 min 12 s', '2 h 5 min', '—')
    """
    if not is_number(seconds):
        return NOTHING
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def fact(value: Any) -> str:
    """Return any plain value as a person would write it: yes/no, a list with commas, four digits of a float.

    >>> fact(True), fact(["head", "blocks.6"]), fact(1.23456789), fact(None)
    ('yes', 'head, blocks.6', '1.235', '—')
    """
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        if "estimate" in value:
            return interval(value)
        return ", ".join(f"{key}: {fact(part)}" for key, part in value.items()) or NOTHING
    if isinstance(value, (list, tuple, set, frozenset)):
        parts = sorted(value, key=str) if isinstance(value, (set, frozenset)) else value
        return ", ".join(fact(part) for part in parts) or NOTHING
    if isinstance(value, numbers.Integral):
        return str(int(value))
    if isinstance(value, numbers.Real):
        return f"{float(value):.4g}".replace("-", "−") if math.isfinite(value) else NOTHING
    return str(value) or NOTHING


def title_of(name: object) -> str:
    """Return a snake_case name as words.

    >>> title_of("macro_f1"), title_of("worst_slice_accuracy"), title_of("image_size_px")
    ('Macro F1', 'Worst slice accuracy', 'Image size (px)')
    """
    known = METRICS.get(_SYNONYMS.get(str(name), str(name)))
    if known:
        return known[0]
    words = str(name).replace("non_inferiority", "non-inferiority").replace("_", " ").split()
    if len(words) > 1 and words[-1] in {"px", "ms", "s", "gib", "mb"}:
        words[-1] = f"({words[-1]})"
    words = [_SPELLINGS.get(word.lower(), word) for word in words]
    return " ".join(words)[:1].upper() + " ".join(words)[1:]


def metric_in_words(metric: str) -> str:
    """Return a metric, perhaps of one class, as words; the class keeps its spelling.

    >>> metric_in_words("macro_f1"), metric_in_words("recall[mono_crack]")
    ('Macro F1', 'Recall of mono_crack')
    """
    kind, _, of_class = metric.partition("[")
    return title_of(kind) + (f" of {of_class.removesuffix(']')}" if of_class else "")


def mid_sentence(title: str) -> str:
    """Return a title as it stands inside a sentence: acronyms keep their capitals.

    >>> mid_sentence("Balanced accuracy"), mid_sentence("AUROC")
    ('balanced accuracy', 'AUROC')
    """
    return title if title[1:2].isupper() else title[:1].lower() + title[1:]


def meaning_of(metric: str, classes: Sequence[str] = ()) -> str:
    """Return what a metric says, or nothing for a metric we do not know.

    Of the K `classes`, in the order of their codes, a ranking metric takes one as positive: that is named.

    >>> meaning_of("average_precision", ["defective", "functional"])
    'Area under the precision–recall curve. Higher is better. Positive class: functional.'
    """
    name = _SYNONYMS.get(metric, metric)
    said = METRICS.get(name, ("", ""))[1]
    if name not in _RANKING or len(classes) < 2:
        return said
    if len(classes) == 2:  # as `visionpipe.metrics.classification` scores it
        return f"{said} Positive class: {classes[1]}."
    return (
        f"{said} Each class in turn is the positive one, against the rest; the mean, each counted the same."
    )
