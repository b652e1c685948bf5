"""Typed parameters of ingestion and image preparation (`conf/base/parameters_ingestion.yml`)."""

from __future__ import annotations

import hashlib
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator


class SplitParameters(BaseModel):
    """Shares of the three splits, by group, and what is held out by name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    validation: Annotated[float, Field(gt=0, lt=1)] = 0.15
    """Share of groups used to choose epochs, temperature and thresholds."""
    test: Annotated[float, Field(gt=0, lt=1)] = 0.25
    """Share of groups that only evaluation and the gate may see."""
    seed: str = "visionpipe"
    """Salt of the hash that assigns groups; changing it reshuffles every split."""
    group_by: str | None = None
    """Attribute column whose values must not span two splits (sender, patient, machine)."""
    holdout: dict[str, list[str]] = {}
    """Attribute column -> values that always go to test (a new camera, unseen senders)."""

    @model_validator(mode="after")
    def _leave_something_to_train_on(self) -> SplitParameters:
        if self.validation + self.test >= 1:
            raise ValueError(
                "split.validation + split.test must be below 1: nothing would be left to train on"
            )
        return self


class IngestionParameters(BaseModel):
    """Limits on what may enter the image store, and how it is split."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    formats: tuple[str, ...] = ("JPEG", "PNG", "WEBP", "BMP")
    """Accepted formats, by their Pillow names."""
    min_side_px: Annotated[int, Field(ge=1)] = 32
    """Shorter side below which a photo is quarantined [pixels]."""
    max_pixels: Annotated[int, Field(ge=1)] = 80_000_000
    """Width x height above which a file counts as a decompression bomb [pixels]."""
    max_bytes: Annotated[int, Field(ge=1)] = 64 * 2**20
    """File size above which a file is not opened [bytes]."""
    chunk_images: Annotated[int, Field(ge=1)] = 2048
    """Photos per append to the store: bounds memory and what a crash can cost."""
    workers: Annotated[int, Field(ge=0)] = 0
    """Inspection processes; 0 means one per core."""
    split: SplitParameters = SplitParameters()

    @property
    def limits_key(self) -> str:
        """Fingerprint of all that decides whether a file may enter: files refused under another are looked at again."""
        decisive = self.model_dump_json(exclude={"chunk_images", "workers"})
        return hashlib.sha256(decisive.encode()).hexdigest()[:16]
