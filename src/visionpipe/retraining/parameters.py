"""Typed parameters of feedback (`conf/base/parameters_feedback.yml`)."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class FeedbackParameters(BaseModel):
    """How production predictions become reviewed labels."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    simulated_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of arrivals of `simulated_sources`, drawn at random, whose labels SIMULATED reviewers hand in."""
    simulated_sources: tuple[str, ...] = ()
    """Sources of the demo; arrivals of any other source are reviewed by people alone. What conf/base names is left out
    where conf/local has other `photos`."""
    seed: str = "audit"
    """Salt of the draw: the same arrivals are always drawn."""
