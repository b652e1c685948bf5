"""What every benchmark of training is run with: parameters, threads, and a line that says on what."""

from __future__ import annotations

import argparse
import platform
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import timm
import torch
import torchvision
import yaml

from visionpipe.models.parameters import TrainingParameters

ROOT = Path(__file__).parents[1]
Result = TypeVar("Result")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Let parameters be chosen as `kedro run` does: an environment, and single values."""
    parser.add_argument("--env", default="base", help="conf/<env> over conf/base")
    parser.add_argument(
        "--set", nargs="*", default=[], metavar="NAME=VALUE", help="single training parameters"
    )
    parser.add_argument("--threads", type=int, help="of torch; its own choice when left out")


def parameters_of(arguments: argparse.Namespace, **changes: object) -> TrainingParameters:
    """Read conf/base, conf/<env>, `--set` and what a benchmark fixes, each over the one before."""
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    chosen: dict = {}
    for environment in dict.fromkeys(("base", arguments.env)):
        file = ROOT / "conf" / environment / "parameters_training.yml"
        _lay_over(chosen, yaml.safe_load(file.read_text())["training"])
    for setting in arguments.set:
        name, _, value = setting.partition("=")
        for part in reversed(name.split(".")[1:]):
            value = {part: yaml.safe_load(value) if isinstance(value, str) else value}
        _lay_over(chosen, {name.split(".")[0]: yaml.safe_load(value) if isinstance(value, str) else value})
    return TrainingParameters(**{**chosen, **changes})


def _lay_over(below: dict, above: dict) -> None:
    for name, value in above.items():
        if isinstance(value, dict) and isinstance(below.get(name), dict):
            _lay_over(below[name], value)
        else:
            below[name] = value


def machine() -> str:
    """Name the processor, the GPU and the versions."""
    model = platform.processor() or platform.machine()
    told = Path("/proc/cpuinfo")  # Linux alone has it
    for line in told.read_text().splitlines() if told.exists() else []:
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return (
        f"{model}, {torch.get_num_threads()} threads{gpu}; Python {platform.python_version()}, "
        f"torch {torch.__version__}, torchvision {torchvision.__version__}, timm {timm.__version__}"
    )


def alone(function: Callable[..., Result], *arguments: object) -> Result:
    """Run in a fresh process: training changes how its own allocates memory, which others would feel after it."""
    threads = torch.get_num_threads()
    with ProcessPoolExecutor(1, get_context("spawn"), torch.set_num_threads, (threads,)) as pool:
        return pool.submit(function, *arguments).result()
