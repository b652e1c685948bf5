"""One of the processes that train together, as `torchrun` starts it.

    python -m visionpipe.models.worker FOLDER ATTEMPT

FOLDER holds what `visionpipe.models.processes` asks for, and takes the answer; in ATTEMPT the processes meet.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
from filelock import FileLock, Timeout
from torch.distributed.elastic.multiprocessing.errors import record

from visionpipe.atomic import new_file
from visionpipe.errors import VisionpipeError
from visionpipe.images.prepare import PreparedImages
from visionpipe.installed_source import source_sha256
from visionpipe.models.candidate import save_candidate, train_candidate
from visionpipe.models.parameters import TrainingParameters
from visionpipe.models.training.distributed import joined_team
from visionpipe.models.training.memory import TeamOutOfMemoryError
from visionpipe.scratch import OWNER_LOCK

OUT_OF_MEMORY = "out_of_memory"
"""And the rank: a file that says how many images were too many."""
LAUNCHER = "launcher"
"""File of an attempt that holds the process id of its torchrun."""
_WATCH_S = 0.5  # how often a process looks whether the run that it belongs to is still there


@record  # so that torchrun's last words hold the traceback of whichever process failed first
def _work(folder: Path, attempt: Path) -> None:
    threading.Thread(target=_leave_when_alone, args=(folder, attempt), daemon=True).start()
    rank = int(os.environ["RANK"])
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_JsonLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    level = logging.INFO if rank == 0 else logging.ERROR  # all would say the same
    logging.getLogger("visionpipe").setLevel(level)
    try:
        request = json.loads((folder / "request.json").read_text())
        if source_sha256() != request["source_sha256"]:
            raise VisionpipeError(
                "training stopped: visionpipe's code changed since the run began; start it again"
            )
        parameters = TrainingParameters.model_validate_json((folder / "parameters.json").read_bytes())
        images = PreparedImages(tuple(request["image_ids"]), np.load(request["pixels"], mmap_mode="r"))
        with joined_team(parameters.device, attempt / "team", request["micro_batch"]) as team:
            candidate = train_candidate(
                pd.read_parquet(folder / "manifest.parquet"),
                images,
                parameters,
                team=team,
                checkpoints=request["checkpoints"] and Path(request["checkpoints"]),
            )
            if team.is_first:
                (folder / "candidate").mkdir()
                save_candidate(candidate, folder / "candidate")
                (folder / "training.json").write_text(json.dumps(candidate.training))
    except TeamOutOfMemoryError as error:
        _tell(folder / f"{OUT_OF_MEMORY}-{rank}", str(error.n_images))
        raise
    except VisionpipeError as error:
        _tell(folder / f"error-{rank}.txt", str(error))
        raise
    except OSError as error:  # a full disk; what a team says of a member that is gone is a RuntimeError
        _tell(folder / f"error-{rank}.txt", f"training stopped: {error}")
        raise


def _tell(file: Path, text: str) -> None:
    try:
        with new_file(file) as written:
            written.write_text(text)
    except OSError:  # the disk is full: among the last lines that the parent logs
        sys.stdout.write(f"{text}\n")


def _main(folder: Path, attempt: Path) -> None:
    """Be one of the processes; when it fails, end at once, for whatever waits for the others waits for ever."""
    trained = False
    try:
        _work(folder, attempt)
        trained = True
    finally:
        if not trained:  # torchrun tells of the error, which is in its file
            sys.stdout.flush()
            os._exit(1)


def _leave_when_alone(folder: Path, attempt: Path) -> None:
    """End this process, whatever it does, as soon as torchrun or the parent is gone, even by `kill -9`."""
    held_by_the_parent = FileLock(folder / OWNER_LOCK)
    launcher = None
    while folder.exists():
        launcher = launcher or _launcher(attempt)
        if launcher not in (None, os.getppid()):  # torchrun has ended, and another one adopted this process
            break
        with contextlib.suppress(Timeout, OSError):
            held_by_the_parent.acquire(timeout=0)
            _end_run(folder, launcher)
            break
        time.sleep(_WATCH_S)
    os._exit(1)


def _end_run(folder: Path, launcher: int | None) -> None:
    """Do what the parent would have done, had it not been killed."""
    if launcher is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(launcher, signal.SIGKILL)  # or it waits for minutes for its file, once the folder is gone
    shutil.rmtree(folder, ignore_errors=True)


def _launcher(attempt: Path) -> int | None:
    """Return the process id of torchrun; None where the parent has not told it (yet), or the folder is gone."""
    try:
        return int((attempt / LAUNCHER).read_text())
    except OSError:
        return None


class _JsonLines(logging.Formatter):
    """One line a record, whatever its message holds."""

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps({"level": record.levelno, "logger": record.name, "message": record.getMessage()})


if __name__ == "__main__":
    _main(Path(sys.argv[1]), Path(sys.argv[2]))
