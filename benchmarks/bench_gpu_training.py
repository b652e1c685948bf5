"""Images a second of training on a GPU: ours, the network alone on random resident tensors, and timm's loop from files.

    PYTHONPATH=src python benchmarks/bench_gpu_training.py [--backbones torchvision/resnet50 efficientnet-lite0]

224 px, bfloat16, all weights move. Ours decodes once and augments on the GPU; timm's loop decodes in worker processes.
On resident tensors a step is the forward and backward pass and AdamW's; ours also augments, smooths labels, drops
features, clips gradients and keeps a moving average.

Needs of this project's requirements torch, torchvision, timm, pandas, scikit-learn, pyarrow, pydantic and rich alone.

The photos are drawn: blurred noise of 500 x 375 px, saved as JPEG (quality 90). Published marks: NVIDIA's ResNet-50
v1.5 for PyTorch 2,470 images/s and FFCV's 2,866 images/s a GPU (both A100).

Expected (H200): ours at least 0.90 x the resident tensors.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
import reference_loops as loops
import torch
from bench_training import as_task, own_rate
from PIL import Image
from real_photos import RealPhotos, photos_of
from setting import add_arguments, alone, machine, parameters_of

from visionpipe.models.parameters import TrainingParameters


def main() -> None:
    """Print a table a backbone."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    parser.set_defaults(env="gpu")
    parser.add_argument(
        "--backbones", nargs="+", default=["torchvision/resnet50", "efficientnet-lite0"], help="weights: none"
    )
    parser.add_argument("--side", type=int, default=224, help="[pixels]")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--images", type=int, default=20_000, help="of an epoch")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, default=16, help="of timm's loader")
    parser.add_argument("--cpu", action="store_true", help="run on the CPU, to see that it runs")
    arguments = parser.parse_args()
    if not torch.cuda.is_available() and not arguments.cpu:
        print("skipped: no GPU here (--cpu with few images shows that it runs)")
        sys.exit(0)
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        photos = drawn_photos(Path(folder), arguments.images)
        for backbone in arguments.backbones:
            fixed = {
                "backbone": backbone,
                "weights": "none",
                "image_size_px": arguments.side,
                "mode": "scratch",
                "whole_network_epochs": 3,
                "batch_size": arguments.batch,
                "precision": "bfloat16",
                "device": "cpu" if arguments.cpu else "cuda",
            }
            report(photos, parameters_of(arguments, **fixed), arguments)


def drawn_photos(folder: Path, count: int) -> RealPhotos:
    """Draw and save photos; the last fiftieth validates."""
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (64, 24, 32, 3), dtype=np.uint8)
    drawn = [Image.fromarray(one).resize((500, 375), Image.Resampling.BICUBIC) for one in coarse]

    def save(number: int) -> str:
        path = folder / f"{number}.jpg"
        drawn[number % len(drawn)].rotate(number % 360).save(path, quality=90)
        return str(path)

    with ThreadPoolExecutor() as pool:
        paths = list(pool.map(save, range(count)))
    first_validating = count - max(count // 50, 4)
    return photos_of(
        {
            "image_id": str(number),
            "path": path,
            "label": ("even", "odd")[number % 2],
            "label_confidence": 1.0,
            "group_id": str(number),
            "split": "train" if number < first_validating else "validation",
        }
        for number, path in enumerate(paths)
    )


def report(photos: RealPhotos, parameters: TrainingParameters, arguments: argparse.Namespace) -> None:
    """Print rates and shares, repeat by repeat."""
    n_training, device = len(photos.of("train")), torch.device(parameters.device)
    images = photos.prepared(parameters.image_size_px)
    print(f"\n{parameters.backbone}: {n_training} images an epoch, batches of {parameters.batch_size}")
    print(
        "| images/s | ours | resident tensors | share | timm's loop | ours / timm's |\n|---|---|---|---|---|---|"
    )
    shares = []
    for repeat in range(1, arguments.repeats + 1):
        ours = alone(own_rate, photos, images, parameters)
        resident = alone(resident_rate, parameters, n_training, device)
        timm = alone(timm_rate, photos, parameters, arguments.workers)
        shares.append(ours / resident)
        print(f"| repeat {repeat} | {ours:.0f} | {resident:.0f} | {shares[-1]:.3f} | {timm:.0f} | {ours / timm:.2f} |",
              flush=True)  # fmt: skip
    print(f"| median | | | {statistics.median(shares):.3f} (bar 0.90) | | |")


def resident_rate(parameters: TrainingParameters, n_images: int, device: torch.device) -> float:
    """Return images a second of the model alone, in the faster of two epochs after the first."""
    return max(list(islice(loops.in_memory(parameters, n_images, device, own_gradients=True), 3))[1:])


def timm_rate(photos: RealPhotos, parameters: TrainingParameters, workers: int) -> float:
    """Return images a second of the fastest epoch but the first."""
    task = as_task(photos, parameters, epochs=3, workers=workers)
    return max([epoch.images_per_s for epoch in loops.timm_style(task)][1:])


if __name__ == "__main__":
    main()
