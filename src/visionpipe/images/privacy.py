"""What must be said before photos of people are taken in, and what is removed from each photo."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict

from visionpipe.errors import VisionpipeError

_RECORD = ("purpose", "lawful_basis", "retention", "informed")


class PrivacyParameters(BaseModel):
    """Record of the processing of personal data (GDPR, articles 5, 6, 13 and 30), and what is removed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    purpose: str | None = None
    """What the photos are used for."""
    lawful_basis: str | None = None
    """Why that is allowed: consent, contract, legal obligation, vital interest, public task, legitimate interest."""
    retention: str | None = None
    """How long the photos are kept, and who deletes them."""
    informed: str | None = None
    """Who was told, when and how."""
    strip_metadata: bool = True
    """Remove position, names, serial numbers, previews and comments; the pixels are not encoded again."""
    blur_faces: bool = False
    """Blur faces before a photo is stored (needs the `privacy` extra)."""

    def require_for(self, source_names: Iterable[str]) -> None:
        """Refuse sources with people in them while the record is incomplete.

        Parameters
        ----------
        source_names : iterable of str
            The sources that contain people; none of them asks for nothing.

        Raises
        ------
        VisionpipeError
            Naming the sources and the missing keys.

        >>> PrivacyParameters(purpose="sorting", retention="2 years").require_for([])
        """
        names = list(source_names)
        missing = [f"ingestion.privacy.{key}" for key in _RECORD if not (getattr(self, key) or "").strip()]
        if names and missing:
            raise VisionpipeError(
                f"source{'s' * (len(names) > 1)} {', '.join(names)}: contains people, so say first "
                f"{', '.join(missing)}"
            )
