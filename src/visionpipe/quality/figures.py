"""Figures about the whole data set, and the limits they are held to: shares, coverage, groups, flags, agreement.

Figures make one small table (`kind, about, value`), so that Great Expectations judges and shows them like any other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from visionpipe.counting import counted
from visionpipe.quality.claims import range_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pandas as pd

    from visionpipe.quality.agreement import Agreement
    from visionpipe.quality.parameters import AgreementParameters, Severity, ValidationParameters

FIGURE_COLUMNS = ("kind", "about", "value")


@dataclass(frozen=True)
class Limit:
    """What every figure of one kind must be like: a closed range whose open end is None."""

    kind: str
    text: str
    low: float | None
    high: float | None
    severity: Literal["critical", "warning"]


@dataclass
class FigureSheet:
    """Figures and limits as they are collected."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    limits: list[Limit] = field(default_factory=list)

    def add(
        self,
        kind: str,
        text: str,
        values: Iterable[tuple[str, float]],
        *,
        low: float | None = None,
        high: float | None = None,
        severity: Severity = "warning",
    ) -> None:
        """Hold `values` (what it is about, the figure) to a limit; nothing is expected of no values."""
        rows = [{"kind": kind, "about": about, "value": float(value)} for about, value in values]
        if rows:
            self.rows += rows
            self.limits.append(Limit(kind, text, low, high, "critical" if severity == "error" else "warning"))

    def table(self) -> pd.DataFrame:
        """Return `kind, about, value`."""
        import pandas as pd

        return pd.DataFrame(self.rows, columns=list(FIGURE_COLUMNS))


def add_class_shares(sheet: FigureSheet, manifest: pd.DataFrame, parameters: ValidationParameters) -> None:
    """Hold the share of each class that `label_share` names to its limits.

    A class that nobody knows fails, for a limit on a misspelt name would hold whatever the data are.
    """
    known = {*manifest["label"].dropna().astype(str), *(parameters.classes or [])}
    sheet.add(
        "images of a class",
        "each class that validation.label_share names is found, or is one of validation.classes",
        [(name, 0) for name in parameters.label_share if name not in known],
        low=1,
        severity="error",
    )
    for name, limits in parameters.label_share.items():
        if name not in known:
            continue
        share = float((manifest["label"] == name).mean()) if len(manifest) else 0.0
        sheet.add(
            f"share of {name}",
            f"{range_text(f'the share of {name}', limits.min, limits.max)} (validation.label_share)",
            [(name, share)],
            low=limits.min,
            high=limits.max,
            severity="error",
        )


def add_coverage(sheet: FigureSheet, manifest: pd.DataFrame, parameters: ValidationParameters) -> None:
    """Count the images of each class under each required condition."""
    fewest = parameters.warn_images_per_condition
    classes = parameters.classes or sorted(manifest["label"].dropna().astype(str).unique())
    for column, values in parameters.required_attributes.items():
        if column not in manifest:
            continue  # an expectation on the manifest says so
        found = (
            manifest[column]
            .astype(str)
            .groupby([manifest[column].astype(str), manifest["label"].astype(str)])
        )
        counts = found.size()
        sheet.add(
            f"images by class and {column}",
            f"each class has {counted(fewest, 'image')} or more under each value of "
            f"validation.required_attributes.{column} (validation.warn_images_per_condition)",
            [
                (f"{column}={value}, {label}", int(counts.get((value, label), 0)))
                for value in values
                if value in counts.index.get_level_values(0)  # a value without any image is an error already
                for label in classes
            ],
            low=fewest,
        )


def add_groups(sheet: FigureSheet, manifest: pd.DataFrame, parameters: ValidationParameters) -> None:
    """Hold the largest groups of near-duplicates to their share of all images."""
    shares = (
        manifest["group_id"]
        .value_counts(normalize=True)
        .sort_index()
        .sort_values(ascending=False, kind="stable")
    )
    too_large = shares[shares > parameters.max_group_share]
    sheet.add(
        "share of a group",
        f"no group of near-duplicates holds more than {parameters.max_group_share:g} of all images "
        "(validation.max_group_share)",
        (too_large if len(too_large) else shares.head(1)).items(),
        high=parameters.max_group_share,
        severity=parameters.group_severity,
    )


def count_flags(manifest: pd.DataFrame) -> dict[str, int]:
    """Count the images that inspection flagged, by rule."""
    flagged = manifest.loc[manifest["flags"].fillna("") != "", "flags"]
    rules = flagged.str.split(",").explode().str.strip()
    return {rule: int(n) for rule, n in rules.value_counts().sort_index().items()}


def add_flags(sheet: FigureSheet, manifest: pd.DataFrame, parameters: ValidationParameters) -> None:
    """Hold the share of flagged images to its limit, rule by rule."""
    sheet.add(
        "share flagged",
        f"at most {parameters.max_flagged_share:g} of the images are flagged by any one rule "
        "(validation.max_flagged_share)",
        [(rule, n / len(manifest)) for rule, n in count_flags(manifest).items()],
        high=parameters.max_flagged_share,
    )


def add_agreement(
    sheet: FigureSheet,
    agreements: Sequence[Agreement],
    disagreements: Sequence[dict[str, Any]],
    parameters: AgreementParameters,
) -> None:
    """Judge alpha by the lower end of its interval, and count the contradictions that nobody has settled.

    The bound, not the estimate: as everywhere here, a limit is met when the data show it, so that ten lucky images do
    not pass where a thousand would be needed. It is judged only from `min_images` images on.
    """
    n_open = sum(not each["settled"] for each in disagreements)
    if n_open:
        sheet.add(
            "contradictions",
            "no image has labels that contradict each other (disagreements.json lists all that do)",
            [("found", n_open)],
            high=0,
        )
    alpha = agreements[0]
    if parameters.min_alpha is None and not parameters.required:
        return
    reason = why_not_judged(alpha, parameters)
    sheet.add(
        "agreement can be judged",
        f"agreement can be judged: {parameters.min_images} images or more have two annotators "
        "(validation.agreement.min_images)",
        [(reason or _with_two(alpha), 0.0 if reason else 1.0)],
        low=1,
        severity="error" if parameters.required else "warning",
    )
    if parameters.min_alpha is not None and reason is None:
        sheet.add(
            "agreement",
            f"Krippendorff's alpha is {parameters.min_alpha:g} or more, by the lower end of its "
            f"{100 * parameters.level:g} % interval (validation.agreement.min_alpha)",
            [(f"alpha {alpha.estimate:.3f}, interval from", math.floor(alpha.low * 1e6) / 1e6)],
            low=parameters.min_alpha,
            severity="error",
        )


def why_not_judged(alpha: Agreement, parameters: AgreementParameters) -> str | None:
    """Say why agreement cannot be judged; None when it can."""
    if alpha.n_images < parameters.min_images:
        return f"{_with_two(alpha)}, {parameters.min_images} needed"
    return alpha.reason


def _with_two(alpha: Agreement) -> str:
    return f"{counted(alpha.n_images, 'image')} {'has' if alpha.n_images == 1 else 'have'} two annotators or more"
