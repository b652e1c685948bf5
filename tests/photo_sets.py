"""Small sets of photos whose classes can be told apart, and models of them."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

from visionpipe.images.decode import decode_rgb
from visionpipe.images.prepare import PreparedImages
from visionpipe.models.candidate import Candidate, save_candidate, train_candidate
from visionpipe.models.parameters import TrainingParameters

COLOURS = {"blue": (70, 90, 160), "green": (70, 150, 90), "red": (160, 80, 70)}
SIDE_PX = 40
CONTEST = {"train": 8, "validation": 5, "test": 20, "seed": 6}
"""The `photo_set` on which models compete in the tests of promotion."""
TINY = {"backbone": "timm/test_resnet", "weights": "none", "probe_epochs": 2}
TUNED = TINY | {"mode": "finetune", "tuned_stages": 2, "epochs": 3}
"""Changes to `parameters`: a probe and a fine-tuning of a tiny network that starts from nothing."""


@dataclass(frozen=True)
class PhotoSet:
    """PNG files by image id, and their manifest."""

    manifest: pd.DataFrame
    files: dict[str, bytes]

    def read(self, image_ids: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Stream the wanted files in an order of its own, as the image store does."""
        wanted = set(image_ids)
        return ((image_id, data) for image_id, data in self.files.items() if image_id in wanted)

    def prepared(self, side_px: int) -> PreparedImages:
        """Decode all of them."""
        pixels = [decode_rgb(data, side_px) for data in self.files.values()]
        return PreparedImages(tuple(self.files), np.stack(pixels))


def photo(label: str, random: np.random.Generator, side_px: int = SIDE_PX) -> bytes:
    """Return a PNG of noise with the tint of its class."""
    tint = np.array(COLOURS[label]) + random.normal(0, 12, 3)
    pixels = tint + random.normal(0, 25, (side_px, side_px, 3))
    file = io.BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(file, format="PNG")
    return file.getvalue()


def photo_set(
    *,
    train: int,
    validation: int = 8,
    test: int = 8,
    labels: tuple[str, ...] = ("blue", "red"),
    seed: int = 0,
) -> PhotoSet:
    """Draw so many photos of each class for each split."""
    random = np.random.default_rng(seed)
    rows, files = [], {}
    for split, count in {"train": train, "validation": validation, "test": test}.items():
        for number in range(count):
            for label in labels:
                data = photo(label, random)
                image_id = hashlib.sha256(data).hexdigest()
                files[image_id] = data
                rows.append(
                    {
                        "image_id": image_id,
                        "label": label,
                        "label_confidence": 1.0,
                        "group_id": f"group-{image_id[:8]}",
                        "split": split,
                        "brightness": random.normal(110, 10),
                        "contrast": random.normal(25, 3),
                        "sharpness": random.normal(900, 50),
                        "camera": ("north", "south")[number % 2],
                    }
                )
    return PhotoSet(
        pd.DataFrame(rows).sort_values("image_id", ignore_index=True), dict(sorted(files.items()))
    )


def parameters(**changes: object) -> TrainingParameters:
    """Return training parameters that take a second."""
    tiny = {
        "image_size_px": 64,
        "mode": "probe",
        "probe_epochs": 20,
        "views": ("identity",),
        "device": "cpu",
        "precision": "float32",
        "augmented_views": 0,
        "whole_network_epochs": 0,
    }
    return TrainingParameters(**{**tiny, **changes})


def good_candidate(photos: PhotoSet, **changes: object) -> Candidate:
    """Train on the photos as they are labelled."""
    recipe = parameters(**changes)
    return train_candidate(photos.manifest, photos.prepared(recipe.image_size_px), recipe)


def weights_of(candidate: Candidate) -> dict[str, torch.Tensor]:
    """Return what training gave to the network, by name."""
    state = candidate.classifier.state_dict()
    return {name: tensor for name, tensor in state.items() if "embedding" not in name}


def one_sided(candidate: Candidate) -> Candidate:
    """Return a copy that calls every photo by the first class's name."""
    from copy import deepcopy

    poor = deepcopy(candidate.classifier)
    with torch.no_grad():
        poor.head.weight.zero_()
        poor.head.bias.zero_()
        poor.head.bias[0] = 1.0
    return replace(candidate, classifier=poor)


def saved(candidate: Candidate, folder: Path) -> Path:
    """Write a candidate into a new folder."""
    folder.mkdir(parents=True)
    save_candidate(candidate, folder)
    return folder
