"""Where an unfinished training stands, on disk: one file an epoch, whole or not there, nothing pickled."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

from visionpipe.atomic import new_file
from visionpipe.installed_source import source_sha256
from visionpipe.models.parameters import TrainingParameters
from visionpipe.models.tensor_files import tensor_bytes

logger = logging.getLogger(__name__)
_FORMAT = "2"  # of what a snapshot holds; those of another are left alone
_KEY_CHARACTERS = 16
_IS_KEY = re.compile(f"[0-9a-f]{{{_KEY_CHARACTERS}}}")
_MANIFEST_COLUMNS = (
    "image_id",
    "label",
    "label_confidence",
    "rival_labels",
    "split",
)  # what training reads of it


@dataclass(frozen=True)
class Snapshot:
    """A training at the end of an epoch.

    Attributes
    ----------
    facts : dict
        Plain values: position, curves, counters.
    tensors : dict of str to torch.Tensor
        Weights, optimiser, moving average, best weights.
    """

    facts: dict[str, Any]
    tensors: dict[str, torch.Tensor]

    def part(self, prefix: str) -> dict[str, torch.Tensor]:
        """Return the tensors whose names begin with `prefix.`, without it."""
        start = f"{prefix}."
        return {name[len(start) :]: each for name, each in self.tensors.items() if name.startswith(start)}


class Checkpoints:
    """The checkpoints of one training, `<folder>/<key>/<phase>-<epoch>.safetensors`; the newest is kept.

    Parameters
    ----------
    folder : Path
        Holds one unfinished training: that of another key is removed when this one saves.
    key : str
        Fingerprint of all that decides the outcome (`training_key`).
    """

    def __init__(self, folder: Path, key: str) -> None:
        self._folder, self._own = folder, folder / key[:_KEY_CHARACTERS]

    def save(self, phase: int, epoch: int, snapshot: Snapshot) -> None:
        """Write a snapshot, then remove those before it."""
        path = self._own / f"{phase:02d}-{epoch:05d}.safetensors"
        with new_file(path) as temporary:
            temporary.write_bytes(tensor_bytes(snapshot.tensors, {"facts": json.dumps(snapshot.facts)}))
        for other in _trainings(self._folder):
            if other != self._own:
                logger.warning(
                    "The checkpoint of another training, which was not finished, is removed: %s", other
                )
                shutil.rmtree(other)
        for other in self._own.iterdir():
            if other != path:
                other.unlink()

    def latest(self) -> Snapshot | None:
        """Read the newest snapshot; None when there is none that can be read."""
        from safetensors import SafetensorError, safe_open

        for path in sorted(self._own.glob("*.safetensors"), reverse=True):
            try:
                with safe_open(path, framework="pt") as file:
                    facts = json.loads(file.metadata()["facts"])
                    return Snapshot(facts, {name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
            except (OSError, ValueError, TypeError, KeyError, SafetensorError) as error:
                logger.warning("%s cannot be read (%s) and is left out", path, type(error).__name__)
        return None

    def __str__(self) -> str:
        """Return the folder."""
        return str(self._own)


def discard(folder: Path) -> None:
    """Remove all checkpoints in a folder, once the model that they led to is saved; all else there stays."""
    for own in _trainings(folder):
        shutil.rmtree(own)


def _trainings(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if _IS_KEY.fullmatch(path.name)] if folder.is_dir() else []


def training_key(
    manifest: pd.DataFrame, parameters: TrainingParameters, start: nn.Module, device: torch.device
) -> str:
    """Return a fingerprint of all that decides what training ends with.

    Parameters
    ----------
    manifest : DataFrame
        Images and labels.
    parameters : TrainingParameters
        Without `auto`.
    start : torch.nn.Module
        The backbone, with the weights to start from; the head is drawn anew.
    device : torch.device
        To train on.
    """
    import PIL
    import timm
    import torchvision

    used = manifest[manifest["split"].isin(["train", "validation"])]
    rows = used[[name for name in _MANIFEST_COLUMNS if name in used]].to_csv(index=False)
    versions = [
        _FORMAT,
        source_sha256(),  # a candidate names one source, of all its epochs
        torch.__version__,
        torchvision.__version__,
        timm.__version__,
        PIL.__version__,
    ]
    # the number of threads decides in what order a processor adds up
    threads = str(torch.get_num_threads()) if device.type == "cpu" else ""
    text = "\n".join([rows, parameters.model_dump_json(), device.type, threads, *versions])
    digest = hashlib.sha256(text.encode())
    for name, tensor in start.state_dict().items():
        digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
