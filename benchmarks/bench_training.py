"""Training against the same model on tensors in memory, and against torchvision's, timm's and fastai's loops, on ELPV.

    python benchmarks/bench_training.py [--repeats 3] [--reference-epochs 12] [--fastai PYTHON] [--set batch_size=32]

Speed: an epoch of the whole network from pixels, augmentation included, as a share of the images a second that the
same network, batch size and precision reach on random tensors in memory; both within each repeat, so that a slower
moment of the machine slows both.

Time to the same validation AUC: ours is a whole run of what `kedro run` trains (conf/base), from files to a calibrated
candidate; all that is no epoch counts as spent before the first. The other loops count from their start to the end of
the first epoch that gets there, with the same backbone, weights, image size, batch size, threads and split. Ours learns
from the experts' probabilities (soft targets), which the other loops have no place for; they get the label.

Expected (2 cores): at least 0.95; at most 1/3 of the time of either loop.
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

import reference_loops as loops
import torch
from real_photos import RealPhotos, elpv
from setting import add_arguments, alone, machine, parameters_of

from visionpipe.images.prepare import PreparedImages
from visionpipe.models.candidate import train_candidate
from visionpipe.models.parameters import TrainingParameters
from visionpipe.models.training.finetune import choose_device


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
    parser.add_argument("--split-seed", type=int, default=0)
    arguments = parser.parse_args()
    parameters = parameters_of(arguments)
    print(machine())
    photos = elpv().some(arguments.images, arguments.split_seed)
    photos = photos.split_by_stratum(0.25, 0.15, arguments.split_seed)
    if arguments.repeats:
        report_speed(photos.some(arguments.speed_images, 0), parameters, arguments.repeats)
    if arguments.reference_epochs:
        report_time(photos, parameters, arguments)


def report_speed(photos: RealPhotos, parameters: TrainingParameters, repeats: int) -> None:
    """Print images a second of ours and of the model alone, repeat by repeat."""
    precision = "bfloat16" if parameters.precision == "bfloat16" else "float32"
    whole = {"mode": "scratch", "whole_network_epochs": 3, "patience": None, "precision": precision}
    recipe = parameters.model_copy(update=whole)
    images = photos.prepared(recipe.image_size_px)
    n_training, device = len(photos.of("train")), choose_device(recipe.device)
    shares = []
    print(f"\n{n_training} images an epoch, batches of {recipe.batch_size}, {precision}")
    print(
        "| images/s | ours | in memory | in memory, freed memory kept | share of the faster |\n|---|---|---|---|---|"
    )
    for repeat in range(1, repeats + 1):
        ours = alone(own_rate, photos, images, recipe)
        plain, keeping = (alone(in_memory_rate, recipe, n_training, device, keeps) for keeps in (False, True))
        shares.append(ours / max(plain, keeping))
        print(
            f"| repeat {repeat} | {ours:.1f} | {plain:.1f} | {keeping:.1f} | {shares[-1]:.3f} |", flush=True
        )
    print(f"| median | | | | {statistics.median(shares):.3f} (bar 0.95) |")


def own_rate(photos: RealPhotos, images: PreparedImages, recipe: TrainingParameters) -> float:
    """Train the whole network from pixels; return images a second of the fastest epoch but the first."""
    return max(train_candidate(photos.manifest, images, recipe).training["curves"]["images_per_s"][1:])


def in_memory_rate(
    recipe: TrainingParameters, n_images: int, device: torch.device, keeps_memory: bool
) -> float:
    """Return images a second of the model alone."""
    return loops.in_memory(recipe, n_images, 3, device, keeps_memory=keeps_memory)


def own_run(photos: RealPhotos, parameters: TrainingParameters) -> tuple[float, list[tuple[float, float]]]:
    """Train as `kedro run` does; return the seconds that decoding took, and (seconds, AUC) by epoch."""
    began = time.perf_counter()
    images = photos.prepared(parameters.image_size_px)
    decoded = time.perf_counter() - began
    curves = train_candidate(photos.manifest, images, parameters).training["curves"]
    return decoded, own_progress(curves, time.perf_counter() - began)


def report_time(photos: RealPhotos, parameters: TrainingParameters, arguments: argparse.Namespace) -> None:
    """Print when each loop reaches our AUC, and others."""
    decoded, reached = alone(own_run, photos, parameters)
    for seconds, auc in reached:
        print(f"ours: {seconds:.1f} s, AUC {auc:.4f}")
    print(f"ours: {reached[-1][0]:.1f} s in all, {decoded:.1f} s of it decoding", flush=True)
    task = as_task(photos, parameters, arguments.reference_epochs, arguments.workers)
    runs = {"ours": reached}
    for name in loops.LOOPS:
        runs[name] = [(epoch.seconds, epoch.auc) for epoch in alone(loops.run_loop, name, task)]
    if arguments.fastai:
        runs["fastai"] = fastai_run(photos, arguments.fastai, task)
    others = [name for name in runs if name != "ours"]
    target = max(auc for _, auc in reached)
    print(f"\n| seconds to a validation AUC of | {' | '.join(runs)} | ours / fastest of the others |")
    print("|---" * (len(runs) + 2) + "|")
    for wanted in [target, *sorted(arguments.targets, reverse=True)]:
        when = {name: first_time(run, wanted) for name, run in runs.items()}
        cells = [f"{seconds:.1f}" if math.isfinite(seconds) else "not reached" for seconds in when.values()]
        note = " (our best)" if wanted == target else ""
        # a loop that never arrives needs longer than it ran
        at_least = {name: min(when[name], runs[name][-1][0]) for name in others}
        fastest = min(at_least, key=at_least.__getitem__)
        bound = "" if math.isfinite(when[fastest]) else "< "
        share = f"{bound}{when['ours'] / at_least[fastest]:.3f}"
        print(f"| {wanted:.4f}{note} | {' | '.join(cells)} | {share} |")


def fastai_run(photos: RealPhotos, python: str, task: loops.Task) -> list[tuple[float, float]]:
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
    for epoch in epochs:
        print(
            f"fastai: {epoch['seconds']:.1f} s, AUC {epoch['auc']:.4f}, {epoch['images_per_s']:.1f} images/s"
        )
    return [(epoch["seconds"], epoch["auc"]) for epoch in epochs]


def own_progress(curves: dict[str, list], total_s: float) -> list[tuple[float, float]]:
    """Return (seconds, AUC) by epoch; what was no epoch counts as spent before the first."""
    elapsed, progress = total_s - sum(curves["seconds"]), []
    for seconds, auc in zip(curves["seconds"], curves["validation_auc"], strict=True):
        elapsed += seconds
        progress.append((elapsed, auc))
    return progress


def first_time(run: list[tuple[float, float]], wanted: float) -> float:
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
