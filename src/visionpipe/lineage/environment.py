"""On what a run ran: versions and hardware, for the model card. Nothing that names the machine or its owner."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_DISTRIBUTIONS = (
    *("visionpipe", "torch", "torchvision", "timm", "numpy", "pandas", "pyarrow", "pillow"),
    *("scikit-learn", "kedro", "dvc", "mlflow", "great-expectations"),
)


def describe_environment() -> dict[str, dict[str, str]]:
    """Return what results may depend on besides code, settings and data.

    Returns
    -------
    dict
        `system`: `operating_system`, `python`, `processor`, `cores`, `memory`, `accelerator`, each `unknown` where
        the system does not say; `versions`: distribution -> version, of those that are installed.
    """
    system = {
        "operating_system": f"{platform.system()} {platform.release()} ({platform.machine()})",
        "python": platform.python_version(),
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "memory": _memory(),
        "accelerator": _accelerator(),
    }
    versions = {}
    for name in _DISTRIBUTIONS:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return {"system": system, "versions": versions}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or "unknown")


def _memory() -> str:
    try:
        total_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return "unknown"
    return f"{total_bytes / 2**30:.1f} GiB"


def _accelerator() -> str:
    import torch

    if not torch.cuda.is_available():
        return "none"
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return ", ".join(f"{names.count(name)} x {name}" for name in dict.fromkeys(names))
