"""Labelled photos as training takes them: solar cells (ELPV) and clothing from strangers, each with its split.

A split is drawn here, by the protocol that a benchmark states, and not by ingestion.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupShuffleSplit, train_test_split

from visionpipe.images.decode import decode_rgb
from visionpipe.images.importers.elpv import list_elpv
from visionpipe.images.importers.source import Source
from visionpipe.images.prepare import PreparedImages


@dataclass(frozen=True)
class RealPhotos:
    """Files with their labels.

    Attributes
    ----------
    manifest : DataFrame
        `image_id, path, label, label_confidence, group_id, stratum`, the columns that a candidate's papers want,
        and once it is drawn `split`.
    """

    manifest: pd.DataFrame

    def prepared(self, side_px: int) -> PreparedImages:
        """Decode all of them, as the pipeline does."""
        with ThreadPoolExecutor() as pool:
            pixels = pool.map(
                lambda path: decode_rgb(Path(path).read_bytes(), side_px), self.manifest["path"]
            )
            return PreparedImages(tuple(self.manifest["image_id"]), np.stack(list(pixels)))

    def of(self, split: str) -> pd.DataFrame:
        """Return the rows of one split."""
        return self.manifest[self.manifest["split"] == split]

    def some(self, count: int | None, seed: int) -> RealPhotos:
        """Keep a random part, to see that a benchmark runs; None keeps all."""
        if count is None or count >= len(self.manifest):
            return self
        return RealPhotos(self.manifest.sample(count, random_state=seed).reset_index(drop=True))

    def split_by_stratum(self, test: float, validation: float, seed: int) -> RealPhotos:
        """Draw a test share, and from the rest a validation share, each with the strata of the whole."""
        rows = np.arange(len(self.manifest))
        strata = self.manifest["stratum"].to_numpy()
        rest, in_test = train_test_split(rows, test_size=test, stratify=strata, random_state=seed)
        _, in_validation = train_test_split(
            rest, test_size=validation, stratify=strata[rest], random_state=seed
        )
        return self._with_split(in_test, in_validation)

    def split_by_group(self, test: float, validation: float, seed: int) -> RealPhotos:
        """Draw a test share of the groups, and from the rest a validation share: no group is in two splits."""
        groups = self.manifest["group_id"].to_numpy()
        rest, in_test = next(
            GroupShuffleSplit(1, test_size=test, random_state=seed).split(groups, groups=groups)
        )
        _, held = next(
            GroupShuffleSplit(1, test_size=validation, random_state=seed).split(rest, groups=groups[rest])
        )
        return self._with_split(in_test, rest[held])

    def _with_split(self, in_test: np.ndarray, in_validation: np.ndarray) -> RealPhotos:
        split = np.full(len(self.manifest), "train", dtype=object)
        split[in_test], split[in_validation] = "test", "validation"
        return RealPhotos(self.manifest.assign(split=split))


def elpv() -> RealPhotos:
    """List the 2,624 solar cells; the strata are the experts' probability and the type of cell."""
    import elpv_dataset

    root = Path(elpv_dataset.__file__).parent / "data"
    rows = []
    for photo in list_elpv(Source(name="elpv", importer="elpv"), datetime(2026, 1, 1, tzinfo=UTC)):
        claim, cell_type = photo.claims[0], photo.attributes["cell_type"]
        rows.append(
            {
                "image_id": Path(photo.path).stem,
                "path": str(root / photo.path),
                "label": claim.label,
                "label_confidence": claim.confidence,
                "group_id": photo.path,
                "stratum": f"{claim.label} {claim.confidence:.2f} {cell_type}",
            }
        )
    return photos_of(rows)


def clothing(folder: Path) -> RealPhotos:
    """List photos of clothing with their senders as groups (`images.csv` and a folder a class)."""
    table = pd.read_csv(folder / "images.csv", dtype=str)
    return photos_of(
        {
            "image_id": row.image,
            "path": str(folder / row.folder_label / f"{row.image}.jpg"),
            "label": row.folder_label,
            "label_confidence": 1.0,
            "group_id": row.sender_id,
            "stratum": row.folder_label,
        }
        for row in table.itertuples()
    )


def photos_of(rows: Iterable[dict]) -> RealPhotos:
    """Put rows as training takes them; image statistics stand in a candidate's papers, and in no figure here."""
    return RealPhotos(pd.DataFrame(rows).assign(brightness=0.0, contrast=0.0, sharpness=0.0))
