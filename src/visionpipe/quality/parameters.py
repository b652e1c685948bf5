"""What a data set must be like before anything is trained on it."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class ValueRange(BaseModel):
    """Closed range that every value of a numeric manifest column must lie in; an open end is None."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _check_ends(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("give min, max or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} is above max {self.max:g}")
        return self


class ValidationParameters(BaseModel):
    """The expectations on the manifest (`validation:` in the parameters)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_images_per_class: int = Field(default=2, ge=1)
    """Fewer images of a class than this stop the run [images]."""
    warn_images_per_class: int = Field(default=100, ge=0)
    """Fewer images of a class than this are only warned about [images]."""
    classes: list[str] | None = None
    """The classes that must be there, and no others; None takes those that are found."""
    min_classes: int = Field(default=2, ge=1)
    """Fewer distinct labels than this stop the run."""
    max_quarantined_share: float = Field(default=0.2, ge=0.0, le=1.0)
    """Largest part of all inputs that may lie in the quarantine [0..1]."""
    required_attributes: dict[str, list[str]] = {}
    """Conditions that must be in the data: attribute column -> values (`cell_type: [mono, poly]`)."""
    ranges: dict[str, ValueRange] = {}
    """Further limits on numeric columns (`sharpness: {min: 5}`)."""

    @model_validator(mode="after")
    def _check_classes(self) -> Self:
        if self.classes is not None:
            repeated = sorted({name for name in self.classes if self.classes.count(name) > 1})
            if repeated:
                raise ValueError(f"classes: named more than once: {', '.join(repeated)}")
            if len(self.classes) < self.min_classes:
                raise ValueError(f"classes: {len(self.classes)} named, min_classes is {self.min_classes}")
        return self
