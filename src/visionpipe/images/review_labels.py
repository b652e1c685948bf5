"""What reviewers say, in the spelling that the classes have."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from visionpipe.images.importers import Photo
from visionpipe.images.importers.join_report import unified
from visionpipe.images.importers.label_names import LabelNames, composed
from visionpipe.images.labels import in_force

logger = logging.getLogger(__name__)


def spell_like_classes(photos: Sequence[Photo], label_history: pd.DataFrame) -> list[Photo]:
    """Give reviewers' labels the spelling of the class that is meant: `T-Shirt` is no class beside `t shirt`.

    That is the spelling of the other sources, now or in the label history, or else the one in which a reviewer was
    first heard.

    Parameters
    ----------
    photos : sequence of Photo
        All that the sources hold.
    label_history : DataFrame
        `image_id, label, origin, labelled_at, …`: what was taken in before.

    Returns
    -------
    list of Photo
        The same photos in the same order; what other sources say of them is left as it is.
    """
    reviewed = [any(claim.origin != "import" for claim in photo.claims) for photo in photos]
    if not any(reviewed):
        return list(photos)
    classes = [claim.label for photo in photos for claim in photo.claims if claim.origin == "import"]
    counting = in_force(label_history)
    is_import = counting["origin"] == "import"
    names = LabelNames(dict.fromkeys([*classes, *counting.loc[is_import, "label"].dropna().unique()]))
    for label in counting.loc[~is_import, "label"].dropna().unique():
        names.unify(label)
    respelled: dict[str, dict[str, str]] = defaultdict(dict)
    spelled = []
    for photo, is_reviewed in zip(photos, reviewed, strict=True):
        if is_reviewed:
            claims = []
            for claim in photo.claims:
                label = claim.label if claim.origin == "import" else names.unify(claim.label)
                if label != claim.label:
                    respelled[photo.source][composed(claim.label)] = label
                claims.append(replace(claim, label=label))
            photo = replace(photo, claims=tuple(claims))
        spelled.append(photo)
    for source, labels in respelled.items():
        logger.info("source %s: %s", source, unified(labels))
    return spelled
