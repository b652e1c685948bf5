"""Types of node arguments that Kedro must be able to resolve without importing the heavy library behind them.

Kedro reads the annotations of every node when it starts, to find typed parameters. To a type checker these are the
real classes; at run time they are `Any`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pandas import DataFrame

    from visionpipe.images.importers import Photo
    from visionpipe.images.prepare import ImagePlan, PreparedImages
    from visionpipe.images.store import ImageReader, StoredLooks
    from visionpipe.lineage.data_version import DataVersion
    from visionpipe.models.candidate import Candidate
    from visionpipe.promotion.registry import Champion, Registry
else:
    Candidate = Champion = DataFrame = DataVersion = ImagePlan = ImageReader = Photo = PreparedImages = (
        Registry
    ) = StoredLooks = Any

__all__ = [
    "Candidate",
    "Champion",
    "DataFrame",
    "DataVersion",
    "ImagePlan",
    "ImageReader",
    "Photo",
    "PreparedImages",
    "Registry",
    "StoredLooks",
]
