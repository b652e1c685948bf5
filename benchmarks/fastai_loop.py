"""fastai's fine-tuning of the same network, run by a Python that has fastai: `bench_training.py --fastai PYTHON`.

    python benchmarks/fastai_loop.py REQUEST.json

The request names `files` (a CSV of path,label,is_valid), `weights` (a state dict of timm's `model`), mean, std, side,
batch, epochs, workers, threads, report. It is `vision_learner` and `fine_tune` with fastai's own defaults: one epoch of
the head, then one-cycle over all layers at discriminative rates, `aug_transforms` with vertical flips. Appends a JSON
line an epoch to the report: seconds since the start, images/s, validation AUC.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pandas as pd
import torch
from fastai.callback.core import Callback
from fastai.vision.all import (
    ImageDataLoaders,
    Normalize,
    Resize,
    ResizeMethod,
    RocAucBinary,
    aug_transforms,
    vision_learner,
)


class EpochReport(Callback):
    """Writes down what an epoch brought; fastai draws its own bar on standard output."""

    order = 60  # after the recorder

    def __init__(self, report: Path, began: float) -> None:
        self.report, self.began = report, began

    def before_epoch(self) -> None:
        """Start the clock of an epoch."""
        self.epoch_began = time.perf_counter()

    def after_train(self) -> None:
        """Stop it before validation."""
        self.rate = len(self.dls.train_ds) / (time.perf_counter() - self.epoch_began)

    def after_epoch(self) -> None:
        """Write."""
        auc = float(self.recorder.values[-1][-1])
        said = {"seconds": time.perf_counter() - self.began, "images_per_s": self.rate, "auc": auc}
        with self.report.open("a") as report:
            report.write(json.dumps(said) + "\n")


def main() -> None:
    """Train."""
    began = time.perf_counter()  # without the imports, as for the others
    asked = json.loads(Path(sys.argv[1]).read_text())
    torch.set_num_threads(asked["threads"])
    data = ImageDataLoaders.from_df(
        pd.read_csv(asked["files"]),
        path="/",
        valid_col="is_valid",
        item_tfms=Resize(asked["side"], ResizeMethod.Squish),
        batch_tfms=[
            *aug_transforms(flip_vert=True),
            Normalize.from_stats(asked["mean"], asked["std"], cuda=False),
        ],
        bs=asked["batch"],
        num_workers=asked["workers"],
        device=torch.device("cpu"),
    )
    learner = vision_learner(
        data,
        asked["model"],
        pretrained=False,
        metrics=RocAucBinary(),
        cbs=EpochReport(Path(asked["report"]), began),
    )
    weights = torch.load(asked["weights"], weights_only=True)
    missing, _ = learner.model[0].model.load_state_dict(weights, strict=False)
    assert not missing, missing
    with learner.no_bar(), learner.no_logging():
        learner.fine_tune(asked["epochs"] - 1)  # and one of the head before


if __name__ == "__main__":
    main()
