"""What must be proven before a model may take over, in the user's words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from visionpipe.errors import VisionpipeError, meant
from visionpipe.promotion.limits import LATENCY, AcceptanceLimit, parse_limit
from visionpipe.promotion.wear import MOST_PLANNED
from visionpipe.reports.card_parameters import CardParameters


class PromotionParameters(BaseModel):
    """The ``promotion`` section of the parameters."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: Literal["promote", "propose", "off"] = "promote"
    """Whether a winner takes over, waits for approval, or is only reported; each time the comparison is on record."""
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
    """Attribute columns that there must be; every attribute column is judged, value by value."""
    slice_pairs: list[Annotated[list[str], Field(min_length=2, max_length=2)]] = []
    """Pairs of columns whose combinations are judged as well: ``[site, camera]``; ``label`` stands for the class."""
    min_slice_images: int = Field(default=30, ge=2)
    """A class or slice with fewer test images is listed as too small to judge."""
    vanished_classes: Literal["reject", "allow"] = "reject"
    """What becomes of a challenger that does not know a class which the champion knows."""
    new_classes: Literal["allow", "reject"] = "allow"
    """What becomes of one that knows a class which the champion does not; allowed, it must find that class."""
    planned_comparisons: int = Field(default=12, ge=1, le=MOST_PLANNED)
    """Comparisons that the same test images may decide; they share the error rate of one."""
    acceptance: list[str] = []
    """Limits every model must meet, with its confidence bound: ``recall[defective] >= 0.80``."""
    costs: dict[str, dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]]] = {}
    """True class -> class given -> what that mistake costs, for ``expected_cost``; an unnamed mistake costs 1."""
    seed: int = Field(default=0, ge=0)
    card: CardParameters = CardParameters()

    @field_validator("mode", mode="before")
    @classmethod
    def _unquoted_off(cls, mode: object) -> object:
        return "off" if mode is False else mode  # YAML reads a bare off as false

    @field_validator("acceptance")
    @classmethod
    def _readable(cls, acceptance: list[str]) -> list[str]:
        for text in acceptance:
            parse_limit(text)
        return acceptance

    @field_validator("costs")
    @classmethod
    def _right_answers_are_free(cls, costs: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
        for name, row in costs.items():
            if row.get(name):
                raise ValueError(f"costs[{name}][{name}] is {row[name]:g}: a right answer costs nothing")
        return costs

    @model_validator(mode="after")
    def _enough_resamples(self) -> Self:
        needed = math.ceil(2 / (1 - self.level) - 1 - 1e-9)
        if self.resamples < needed:
            raise ValueError(f"resamples is {self.resamples}: level {self.level} needs at least {needed}")
        return self

    @property
    def alpha(self) -> float:
        """One-sided error rate: of one test, and of all planned comparisons on the same images together."""
        return (1 - self.level) / 2

    def limits(self, classes: Sequence[str] | None = None) -> list[AcceptanceLimit]:
        """Return the acceptance limits.

        Parameters
        ----------
        classes
            When given, every class that a limit or a cost names must be one of them.

        Raises
        ------
        ValueError
            When one names an unknown class.
        """
        limits = [parse_limit(text) for text in self.acceptance]
        if classes is not None:
            named = [
                (f"acceptance {text!r}", limit.class_name)
                for text, limit in zip(self.acceptance, limits, strict=True)
            ]
            named += [(f"costs[{true}]", name) for true, row in self.costs.items() for name in (true, *row)]
            for where, name in named:
                if name is not None and name not in classes:
                    raise ValueError(f"{where}: no class is called {name!r}; {meant(name, classes)}")
        return limits

    def require_names(self, classes: Iterable[str], columns: Iterable[str]) -> None:
        """Refuse, before anything is trained, what names a class or a slice that there is not.

        Parameters
        ----------
        classes
            Class names of the data.
        columns
            Its attribute columns.

        Raises
        ------
        VisionpipeError
            Names the key, the unknown name and what was probably meant.
        """
        try:
            self.limits(sorted(classes))
        except ValueError as error:
            raise VisionpipeError(f"promotion.{error}") from error
        if unknown := self.unknown_columns(columns):
            raise VisionpipeError(f"promotion.{unknown[0]}")

    def require_timing(self, timed_predictions: int, level: float) -> None:
        """Refuse, before anything is trained, a limit on speed where too few predictions are timed to prove it.

        Parameters
        ----------
        timed_predictions
            How many the examination times (`evaluation.examination.timed_predictions`).
        level
            Confidence of the two-sided interval of their 95th percentile (`evaluation.level`).

        Raises
        ------
        VisionpipeError
            Names the limit, and how many must be timed: fewer have no upper bound, whatever they last.
        """
        needed = math.ceil(math.log((1 - level) / 2) / math.log(0.95) - 1e-9)
        for text, limit in zip(self.acceptance, self.limits(), strict=True):
            if limit.metric == LATENCY and timed_predictions < needed:
                timed = (
                    "nothing is timed"
                    if timed_predictions == 0
                    else "too few predictions are timed to prove it"
                )
                raise VisionpipeError(
                    f"promotion.acceptance {text!r}: {timed} (evaluation.examination.timed_predictions: "
                    f"{timed_predictions}); {needed} or more are needed"
                )

    def unknown_columns(self, columns: Iterable[str]) -> list[str]:
        """Return, in words, each column to slice by that is not there."""
        known = sorted(columns)
        asked = [("slices", name, known) for name in self.slices]
        asked += [("slice_pairs", name, [*known, "label"]) for pair in self.slice_pairs for name in pair]
        return [
            f"{key}: no attribute column is called {name!r}; "
            + (meant(name, there) if known else "the photos have no attributes")
            for key, name, there in asked
            if name not in there
        ]
