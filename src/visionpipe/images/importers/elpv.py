"""ELPV: the photos of solar cells that come as a Python package."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from visionpipe.errors import VisionpipeError
from visionpipe.images.importers.photo import LabelClaim, Photo, ReadFile
from visionpipe.images.importers.source import Source

logger = logging.getLogger("visionpipe.images.importers")


def list_elpv(source: Source, arrived_at: datetime) -> Iterator[Photo]:
    """Label `defective` above a defect probability of 0.5, as Deitsch et al., Solar Energy 2019, do."""
    found = importlib.util.find_spec("elpv_dataset")
    if found is None or found.origin is None:
        raise VisionpipeError(
            "the package elpv-dataset is missing; install it with `pip install elpv-dataset` "
            "(its photos are CC-BY-NC-SA)"
        )
    root = Path(found.origin).parent / "data"
    lines = (root / "labels.csv").read_text().splitlines()
    logger.info("source %s: %s photos of solar cells (elpv-dataset)", source.name, f"{len(lines):,}")
    for line in lines:
        path, probability, cell_type = line.split()
        defect_probability = float(probability)
        claim = LabelClaim(
            label="defective" if defect_probability > 0.5 else "functional",
            confidence=max(defect_probability, 1 - defect_probability),
            annotator="elpv-experts",
        )
        status = (root / path).stat()
        yield Photo(
            source=source.name,
            path=path,
            n_bytes=status.st_size,
            mtime_ns=status.st_mtime_ns,
            read=ReadFile(root / path),
            arrived_at=arrived_at,
            claims=(claim,),
            attributes={"cell_type": cell_type},
        )
