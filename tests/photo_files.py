"""Photos made on the spot, and the bytes that they have in a file."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

LABELS_CSV = {"table": "labels.csv", "path_column": "image", "label_column": "label"}
"""Options of the `table` importer for the tables that tests write beside photos."""


def picture(seed: int, width: int = 80, height: int = 64) -> Image.Image:
    """Draw a colour photo of smooth blobs and some noise; other seeds look clearly different."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (5, 6, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), dtype=np.int16)
    noisy = smooth + random.integers(-8, 9, smooth.shape)
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def encode(image: Image.Image, file_format: str, **options: Any) -> bytes:
    """Return the bytes of a file in this format."""
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def class_folders(root: Path, *, first_seed: int = 0, **counts: int) -> Path:
    """Make `root/<class>/00.png` and so on; no two photos are alike."""
    seed = first_seed
    for name, count in counts.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            (root / name / f"{number:02d}.png").write_bytes(encode(picture(seed), "PNG"))
            seed += 1
    return root
