"""ELPV under the paper's protocol: accuracy, AUC and minutes, over several seeds.

    python benchmarks/bench_elpv.py [--seeds 0 1 2] [--env base] [--set image_size_px=224 epochs=12]

75 % of the 2,624 cells are for training and 25 % for testing, stratified by the experts' probability and by the type of
cell; a cell counts as defective above a probability of 0.5 (Deitsch et al., Solar Energy 185, 2019: 88.42 % accuracy
for the CNN, 82.44 % for the SVM). A share of the training cells (--validation) only chooses the epoch and calibrates.
A seed draws the split and the training's randomness. Minutes count from files to a calibrated candidate.

Expected: conf/base on 2 cores, 3 seeds: 89.3 % or more in at most 7 minutes each.
"""

from __future__ import annotations

import argparse
import statistics
import time

from real_photos import elpv
from setting import add_arguments, machine, parameters_of
from sklearn.metrics import accuracy_score, roc_auc_score

from visionpipe.models.candidate import predict_split
from visionpipe.models.processes import train_in_processes


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--validation", type=float, default=0.12, help="share of the training cells")
    parser.add_argument("--images", type=int, help="a random part of the photos, to see that it runs")
    arguments = parser.parse_args()
    print(f"{machine()}\n{parameters_of(arguments).model_dump_json(exclude_defaults=True)}\n")
    print("| seed | accuracy | where the experts were sure | AUC | minutes | epochs | moved |")
    print("|---|---|---|---|---|---|---|")
    rows = [measure(seed, arguments) for seed in arguments.seeds]
    accuracy, sure, auc, minutes = ([row[k] for row in rows] for k in range(4))
    print(f"| **mean** | **{statistics.mean(accuracy):.2%}** | {statistics.mean(sure):.2%} "
          f"| {statistics.mean(auc):.4f} | {statistics.mean(minutes):.1f} | | |")  # fmt: skip
    if len(rows) > 1:
        print(f"| standard deviation | {statistics.stdev(accuracy):.2%} | {statistics.stdev(sure):.2%} "
              f"| {statistics.stdev(auc):.4f} | {statistics.stdev(minutes):.1f} | | |")  # fmt: skip


def measure(seed: int, arguments: argparse.Namespace) -> tuple[float, float, float, float]:
    """Train and test once; print and return accuracy, that of cells with a probability of 0 or 1, AUC and minutes."""
    parameters = parameters_of(arguments, seed=seed)
    photos = elpv().some(arguments.images, seed).split_by_stratum(0.25, arguments.validation, seed)
    began = time.perf_counter()
    images = photos.prepared(parameters.image_size_px)
    candidate = train_in_processes(photos.manifest, images, parameters)
    minutes = (time.perf_counter() - began) / 60
    tested = predict_split(candidate, photos.manifest, images, "test")
    accuracy = accuracy_score(tested["label"], tested["predicted_label"])
    confidence = photos.manifest.set_index("image_id")["label_confidence"].loc[tested["image_id"]]
    certain = tested[confidence.to_numpy() == 1]
    sure = accuracy_score(certain["label"], certain["predicted_label"])
    defective = candidate.classifier.spec.classes.index("defective")
    auc = roc_auc_score(tested["label"] == "defective", [row[defective] for row in tested["probabilities"]])
    spec = candidate.classifier.spec
    print(
        f"| {seed} | {accuracy:.2%} | {sure:.2%} | {auc:.4f} | {minutes:.1f} | {spec.epochs} "
        f"| {spec.trained_stages} |",
        flush=True,
    )
    return accuracy, sure, auc, minutes


if __name__ == "__main__":
    main()
