"""Training in several processes, started by `torchrun` from the one that runs the pipeline.

The parent writes what they need into a folder, passes their log on, and reads the candidate that the first of them
saved (`visionpipe.models.worker`). The pixels are not copied: every process maps the same array into memory.
"""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import subprocess
import sys
import uuid
from collections import deque
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from visionpipe.atomic import new_file
from visionpipe.errors import VisionpipeError
from visionpipe.images.prepare import PreparedImages
from visionpipe.installed_source import source_sha256
from visionpipe.models.candidate import Candidate, load_candidate, train_candidate
from visionpipe.models.parameters import TrainingParameters
from visionpipe.models.training.finetune import choose_device
from visionpipe.models.training.memory import MicroBatch, TeamOutOfMemoryError
from visionpipe.models.worker import LAUNCHER, OUT_OF_MEMORY
from visionpipe.scratch import scratch_folder

logger = logging.getLogger(__name__)
_KEPT_LINES = 60  # of what the processes print beside their log, shown when they fail


def train_in_processes(
    manifest: pd.DataFrame,
    images: PreparedImages,
    parameters: TrainingParameters,
    checkpoints: Path | None = None,
) -> Candidate:
    """Train a candidate in `parameters.processes` processes; one is this process itself.

    Parameters
    ----------
    manifest, images, parameters, checkpoints
        Those of `visionpipe.models.candidate.train_candidate`.

    Returns
    -------
    Candidate
        That of one process at the same global batch, but for the order in which gradients are added and for what is
        drawn at random within a share (dropout, augmentation, mixing). When a process runs out of memory, all start
        anew from the last checkpoint, with half as many images at once.

    Raises
    ------
    VisionpipeError
        When there are more processes than GPUs or than a batch can be shared among, when training itself raised one,
        when a process died (the others are then stopped), or when a single image needs more memory than there is.
    """
    device = choose_device(parameters.device)
    if parameters.processes == 1:
        candidate = train_candidate(manifest, images, parameters, checkpoints=checkpoints)
        if device.type == "cuda":
            torch.cuda.empty_cache()  # what comes after runs on the CPU, where the candidate lies
        return candidate
    _require_enough(manifest, parameters, device)
    with scratch_folder() as folder:
        told = parameters.model_copy(update={"device": device.type})
        _write_request(folder, manifest, images, told, checkpoints)
        while not _has_trained(folder, parameters.processes):
            logger.info("The %d processes start anew", parameters.processes)
        training = json.loads((folder / "training.json").read_text())
        return replace(load_candidate(folder / "candidate"), training=training)


def _require_enough(manifest: pd.DataFrame, parameters: TrainingParameters, device: torch.device) -> None:
    wanted = parameters.processes
    if device.type == "cuda" and wanted > torch.cuda.device_count():
        raise VisionpipeError(
            f"training.processes: {wanted} are asked for and this machine has {torch.cuda.device_count()} GPUs; "
            "give each process a GPU of its own, or train on the cpu (training.device)"
        )
    if (
        parameters.batch_size < 2 * wanted
    ):  # an epoch is cut into equal batches, of which the smallest is half as large
        raise VisionpipeError(
            f"training.batch_size: {parameters.batch_size} images cannot be shared among {wanted} processes; "
            f"use at least {2 * wanted}, or fewer processes (training.processes)"
        )
    for split in ("train", "validation"):
        n_images = int((manifest["split"] == split).sum())
        if n_images < 2 * wanted:
            raise VisionpipeError(
                f"training.processes: {n_images} {split} images cannot be shared among {wanted}; use fewer"
            )


def _write_request(
    folder: Path,
    manifest: pd.DataFrame,
    images: PreparedImages,
    parameters: TrainingParameters,
    checkpoints: Path | None,
) -> None:
    manifest.to_parquet(folder / "manifest.parquet", index=False)
    (folder / "parameters.json").write_text(parameters.model_dump_json())
    pixels = _whole_file(images.pixels_NHWC)
    if pixels is None:
        pixels = folder / "images.npy"
        np.save(pixels, images.pixels_NHWC)
    request = {
        "pixels": str(pixels),
        "image_ids": images.image_ids,
        "checkpoints": None if checkpoints is None else str(checkpoints),
        "micro_batch": None,
        "source_sha256": source_sha256(),
    }
    (folder / "request.json").write_text(json.dumps(request))


