"""Training against the same model on tensors in memory, and against torchvision's, timm's and fastai's loops, on ELPV.

    python benchmarks/bench_training.py [--repeats 3] [--reference-epochs 12] [--fastai PYTHON] [--set batch_size=32]

Speed: an epoch of the whole network from pixels, augmentation included, as a share of the images a second that the
same network and batch size reach on random tensors in memory, which are not augmented, nor their labels smoothed or
their gradients clipped: in our step (precision, and on a CPU the gradients of depthwise convolutions), and in torch's
own, float32 or bfloat16, whichever is faster. The sides take their epochs in
turn, so that a slower moment slows all.

Time to the same validation AUC: ours is a whole run of what `kedro run` trains (conf/base), from files to a calibrated
candidate; all that is no epoch counts as spent before the first. The other loops count from their start to the end of
the first epoch that gets there, with the same backbone, weights, image size, batch size, threads and split. Ours learns
from the experts' probabilities (soft targets), which the other loops have no place for; they get the label.

The other loops run in float32 unless `precision=bfloat16` is set, which torch by itself is slower in for EfficientNets.

Expected (2 cores): at least 0.95 of our step; at most 1/3 of the time of torchvision's and timm's loops.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from unittest.mock import patch

import reference_loops as loops
import torch
from real_photos import RealPhotos, elpv
from setting import add_arguments, alone, machine, parameters_of

from visionpipe.images.prepare import PreparedImages
from visionpipe.models.candidate import train_candidate
from visionpipe.models.parameters import TrainingParameters
from visionpipe.models.training.finetune import choose_device
from visionpipe.models.training.phase import PhaseTraining
from visionpipe.models.training.recipe import default_precision

Run = list[tuple[float, float]]  # (seconds, AUC) by epoch
_TURNS = 5  # epochs of a comparison of speed, the first of which warms up


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    parser.add_argument("--repeats", type=int, default=3, help="of the comparison of speed; 0 leaves it out")
    parser.add_argument("--speed-images", type=int, default=512, help="images of an epoch there")
    parser.add_argument(
        "--reference-epochs", type=int, default=12, help="of the other loops; 0 leaves them out"
    )
    parser.add_argument("--workers", type=int, default=2, help="of their DataLoader")
    parser.add_argument(
        "--fastai", help="a Python that has fastai and timm; on CPUs, with an EfficientNet-Lite"
    )
    parser.add_argument(
        "--targets", type=float, nargs="*", default=[], help="more values of the AUC to reach"
    )
    parser.add_argument("--images", type=int, help="a random part of the photos, to see that it runs")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="each draws a split and a training")
    parser.add_argument("--loops", nargs="*", choices=list(loops.LOOPS), default=list(loops.LOOPS))
    arguments = parser.parse_args()
    parameters = parameters_of(arguments)
    print(machine())
    splits = [
        elpv().some(arguments.images, seed).split_by_stratum(0.25, 0.15, seed) for seed in arguments.seeds
    ]
    if arguments.repeats:
        report_speed(splits[0].some(arguments.speed_images, 0), parameters, arguments.repeats)
    if arguments.reference_epochs:
        runs = [
            all_runs(photos, parameters.model_copy(update={"seed": seed}), arguments)
            for seed, photos in zip(arguments.seeds, splits, strict=True)
        ]
        report_time(runs, arguments.seeds, arguments.targets)


def report_speed(photos: RealPhotos, parameters: TrainingParameters, repeats: int) -> None:
    """Print images a second of ours and of the model alone, repeat by repeat, and the median shares."""
    recipe = whole_network(parameters, _TURNS)
    images = photos.prepared(recipe.image_size_px)
    print(
        f"\n{len(photos.of('train'))} images an epoch, batches of {recipe.batch_size}, {_TURNS - 1} epochs each"
    )
    print("| images/s | ours | torch's own step | share | our step | share |\n|---|---|---|---|---|---|")
    shares = []
    for repeat in range(1, repeats + 1):
        ours, same, *own = (statistics.median(side) for side in alone(in_turn, photos, images, recipe))
        torchs = max(own)  # in float32 or in bfloat16
        shares.append((ours / torchs, ours / same))
        print(f"| repeat {repeat} | {ours:.1f} | {torchs:.1f} | {ours / torchs:.3f} | {same:.1f} | {ours / same:.3f} |",
              flush=True)  # fmt: skip
    of_torchs, of_same = (statistics.median(side) for side in zip(*shares, strict=True))
    print(f"| median | | | {of_torchs:.3f} | | {of_same:.3f} (bar 0.95) |")


def whole_network(parameters: TrainingParameters, epochs: int) -> TrainingParameters:
    """Return parameters that train the whole network from pixels and nothing else."""
    changes = {"mode": "scratch", "whole_network_epochs": epochs, "patience": None, "first_size": 1.0}
    if parameters.precision == "auto":
        changes["precision"] = default_precision(
            choose_device(parameters.device), compiled=parameters.compile
        )
    return parameters.model_copy(update=changes)


def in_turn(photos: RealPhotos, images: PreparedImages, recipe: TrainingParameters) -> list[list[float]]:
    """Train, and after each epoch let the model alone have one, by each kind of step.

    All meet the same machine within a minute, and the same memory, which training has the C library keep.

    Returns
    -------
    list of list of float
        Images a second of every epoch but the first, which warms up: ours; the model alone in our step, in torch's own
        in float32, and in torch's own in bfloat16.
    """
    n_images, device = len(photos.of("train")), choose_device(recipe.device)
    torchs = [recipe.model_copy(update={"precision": each}) for each in ("float32", "bfloat16")]
    others = [
        loops.in_memory(recipe, n_images, device, own_gradients=True),
        *(loops.in_memory(each, n_images, device, own_gradients=False) for each in torchs),
    ]
    rates: list[list[float]] = [[] for _ in others]

    def others_turn(_: PhaseTraining) -> None:
        for side, other in zip(rates, others, strict=True):
            side.append(next(other))

    with patch.object(
        PhaseTraining, "_save", others_turn
    ):  # called once an epoch, when its clock has stopped
        curves = train_candidate(photos.manifest, images, recipe).training["curves"]
    return [side[1:] for side in (curves["images_per_s"], *rates)]


def own_rate(photos: RealPhotos, images: PreparedImages, recipe: TrainingParameters) -> float:
    """Train the whole network from pixels; return images a second of the fastest epoch but the first."""
    return max(train_candidate(photos.manifest, images, recipe).training["curves"]["images_per_s"][1:])


def own_run(photos: RealPhotos, parameters: TrainingParameters) -> tuple[float, Run]:
    """Train as `kedro run` does; return the seconds that decoding took, and (seconds, AUC) by epoch."""
    began = time.perf_counter()
    images = photos.prepared(parameters.image_size_px)
    decoded = time.perf_counter() - began
    curves = train_candidate(photos.manifest, images, parameters).training["curves"]
    return decoded, own_progress(curves, time.perf_counter() - began)


def all_runs(
    photos: RealPhotos, parameters: TrainingParameters, arguments: argparse.Namespace
) -> dict[str, Run]:
    """Train by each loop, one after the other; print and return (seconds, AUC) by epoch."""
    print(f"\nseed {parameters.seed}")
    decoded, reached = alone(own_run, photos, parameters)
    print(f"ours: {told(reached)}, {decoded:.1f} s of it decoding", flush=True)
    task = as_task(photos, parameters, arguments.reference_epochs, arguments.workers)
    runs = {"ours": reached}
    for name in arguments.loops:
        runs[name] = [(epoch.seconds, epoch.auc) for epoch in alone(loops.run_loop, name, task)]
    if arguments.fastai:
        runs["fastai"] = fastai_run(photos, arguments.fastai, task)
        print(f"fastai: {told(runs['fastai'])}", flush=True)
    return runs


def told(run: Run) -> str:
    """Write a run as AUC after seconds."""
    return ", ".join(f"{auc:.4f} after {seconds:.0f} s" for seconds, auc in run)


def report_time(runs: list[dict[str, Run]], seeds: list[int], targets: list[float]) -> None:
    """Print when ours and each other loop reach an AUC, seed by seed, and the median share of their times.

    A loop that does not arrive counts as arriving when it ends, which the share's "<" says; ours as never.
    """
    for name in [each for each in runs[0] if each != "ours"]:
        heads = " | ".join(f"seed {seed}: ours, {name}" for seed in seeds)
        print(f"\n| validation AUC | {heads} | median share |")
        print("|---" * (len(runs) + 2) + "|")
        fixed = [(f"{auc}", [auc] * len(runs)) for auc in sorted(targets, reverse=True)]
        for row, wanted in [
            *((f"best of {each}", [best(run[each]) for run in runs]) for each in ("ours", name)),
            *fixed,
        ]:
            cells, shares, bound = [], [], ""
            for run, auc in zip(runs, wanted, strict=True):
                ours, other = first_time(run["ours"], auc), first_time(run[name], auc)
                shares.append(ours / min(other, run[name][-1][0]))
                bound = bound if math.isfinite(other) else "< "
                cells.append(f"{auc:.4f}: {shown(ours)}, {shown(other)}")
            print(f"| {row} | {' | '.join(cells)} | {bound}{statistics.median(shares):.3f} |")


def best(run: Run) -> float:
    """Return the highest AUC of a run."""
    return max(auc for _, auc in run)


def shown(value: float) -> str:
    """Write a time, or that it never came."""
    return f"{value:.0f} s" if math.isfinite(value) else "not reached"


def fastai_run(photos: RealPhotos, python: str, task: loops.Task) -> Run:
    """Fine-tune by fastai in a Python of its own, from the same weights; return (seconds, AUC) by epoch."""
    import timm

    from visionpipe.models.backbones import PACKAGED, build_backbone
    from visionpipe.models.pretrained import load_weights

    name, side = task.parameters.backbone, task.parameters.image_size_px
    network = timm.create_model(PACKAGED[name])
    load_weights(network, name, task.parameters.weights, packaged=True)
    backbone = build_backbone(name, "none", side)
    with tempfile.TemporaryDirectory() as scratch:
        files, weights, request, report = (
            Path(scratch) / each for each in ("files", "weights", "request", "report")
        )
        rows = photos.manifest[photos.manifest["split"] != "test"]
        rows.assign(is_valid=rows["split"] == "validation")[["path", "label", "is_valid"]].to_csv(
            files, index=False
        )
        torch.save(network.state_dict(), weights)
        asked = {
            "files": str(files),
            "report": str(report),
            "weights": str(weights),
            "model": PACKAGED[name],
            "mean": backbone.mean,
            "std": backbone.std,
            "side": side,
            "batch": task.parameters.batch_size,
            "epochs": task.epochs,
            "workers": task.workers,
            "threads": torch.get_num_threads(),
        }
        request.write_text(json.dumps(asked))
        script = Path(__file__).with_name("fastai_loop.py")
        subprocess.run([python, script, request], stdout=subprocess.DEVNULL, check=True)
        epochs = [json.loads(line) for line in report.read_text().splitlines()]
    return [(epoch["seconds"], epoch["auc"]) for epoch in epochs]


def own_progress(curves: dict[str, list], total_s: float) -> Run:
    """Return (seconds, AUC) by epoch; what was no epoch counts as spent before the first."""
    elapsed, progress = total_s - sum(curves["seconds"]), []
    for seconds, auc in zip(curves["seconds"], curves["validation_auc"], strict=True):
        elapsed += seconds
        progress.append((elapsed, auc))
    return progress


def first_time(run: Run, wanted: float) -> float:
    """Return when an AUC is first reached; infinity when it is not."""
    return next((seconds for seconds, auc in run if auc >= wanted), math.inf)


def as_task(photos: RealPhotos, parameters: TrainingParameters, epochs: int, workers: int) -> loops.Task:
    """Put the same photos and settings as another loop takes them."""
    classes = sorted(photos.manifest["label"].unique())

    def files(split: str) -> loops.LabelledFiles:
        rows = photos.of(split)
        return loops.LabelledFiles(rows["path"].tolist(), [classes.index(label) for label in rows["label"]])

    return loops.Task(
        parameters=parameters,
        n_classes=len(classes),
        training=files("train"),
        validation=files("validation"),
        epochs=epochs,
        workers=workers,
        device=choose_device(parameters.device),
    )


if __name__ == "__main__":
    main()
