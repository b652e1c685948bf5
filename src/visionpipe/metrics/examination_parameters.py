"""Typed parameters of the examination (`evaluation.examination` in `conf/base/parameters_evaluation.yml`)."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class ExaminationParameters(BaseModel):
    """How far a model is driven beyond its test images. Each part is switched off by 0 or an empty list."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    images: Annotated[int, Field(ge=0)] = 24
    """Test images, drawn at random, that are corrupted: each is predicted 36 times; 0 is off."""
    attacked_images: Annotated[int, Field(ge=0)] = 12
    """Of these, so many are attacked by FGSM and PGD; 0 is off."""
    epsilons: tuple[Annotated[float, Field(gt=0, le=255)], ...] = (0.5, 1.0, 2.0, 4.0)
    """How much an attack may change each value of each pixel, either way [of 255]; ascending."""
    pgd_steps: Annotated[int, Field(ge=1, le=1000)] = 10
    """Steps of PGD at most; an image that is fooled takes no more."""
    unrelated_images: Annotated[int, Field(ge=0)] = 60
    """Unrelated pictures that the model is shown (catalog entry `unrelated_photos`, or drawn ones); 0 is off."""
    gradcam_images: Annotated[int, Field(ge=0, le=60)] = 8
    """Worst mistakes pictured with what the model looked at; 0 is off."""
    timed_predictions: Annotated[int, Field(ge=0, le=10_000)] = 80
    """Predictions of a single image that are timed; 72 give the 95th percentile an interval; 0 is off."""
    shortcut_images: Annotated[int, Field(ge=0)] = 2000
    """Images at most, of all splits, on which shortcuts are looked for; 0 is off."""
    border: Annotated[float, Field(gt=0, lt=0.5)] = 0.15
    """Width of the photo's border on each side, as a share of the side: what is left when its centre is hidden."""

    @model_validator(mode="after")
    def _epsilons_ascend(self) -> Self:
        if list(self.epsilons) != sorted(set(self.epsilons)):
            raise ValueError(f"epsilons: {list(self.epsilons)} must ascend")
        return self
