"""Production photos that reviewers labelled."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from visionpipe.errors import VisionpipeError
from visionpipe.images.importers.local import LocalFolder
from visionpipe.images.importers.opening import place_of
from visionpipe.images.importers.photo import LabelClaim, Photo
from visionpipe.images.importers.source import Source


def list_reviewed(source: Source, arrived_at: datetime) -> Iterator[Photo]:
    """Take labels from `reviews/` and bytes from `arrivals/`; a photo keeps the time at which it arrived."""
    from visionpipe.images.store import ReadStored, read_store_index, read_tables

    place = place_of(source)
    if not isinstance(place, LocalFolder):
        raise VisionpipeError(f"importer reviewed reads a local folder, not {place.name}")
    root = Path(place.root)
    reviews = read_tables(root / "reviews")
    if reviews.empty:
        return
    arrivals = read_store_index(root / "arrivals").set_index("image_id")
    for review in reviews.sort_values(["labelled_at", "image_id"]).itertuples():
        if review.image_id not in arrivals.index:
            raise VisionpipeError(
                f"reviews name image {review.image_id[:12]}…, which {root / 'arrivals'} does not hold: "
                "restore data/01_raw/arrivals before ingesting these reviews"
            )
        arrival: Any = arrivals.loc[review.image_id]
        labelled_at = review.labelled_at.to_pydatetime()
        claim = LabelClaim(
            label=review.label,
            confidence=float(review.label_confidence),
            annotator=review.annotator,
            labelled_at=labelled_at,
            origin="review",
            selection=review.selection,
        )
        yield Photo(
            source=source.name,
            # a reviewer may come back to an image: each time is an input of its own
            path=f"{review.image_id}/{review.annotator}/{labelled_at.isoformat()}",
            n_bytes=int(arrival.n_bytes),
            mtime_ns=review.labelled_at.value,
            read=ReadStored(root / "arrivals" / arrival.shard, int(arrival.row)),
            arrived_at=arrival.arrived_at.to_pydatetime(),
            claims=(claim,),
            attributes=dict(arrival.attributes),
        )
