"""Typed parameters of the recipe's parts: augmentation, loss, calibration (blocks of `training:`)."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Auto = Literal["auto"]
"""Chosen from the data when training starts; the log says what and why."""


class AugmentationParameters(BaseModel):
    """How training photos are varied; every range holds at strength 1 and shrinks with it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    strength: Auto | Annotated[float, Field(ge=0, le=1)] = "auto"
    """Scales every range below [0-1]: 0 leaves photos as they are, but for `views`."""
    min_crop_area: Annotated[float, Field(gt=0, le=1)] = 0.35
    """Smallest share of a photo's area that a crop keeps (0-1]."""
    max_stretch: Annotated[float, Field(ge=1, le=2)] = 1.33
    """Largest ratio of a crop's sides before it is scaled to the square [1-2]."""
    rotation_deg: Annotated[float, Field(ge=0, le=180)] = 15.0
    """Largest turn to either side [degrees]."""
    brightness: Annotated[float, Field(ge=0, lt=1)] = 0.4
    """Brightness is multiplied by 1 - x to 1 + x [0-1)."""
    contrast: Annotated[float, Field(ge=0, lt=1)] = 0.4
    """Contrast is multiplied by 1 - x to 1 + x [0-1)."""
    saturation: Annotated[float, Field(ge=0, lt=1)] = 0.4
    """Saturation is multiplied by 1 - x to 1 + x [0-1)."""
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.05
    """Largest turn of the colour circle to either side [turns, 0-0.5]."""
    degraded_share: Annotated[float, Field(ge=0, le=1)] = 0.15
    """Share of photos that are blurred, and that are noisy, and that are compressed (drawn apart) [0-1]."""
    blur_sigma_px: Annotated[float, Field(ge=0, le=5)] = 1.5
    """Largest standard deviation of the Gaussian blur [pixels]."""
    noise_std: Annotated[float, Field(ge=0, le=0.5)] = 0.06
    """Largest standard deviation of the sensor noise, on a scale where white is 1 [0-0.5]."""
    jpeg_quality: Annotated[int, Field(ge=1, le=100)] = 30
    """Lowest JPEG quality [1-100]; 100 switches it off."""


class LossParameters(BaseModel):
    """What training minimises, and how images are mixed and classes balanced on the way."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    label_smoothing: Auto | Annotated[float, Field(ge=0, lt=1)] = "auto"
    """Share of each target that is spread over all classes, evenly once `imbalance` has weighed them [0-1)."""
    mix_share: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Share of batches that are mixed [0-1]; each takes mixup or cutmix, evenly where both are on."""
    mixup_alpha: Auto | Annotated[float, Field(ge=0)] = "auto"
    """Two photos are laid over each other in shares of Beta(alpha, alpha); 0 is off (Zhang et al. 2018)."""
    cutmix_alpha: Auto | Annotated[float, Field(ge=0)] = "auto"
    """A box of one photo is pasted into another, its area from Beta(alpha, alpha); 0 is off (Yun et al. 2019).

    Of photos only, while the whole network moves: where rows and columns of activations are depends on the network.
    """
    imbalance: Auto | Literal["none", "balanced_sampling", "class_weights", "focal", "logit_adjustment"] = (
        "auto"
    )
    """What is done about rare classes; one method at a time, since two would correct twice."""
    class_weighting: Literal["inverse_frequency", "effective_number"] = "inverse_frequency"
    """How `imbalance: class_weights` weighs a class."""
    effective_number_beta: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """`effective_number`: 0 weighs classes alike, towards 1 by inverse frequency [0-1) (Cui et al. 2019).

    Classes of more than some 1 / (1 - beta) images count alike.
    """
    focal_gamma: Annotated[float, Field(ge=0)] = 2.0
    """`imbalance: focal`: how far easy images are played down; 0 is cross-entropy (Lin et al. 2017)."""
    logit_adjustment_tau: Annotated[float, Field(ge=0)] = 1.0
    """`imbalance: logit_adjustment`: the power of the class prior; 0 is cross-entropy (Menon et al. 2021)."""


class CalibrationParameters(BaseModel):
    """How logits become probabilities, and probabilities a label."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mc_dropout_passes: Annotated[int, Field(ge=0, le=100)] = 0
    """Predictions are the mean of so many passes with dropout before the head; 0 is one pass without it."""
    decision: Literal["most_probable", "least_cost", "capped_false_positives"] = "most_probable"
    """Which label is given: the likeliest, the one of least expected cost, or a class held to a false-positive rate."""
    costs: dict[str, dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]]] = Field(
        default_factory=dict
    )
    """`least_cost`: what it costs to give the second class to an image of the first; unnamed mistakes cost 1."""
    capped_class: str | None = None
    """`capped_false_positives`: the class that must not be given too often in error."""
    max_false_positive_rate: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """`capped_false_positives`: of the images of other classes, the share that may be given it [0-1]."""

    @model_validator(mode="after")
    def _decision_has_what_it_needs(self) -> Self:
        if self.costs and self.decision != "least_cost":
            raise ValueError(f"costs: only decision: least_cost uses them, not {self.decision}")
        if self.capped_class is not None and self.decision != "capped_false_positives":
            raise ValueError(
                f"capped_class: only decision: capped_false_positives uses it, not {self.decision}"
            )
        rate = "max_false_positive_rate"
        if (
            self.decision != "capped_false_positives"
            and getattr(self, rate) != type(self).model_fields[rate].default
        ):
            raise ValueError(f"{rate}: only decision: capped_false_positives uses it, not {self.decision}")
        if self.decision == "least_cost" and not self.costs:
            raise ValueError(
                "decision: least_cost needs training.calibration.costs, e.g. {defective: {functional: 10}}"
            )
        if self.decision == "capped_false_positives" and self.capped_class is None:
            raise ValueError(
                "decision: capped_false_positives needs training.calibration.capped_class, the class to be held"
            )
        return self
