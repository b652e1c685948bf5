"""Production photos that reviewers labelled."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visionpipe.errors import VisionpipeError, visible
from visionpipe.images.clock import CLOCK_TOLERANCE
from visionpipe.images.importers.local import LocalFolder
from visionpipe.images.importers.opening import place_of
from visionpipe.images.importers.photo import LabelClaim, Photo, ReadNothing
from visionpipe.images.importers.source import Source

if TYPE_CHECKING:
    import pandas as pd

_WORDS = {
    "origin": ("review", "correction", "adjudication"),
    "selection": ("uncertain", "random_audit"),
}
"""Columns that hold one of a few words or nothing: a word misspelled would let a biased photo test."""


def list_reviewed(source: Source, arrived_at: datetime) -> Iterator[Photo]:
    """Take labels from `reviews/` and bytes from `arrivals/`; a photo keeps the time at which it arrived.

    What one reviewer says of an image at one time is one photo, its claims in the order in which they were handed in
    (`visionpipe.images.labels.current_labels`). A row that cannot be used is a photo with a `refusal`.

    Parameters
    ----------
    source : Source
        Its path is the folder of `reviews/` and `arrivals/`.
    arrived_at : datetime
        The present: a label given later, and later than any photo arrived, is refused [UTC].

    Raises
    ------
    VisionpipeError
        When reviews cannot be read, or name an image that `arrivals/` does not hold.
    """
    import pandas as pd

    from visionpipe.images.store import ReadStored, read_store_index

    place = place_of(source)
    if not isinstance(place, LocalFolder):
        raise VisionpipeError(f"importer reviewed reads a local folder, not {place.name}")
    root = Path(place.root)
    reviews = _read(root / "reviews")
    if reviews.empty:
        return
    arrivals = read_store_index(root / "arrivals").set_index("image_id")
    # photos whose time of arrival is simulated may come from the future, and what is said of them with them
    now = pd.to_datetime([arrived_at, arrivals["arrived_at"].max()], utc=True).max()
    photos: dict[str, Photo] = {}
    for review in reviews.sort_values(["labelled_at", "image_id"], kind="stable").itertuples():
        if trouble := _trouble(review, now):
            refusal = ("bad_row", trouble)  # before it is in the label history, from where nothing is removed
            yield Photo(source.name, review.where, 0, 0, ReadNothing(trouble), arrived_at, refusal=refusal)
            continue
        if review.image_id not in arrivals.index:
            raise VisionpipeError(
                f"reviews name image {visible(review.image_id[:12])}…, which {root / 'arrivals'} does not hold: "
                "restore data/01_raw/arrivals before ingesting these reviews"
            )
        arrival: Any = arrivals.loc[review.image_id]
        labelled_at = review.labelled_at.to_pydatetime()
        claim = LabelClaim(
            label=review.label.strip(),
            confidence=float(review.label_confidence),
            annotator=review.annotator,
            labelled_at=labelled_at,
            origin=_word(review.origin) or "review",
            selection=_word(review.selection),
        )
        # a reviewer may come back to an image: each time is an input of its own
        path = f"{review.image_id}/{visible(review.annotator)}/{labelled_at.isoformat()}"
        if path in photos:
            photos[path] = replace(photos[path], claims=(*photos[path].claims, claim))
            continue
        photos[path] = Photo(
            source=source.name,
            path=path,
            n_bytes=int(arrival.n_bytes),
            mtime_ns=review.labelled_at.value,
            read=ReadStored(root / "arrivals" / arrival.shard, int(arrival.row)),
            arrived_at=arrival.arrived_at.to_pydatetime(),
            claims=(claim,),
            attributes=dict(arrival.attributes),
        )
    yield from photos.values()


def _read(folder: Path) -> pd.DataFrame:
    """Read all reviews, each with `where` it stands."""
    import pandas as pd

    from visionpipe.images.shards import list_shards
    from visionpipe.images.store import LABEL_SCHEMA, read_shard

    frames = [LABEL_SCHEMA.empty_table().to_pandas().assign(where="")]
    for shard in list_shards(folder):
        rows = read_shard(shard).to_pandas()
        frames.append(rows.assign(where=[f"reviews/{shard.name} row {1 + row}" for row in range(len(rows))]))
    return pd.concat(frames[1:] or frames, ignore_index=True)


def _word(value: Any) -> str | None:
    """Return a word as `_WORDS` spells it, None for a null or blanks."""
    return (value.strip().casefold() or None) if isinstance(value, str) else None


def _trouble(review: Any, now: pd.Timestamp) -> str | None:
    """Say what is wrong with a row, if it cannot be used."""
    for column in ("image_id", "label", "annotator"):
        value = getattr(review, column)
        if not isinstance(value, str) or not value.strip():
            return f"{column} is empty"
    if not 0 <= review.label_confidence <= 1:  # nor is a null
        return f"label_confidence '{review.label_confidence:g}' is no number from 0 to 1"
    for column, known in _WORDS.items():
        if (word := _word(getattr(review, column))) and word not in known:
            return f"{column} '{visible(word)}' is none of {', '.join(known)}"
    if review.labelled_at != review.labelled_at:  # a null is unlike itself
        return "labelled_at is empty"
    if review.labelled_at > now + CLOCK_TOLERANCE:
        return "labelled_at is in the future"
    return "labelled_at is before 1970" if review.labelled_at.year < 1970 else None
