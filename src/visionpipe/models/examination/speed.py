"""How large a model is, and how fast on this machine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from visionpipe.models.classifier import ImageClassifier, inference_batch_size

_WARM_UP = 5
_THROUGHPUT_BATCHES = 4


def model_size(classifier: ImageClassifier) -> dict[str, float | int]:
    """Return `parameters` (weights that can be learned), `megabytes` (all tensors, as stored) and `multiply_adds`.

    Multiply-adds are those of convolutions and matrix products in one prediction.
    """
    from torch.utils.flop_counter import FlopCounterMode

    side = classifier.spec.image_size_px
    device = classifier.mean.device
    with torch.inference_mode(), _plain_attention(), FlopCounterMode(display=False) as counter:
        classifier.eval()(torch.zeros((1, side, side, 3), dtype=torch.uint8, device=device))
    stored = sum(tensor.numel() * tensor.element_size() for tensor in classifier.state_dict().values())
    return {
        "parameters": sum(weight.numel() for weight in classifier.parameters()),
        "megabytes": round(stored / 1e6, 3),
        "multiply_adds": counter.get_total_flops() // 2,
    }


@contextmanager
def _plain_attention() -> Iterator[None]:
    """Keep torch from fusing attention into one operation, which its counter takes for none."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)


def time_predictions(
    classifier: ImageClassifier, pixels_NHWC: np.ndarray, count: int, level: float = 0.95
) -> dict[str, object]:
    """Time single predictions, from pixels to the label, and a stream of full batches.

    Parameters
    ----------
    classifier : ImageClassifier
        On the device that is to be timed.
    pixels_NHWC : numpy.ndarray
        (N, side, side, 3) uint8, N >= 1; taken in turn.
    count : int
        Predictions of one image each, after 5 that do not count.
    level : float
        Confidence of the interval, 0 to 1.

    Returns
    -------
    dict
        `latency_ms_p50, latency_ms_p95` (batch of 1), `latency_ms_p95_interval` (`estimate, low, high, level, n`:
        exact, from the order of the times, None where they are too few: 72 give both ends at 95 %), `images_per_s`
        (batches of `batch_size`), `threads, device, n`. They vary from run to run and from machine to machine.
    """
    from scipy.stats import quantile_test

    latencies_ms = []
    for number in range(-_WARM_UP, count):
        row = number % len(pixels_NHWC)
        started = time.perf_counter()
        classifier.predict(pixels_NHWC[row : row + 1])
        latencies_ms.append(1000 * (time.perf_counter() - started))
    device = classifier.mean.device
    batch = inference_batch_size(device)
    many = np.take(pixels_NHWC, np.arange(_THROUGHPUT_BATCHES * batch) % len(pixels_NHWC), axis=0)
    started = time.perf_counter()
    classifier.predict(many)
    seconds = time.perf_counter() - started
    p50, p95 = np.percentile(latencies_ms[_WARM_UP:], [50, 95])
    low, high = quantile_test(latencies_ms[_WARM_UP:], p=0.95).confidence_interval(level)
    ends = {name: float(end) if np.isfinite(end) else None for name, end in (("low", low), ("high", high))}
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return {
        "latency_ms_p50": float(p50),
        "latency_ms_p95": float(p95),
        "latency_ms_p95_interval": {"estimate": float(p95), **ends, "level": level, "n": count},
        "images_per_s": len(many) / seconds,
        "batch_size": batch,
        "threads": torch.get_num_threads(),
        "device": name,
        "n": count,
    }
