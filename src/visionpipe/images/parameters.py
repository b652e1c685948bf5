"""Typed parameters of ingestion and image preparation (`conf/base/parameters_ingestion.yml`)."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from visionpipe.images.privacy import PrivacyParameters


class SplitParameters(BaseModel):
    """Shares of the three splits, by group, and what is held out by name.

    They hold for all that is stored: changing one moves photos from split to split, also from train to test.
    """

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


Action = Literal["quarantine", "flag", "ignore"]

MANDATORY_RULES = ("format", "empty", "too_large", "too_many_pixels", "undecodable", "unreadable", "metadata")
"""Reason codes of files that cannot be used whatever one wishes: always quarantined."""


class Rule(BaseModel):
    """What a photo that breaks the rule costs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    action: Action = "flag"
    """quarantine: kept out; flag: kept, and named in the column `flags`; ignore: not looked at."""


class Limit(Rule):
    """A rule with a limit."""

    limit: float
    """In the unit of what is measured."""


def _limit(limit: float, action: Action = "flag") -> Any:
    """Make a rule whose limit and action may be given alone."""
    return Field(default=Limit(limit=limit, action=action))


class RuleParameters(BaseModel):
    """Which photos are of no use, and which merely poor.

    Limits that are given without an action keep the rule's usual action, and the other way round:

    >>> RuleParameters.model_validate({"dark": {"limit": 30}}).dark.action
    'flag'
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    too_small: Rule = Rule(action="quarantine")
    """Shorter side below `ingestion.min_side_px`."""
    blank: Limit = _limit(1.0, "quarantine")
    """Contrast (standard deviation of luma, 0..127) below the limit: a single colour."""
    aspect: Limit = _limit(4.0)
    """Longer side by shorter side above the limit."""
    dark: Limit = _limit(20.0)
    """Brightness (mean luma, 0..255) below the limit."""
    bright: Limit = _limit(235.0)
    """Brightness (mean luma, 0..255) above the limit."""
    clipped_dark: Limit = _limit(0.5)
    """Share of pixels (0..1) within two greys of black above the limit: underexposed."""
    clipped_bright: Limit = _limit(0.5)
    """Share of pixels (0..1) within two greys of white above the limit: overexposed, or cut out."""
    blurred: Limit = _limit(6.0)
    """Variance of the Laplacian of luma at 192 px below the limit."""
    low_entropy: Limit = _limit(4.0)
    """Entropy of the histogram of luma (bits, 0..8) below the limit: a drawing or a screenshot rather than a photo."""

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        completed = {}
        for code, rule in given.items():
            if code in MANDATORY_RULES:
                if not isinstance(rule, dict) or rule != {"action": "quarantine"}:
                    raise ValueError(
                        f"rules.{code}: such a file cannot be used, so its action can only be quarantine"
                    )
            elif code in cls.model_fields and isinstance(rule, dict):
                completed[code] = {**cls.model_fields[code].default.model_dump(), **rule}
            else:
                completed[code] = rule
        return completed


class LabelParameters(BaseModel):
    """What the labels of one photo mean together."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tie: Literal["keep", "quarantine"] = "keep"
    """What becomes of a photo whose annotators contradict each other without a majority."""


_ACCEPTANCE = {
    **dict.fromkeys(("formats", "min_side_px", "max_pixels", "max_bytes", "worker_memory_mb", "rules"), True),
    "privacy": {"strip_metadata"},
}
"""What decides whether a photo is accepted; the rest says what is done with it."""


_APPLIED_EACH_TIME = {"split", "labels"}
"""What is applied in every run to all that is stored."""


def _fingerprint(settings: str) -> str:
    return hashlib.sha256(settings.encode()).hexdigest()[:16]


class IngestionParameters(BaseModel):
    """Limits on what may enter the image store, and how it is split."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    formats: tuple[str, ...] = ("JPEG", "PNG", "WEBP", "BMP")
    """Accepted formats, by their Pillow names."""
    min_side_px: Annotated[int, Field(ge=1)] = 32
    """Shorter side below which a photo is quarantined [pixels]."""
    max_pixels: Annotated[int, Field(ge=1, le=178_956_970)] = 80_000_000
    """Width x height above which a file counts as a decompression bomb [pixels]; Pillow itself opens none larger."""
    max_bytes: Annotated[int, Field(ge=1)] = 64 * 2**20
    """File size above which a file is not opened [bytes]."""
    chunk_images: Annotated[int, Field(ge=1)] = 1024
    """Photos per append to the store: bounds memory and what a crash can cost."""
    workers: Annotated[int, Field(ge=0)] = 0
    """Inspection processes; 0 means one per core."""
    chunk_bytes: Annotated[int, Field(ge=1, le=2**30)] = 128 * 2**20
    """Bytes of photos per append to the store: bounds memory where photos are large."""
    file_timeout_s: Annotated[float, Field(gt=0)] = 60.0
    """Time that one file may take before it counts as hanging [s]."""
    worker_memory_mb: Annotated[int, Field(ge=256)] = 2048
    """Memory of one inspection process; a photo whose header asks for more is not decoded [MiB]."""
    scheduler: str | None = None
    """Address of a Dask scheduler to inspect on (needs the `distributed` extra); None: processes of this machine."""
    near_duplicates: bool = True
    """Whether near-duplicates are looked for, so that they stay in one split."""
    rules: RuleParameters = RuleParameters()
    labels: LabelParameters = LabelParameters()
    privacy: PrivacyParameters = PrivacyParameters()
    split: SplitParameters = SplitParameters()

    @property
    def limits_key(self) -> str:
        """Fingerprint of all that decides whether and how a file enters: `lasting_key`, a hyphen, and the rest.

        Files that were refused under another fingerprint are looked at again.
        """
        return f"{self.lasting_key}-{_fingerprint(self.model_dump_json(include=_APPLIED_EACH_TIME))}"

    @property
    def lasting_key(self) -> str:
        """Fingerprint of what is done with a file once, when it enters, and lasts whatever the settings become."""
        return _fingerprint(
            self.model_dump_json(
                exclude={
                    **dict.fromkeys(_APPLIED_EACH_TIME, True),
                    "chunk_images": True,
                    "chunk_bytes": True,
                    "workers": True,
                    "scheduler": True,
                    # who was told, and why: words for the record, which change no file
                    "privacy": {"purpose", "lawful_basis", "retention", "informed"},
                }
            )
        )

    def acceptance(self) -> str:
        """Return as JSON what decides whether a photo is accepted, fit to be read back by this class."""
        return self.model_dump_json(include=_ACCEPTANCE)
