"""Start-up: `kedro registry list` here against an empty Kedro project (DESIGN section 6: at most 1.5 x).

Both are whole processes, run in turn so that a slower moment of the machine slows both; ratios are taken by pairs.

    python benchmarks/bench_startup.py [--runs 15]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
KEDRO = str(Path(sys.executable).with_name("kedro"))
QUIET = {**os.environ, "DO_NOT_TRACK": "true", "KEDRO_DISABLE_TELEMETRY": "1"}


def seconds(command: list[str], folder: Path) -> float:
    """Time one whole process."""
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, env=QUIET, check=True, capture_output=True)
    return time.perf_counter() - started


def main() -> None:
    """Print the figures."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--runs", type=int, default=15, help="counted pairs after one warm-up")
    runs = arguments.parse_args().runs
    with tempfile.TemporaryDirectory() as scratch:
        new = [KEDRO, "new", "-n", "empty", "-t", "none", "-e", "n", "--telemetry", "no"]
        subprocess.run(new, cwd=scratch, env=QUIET, check=True, capture_output=True)
        empty, listing = Path(scratch) / "empty", [KEDRO, "registry", "list"]
        pairs = [(seconds(listing, ROOT), seconds(listing, empty)) for _ in range(runs + 1)][1:]
    ratios = sorted(ours / theirs for ours, theirs in pairs)
    print(f"{'':22}{'min':>8}{'median':>8}{'max':>8}")
    for name, values in (
        ("visionpipe [s]", [ours for ours, _ in pairs]),
        ("empty project [s]", [theirs for _, theirs in pairs]),
        ("ratio (bar: 1.5)", ratios),
    ):
        print(f"{name:22}{min(values):8.3f}{statistics.median(values):8.3f}{max(values):8.3f}")


if __name__ == "__main__":
    main()
