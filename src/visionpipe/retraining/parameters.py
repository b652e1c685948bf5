"""Typed parameters of feedback (`conf/base/parameters_feedback.yml`)."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class FeedbackParameters(BaseModel):
    """How production predictions become reviewed labels."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    simulated_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of arrivals, drawn at random, whose delayed labels simulated reviewers hand in. 0: only people review."""
    seed: str = "audit"
    """Salt of the draw: the same arrivals are always drawn."""