def _whole_file(array: np.ndarray) -> Path | None:
    """Return the .npy file that an array maps into memory, from its first element to its last; None for any other."""
    if not isinstance(array, np.memmap) or array.filename is None or not array.flags.c_contiguous:
        return None
    file = Path(array.filename)
    return file if file.stat().st_size == array.offset + array.nbytes else None


def _has_trained(folder: Path, processes: int) -> bool:
    """Run the processes; False when memory ran out, and they are to try again with less of it."""
    try:
        _run_torchrun(folder, processes)
    except TeamOutOfMemoryError as error:
        for told in (*folder.glob(f"{OUT_OF_MEMORY}-*"), *folder.glob("error-*.txt")):
            told.unlink()
        request = json.loads((folder / "request.json").read_text())
        micro_batch = MicroBatch(min(error.n_images, request["micro_batch"] or error.n_images))
        micro_batch.halve()
        (folder / "request.json").write_text(json.dumps(request | {"micro_batch": micro_batch.size}))
        return False
    return True


def _run_torchrun(folder: Path, processes: int) -> None:
    """Run the processes to their end and pass their log on.

    They find each other through files in `folder`, which is private, and talk over the loopback interface: whoever
    reaches a port of torchrun's own (`--standalone`, all interfaces) may hand it a pickle.
    """
    attempt = folder / uuid.uuid4().hex  # what an earlier one left in a file would count for this one
    attempt.mkdir()
    loopback = "lo0" if sys.platform == "darwin" else "lo"
    surroundings = {
        "OMP_NUM_THREADS": str(max(1, torch.get_num_threads() // processes)),
        "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",  # or torchrun opens a port for them all the same
        "GLOO_SOCKET_IFNAME": loopback,
        "NCCL_SOCKET_IFNAME": loopback,
    }
    command = [
        *(sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={processes}", "--nnodes=1"),
        *("--rdzv-backend=c10d", "--rdzv-conf=store_type=file", f"--rdzv-endpoint={attempt / 'rendezvous'}"),
        *("--local-addr=127.0.0.1", f"--log-dir={attempt}"),
    ]
    with subprocess.Popen(
        [*command, "-m", "visionpipe.models.worker", str(folder), str(attempt)],
        env=os.environ | surroundings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,  # Ctrl-C reaches this process alone, which then ends the others in order
    ) as launcher:
        assert launcher.stdout is not None, "it is a pipe"
        with new_file(attempt / LAUNCHER) as told:
            told.write_text(str(launcher.pid))
        other_lines: deque[str] = deque(maxlen=_KEPT_LINES)
        try:
            for line in launcher.stdout:
                if not _relay(line):
                    other_lines.append(line.rstrip())
        except BaseException:
            launcher.terminate()  # and torchrun ends those it started
            launcher.wait()
            raise
    if launcher.returncode:
        _raise_failure(folder, processes, launcher.returncode, other_lines)


def _relay(line: str) -> bool:
    """Log a line again as the process that wrote it did; False for what is no log line (`visionpipe.models.worker`)."""
    if not line.startswith('{"level"'):
        return False
    try:
        record = json.loads(line)
    except json.JSONDecodeError:  # another process wrote into the middle of a long line
        return False
    logging.getLogger(record["logger"]).log(record["level"], "%s", record["message"])
    return True


def _raise_failure(folder: Path, processes: int, status: int, lines: deque[str]) -> None:
    if at_once := [int(told.read_text()) for told in folder.glob(f"{OUT_OF_MEMORY}-*")]:
        raise TeamOutOfMemoryError(min(at_once))
    for told in sorted(folder.glob("error-*.txt")):
        raise VisionpipeError(told.read_text())
    logger.error("The last lines of the training processes:\n%s", "\n".join(lines))
    codes = [int(code) for code in re.findall(r"exitcode\s*: (-?\d+)", "\n".join(lines))]
    ended = f"ended with status {codes[-1] if codes else status}"
    if codes and codes[-1] < 0:
        ended = f"was killed by {signal.Signals(-codes[-1]).name}"
        if codes[-1] == -signal.SIGKILL:
            ended += " (the system does so when memory runs out; a smaller training.batch_size needs less)"
    raise VisionpipeError(
        f"training stopped: one of {processes} processes {ended}; the log has its last lines"
    )
