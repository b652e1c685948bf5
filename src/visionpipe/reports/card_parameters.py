"""What only people know about a model: what it is for, who answers for it, what it must not be used for."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class CardParameters(BaseModel):
    """The ``promotion.card`` section of the parameters, for the model card (Mitchell et al. 2019)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    purpose: str = ""
    """What the model is for, in a sentence or two; empty: the card says that it is not stated."""
    owner: str = ""
    """The person or team that answers for it, with an address."""
    intended_use: list[str] = []
    """Who may use it, on which photos, for which decisions; a sentence each."""
    out_of_scope: list[str] = []
    """What it must not be used for; a sentence each."""
    limitations: list[str] = []
    """What is known to be wrong or untested, beyond what the figures show; a sentence each."""
