"""What a data set must be like before anything is trained on it."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Severity = Literal["warning", "error"]
"""`error` stops the run; `warning` is reported."""
Share = Annotated[float, Field(ge=0.0, le=1.0)]
MAX_TABLES = 100_000  # of labels, drawn where a class is rare: their number limits how small a p-value can be


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


class AgreementParameters(BaseModel):
    """How far annotators must agree (`validation.agreement`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_alpha: Annotated[float, Field(le=1)] | None = None
    """Krippendorff's alpha that the lower end of its interval must reach; None measures and demands nothing."""
    min_images: Annotated[int, Field(ge=2)] = 20
    """Images with two annotators or more that it takes to judge; fewer are warned about [images]."""
    required: bool = False
    """Whether labels whose agreement cannot be judged stop the run."""
    level: Annotated[float, Field(gt=0, lt=1)] = 0.95
    """Confidence of the two-sided intervals."""
    resamples: Annotated[int, Field(ge=100)] = 2000
    """Bootstrap resamples over groups of near-duplicates."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the bootstrap."""


class BatchParameters(BaseModel):
    """How much the newest photos may differ from those before them (`validation.batch`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_images: Annotated[int, Field(ge=2)] = 50
    """Fewest new and earlier images that are compared [images]."""
    columns: list[str] = ["brightness", "contrast", "sharpness", "entropy"]
    """Numeric columns of the manifest that are compared."""
    outside_quantile: Annotated[float, Field(gt=0, lt=0.5)] = 0.005
    """The reference's range runs from this quantile of the earlier images to its mirror image."""
    max_outside_share: Share = 0.05
    """Largest part of the new images that may lie outside that range, by column; more must be beyond chance."""
    outside_severity: Severity = "warning"
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.01
    """Family-wise error rate of the drift tests, and of those of the range; (columns + 1) / 100,000 or more."""
    min_ks_d: Share = 0.2
    """Smallest Kolmogorov-Smirnov distance that counts as drift."""
    min_label_shift: Share = 0.1
    """Smallest share of images with another class that counts as drift of the labels (total variation)."""
    drift_severity: Severity = "warning"

    @model_validator(mode="after")
    def _label_drift_must_be_reachable(self) -> Self:
        n_tests = len(self.columns) + 1
        if self.alpha < n_tests / MAX_TABLES:  # as the advice computes it
            raise ValueError(
                f"alpha: {self.alpha:g} can never show drift of rare classes in {n_tests} tests; "
                f"give {n_tests / MAX_TABLES:g} or more, or compare fewer columns"
            )
        return self


class ValidationParameters(BaseModel):
    """The expectations on manifest, quarantine and labels (`validation:` in the parameters)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_images_per_class: int = Field(default=2, ge=1)
    """Fewer images of a class than this stop the run [images]."""
    warn_images_per_class: int = Field(default=100, ge=0)
    """Fewer images of a class than this are only warned about [images]."""
    classes: list[str] | None = None
    """The classes that must be there, and no others; None takes those that are found."""
    min_classes: int = Field(default=2, ge=1)
    """Fewer distinct labels than this stop the run."""
    label_share: dict[str, ValueRange] = {}
    """Part of all images that a class may have (`defective: {min: 0.05, max: 0.6}`) [0..1]."""
    max_quarantined_share: Share = 0.2
    """Largest part of all inputs that may lie in the quarantine [0..1]."""
    required_attributes: dict[str, list[str]] = {}
    """Conditions that must be in the data: attribute column -> values (`cell_type: [mono, poly]`)."""
    warn_images_per_condition: int = Field(default=1, ge=0)
    """Fewer images than this of a class under a required condition are warned about [images]."""
    ranges: dict[str, ValueRange] = {}
    """Further limits on columns of numbers, also those that a table gives as text (`sharpness: {min: 5}`)."""
    max_group_share: Share = 0.2
    """Largest part of all images that one group of near-duplicates may hold [0..1]."""
    group_severity: Severity = "warning"
    max_flagged_share: Share = 0.2
    """Largest part of all images that inspection may flag by one rule before it is warned about [0..1]."""
    batch: BatchParameters = BatchParameters()
    agreement: AgreementParameters = AgreementParameters()

    @model_validator(mode="after")
    def _check_classes(self) -> Self:
        if self.classes is not None:
            repeated = sorted({name for name in self.classes if self.classes.count(name) > 1})
            if repeated:
                raise ValueError(f"classes: named more than once: {', '.join(repeated)}")
            if len(self.classes) < self.min_classes:
                raise ValueError(f"classes: {len(self.classes)} named, min_classes is {self.min_classes}")
        for name, limits in self.label_share.items():
            if not all(0 <= end <= 1 for end in (limits.min, limits.max) if end is not None):
                raise ValueError(f"label_share.{name}: a share lies within 0..1")
        return self


class LabelAuditParameters(BaseModel):
    """How probably wrong labels are looked for (`label_audit:` in the parameters)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    folds: Annotated[int, Field(ge=2)] = 5
    """Parts that the images are cut into, whole groups together; each is judged by a model of the others."""
    inverse_regularisation: Annotated[float, Field(gt=0)] = 0.003
    """C of the logistic regression on standardised features: smaller is smoother and less overconfident."""
    score: Literal["self_confidence", "normalized_margin", "confidence_weighted_entropy"] = "self_confidence"
    """cleanlab's label quality score that the list is sorted by."""
    max_pictures: Annotated[int, Field(ge=0, le=500)] = 60
    """Most doubtful labels shown as pictures (about 6 kB each)."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the folds."""
