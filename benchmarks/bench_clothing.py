"""Clothing photographed by strangers: accuracy and macro-F1 on senders that training has not seen.

    python benchmarks/bench_clothing.py PHOTOS [--seeds 0 1 2] [--set backbone=timm/... epochs=12]

PHOTOS holds a folder a class and `images.csv` (image, folder_label, sender_id). A fifth of the senders is kept for
the test, a fifth of the others validates. Intervals are clustered by sender: one's photos are right or wrong together.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

from real_photos import clothing
from setting import add_arguments, machine, parameters_of

from visionpipe.metrics.evaluation import evaluate
from visionpipe.metrics.parameters import EvaluationParameters
from visionpipe.models.candidate import predict_split, train_candidate

MEASURES = ("accuracy", "macro_f1", "auroc")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    parser.add_argument("photos", type=Path, nargs="?", help="a folder of photos, one sub-folder a class")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--images", type=int, help="a random part of the photos, to see that it runs")
    arguments = parser.parse_args()
    if arguments.photos is None:
        print(f"{parser.prog}: left out, it needs a folder of photos")
        return
    print(f"{machine()}\n{parameters_of(arguments).model_dump_json(exclude_defaults=True)}\n")
    print(f"| seed | senders (photos) of the test | {' | '.join(MEASURES)} | minutes |")
    print("|---" * (len(MEASURES) + 3) + "|")
    rows = [measure(seed, arguments) for seed in arguments.seeds]
    if len(rows) > 1:
        means = [f"{statistics.mean(row[k] for row in rows):.3f} ± {statistics.stdev(row[k] for row in rows):.3f}"
                 for k in range(len(MEASURES))]  # fmt: skip
        print(f"| mean ± standard deviation | | {' | '.join(means)} | |")


def measure(seed: int, arguments: argparse.Namespace) -> list[float]:
    """Train and test once; print and return the measures."""
    parameters = parameters_of(arguments, seed=seed)
    photos = clothing(arguments.photos).some(arguments.images, seed).split_by_group(0.2, 0.2, seed)
    began = time.perf_counter()
    images = photos.prepared(parameters.image_size_px)
    candidate = train_candidate(photos.manifest, images, parameters)
    minutes = (time.perf_counter() - began) / 60
    tested = predict_split(candidate, photos.manifest, images, "test")
    found = evaluate(tested, candidate.classifier.spec.classes, [], EvaluationParameters())["metrics"]
    cells = [f"{found[name]['estimate']:.3f} ({found[name]['low']:.3f} to {found[name]['high']:.3f})"
             for name in MEASURES]  # fmt: skip
    senders = f"{tested['group_id'].nunique()} ({len(tested)})"
    print(f"| {seed} | {senders} | {' | '.join(cells)} | {minutes:.1f} |", flush=True)
    return [found[name]["estimate"] for name in MEASURES]


if __name__ == "__main__":
    main()
