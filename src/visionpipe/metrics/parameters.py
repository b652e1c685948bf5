"""Typed parameters of evaluation (`conf/base/parameters_evaluation.yml`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from visionpipe.metrics.examination_parameters import ExaminationParameters


class EvaluationParameters(BaseModel):
    """How the test metrics and their intervals are made."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    level: Annotated[float, Field(ge=0.5, lt=1)] = 0.95
    """Confidence of the intervals."""
    resamples: Annotated[int, Field(ge=100)] = 2000
    """Bootstrap resamples over groups."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the bootstrap."""
    gallery_images: Annotated[int, Field(ge=0, le=200)] = 24
    """Worst mistakes shown as pictures."""
    min_slice_images: Annotated[int, Field(ge=1)] = 10
    """Slices with fewer test images are not listed."""
    slice_precision: Annotated[float, Field(gt=0, le=1)] = 0.1
    """A class or slice whose interval reaches further than this from its estimate has too few images to judge [0-1]."""
    max_slice_pairs: Annotated[int, Field(ge=0, le=2000)] = 200
    """Pairs of attributes, and of attribute and class, that are judged: the largest so many; 0 turns them off."""
    examination: ExaminationParameters = ExaminationParameters()
    """How far the model is driven beyond its test images."""
    notices: dict[str, str] = {}
    """Source -> a sentence to show on top of every report of a model that learned from it."""

    def notice_of(self, sources: Iterable[str]) -> str | None:
        """Join the notices of the given sources; None when there are none."""
        found = {self.notices[source]: None for source in sources if source in self.notices}
        return " ".join(found) or None
