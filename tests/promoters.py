"""Promotions, each in a process of its own that a test may kill.

Importing torch and MLflow takes seconds, so one process does it and forks for every promotion. It reads one JSON
job a line and answers with the process's id; an id is answered with that process's exit status.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from photo_sets import CONTEST, photo_set


class Promoters:
    """Promotions in processes of their own.

    Parameters
    ----------
    models : dict
        Name -> folder of the candidate.
    """

    def __init__(self, models: dict[str, Path]) -> None:
        self.project = Path()
        """Whose champion is challenged."""
        self.answers: list[dict] = []
        """How those that ended last ended."""
        self._models = models
        self._started: list[tuple[int, Path]] = []
        self._round = 0
        paths = [str(Path(__file__).parent), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout.readline() == "imported\n"

    def _ask(self, order: dict | int) -> int:
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def _file(self, name: str) -> Path:
        return self.project / f"round{self._round}-{name}"

    def start(self, name: str) -> None:
        """Start a process that waits, ready to promote this model."""
        answer = self._file(f"{len(self._started)}.json")
        job = {
            "project": str(self.project),
            "candidate": str(self._models[name]),
            "start": str(self._file("start")),
            "answer": str(answer),
        }
        self._started.append((self._ask(job), answer))

    def go(self) -> None:
        """Let all of them promote, once all are ready."""
        deadline = time.monotonic() + 60
        while not all(answer.with_suffix(".ready").exists() for _, answer in self._started):
            assert time.monotonic() < deadline
            time.sleep(0.005)
        self._file("start").touch()

    def finish(self) -> list[int]:
        """Wait until they have ended; return their exit statuses."""
        statuses = [self._ask(process_id) for process_id, _ in self._started]
        self.answers = [json.loads(answer.read_text()) for _, answer in self._started if answer.exists()]
        self._started, self._round = [], self._round + 1
        return statuses

    def kill(self) -> list[int]:
        """End them at once, wherever they are."""
        for process_id, _ in self._started:
            os.kill(process_id, signal.SIGKILL)
        return self.finish()

    def close(self) -> None:
        """End the process that forks."""
        self._process.communicate()


def promote(job: dict) -> None:
    """Get ready, say so, wait for the start, promote, and write down how it went."""
    from visionpipe.models.candidate import describe_model, load_candidate
    from visionpipe.promotion.contest import contest
    from visionpipe.promotion.parameters import PromotionParameters
    from visionpipe.promotion.registry import Registry
    from visionpipe.promotion.tracking import TrackingParameters, connect

    connect(Path(job["project"]), TrackingParameters())
    photos, folder = photo_set(**CONTEST), Path(job["candidate"])
    candidate, registry = load_candidate(folder), Registry("cells", folder)
    answer = Path(job["answer"])
    answer.with_suffix(".ready").touch()
    while not Path(job["start"]).exists():
        time.sleep(0.001)
    parameters = PromotionParameters(resamples=200)
    about = {"n": 40, "model": describe_model(candidate)}
    promotion = contest(registry, candidate, about, photos.manifest, photos.read, {}, parameters)
    decision = promotion.decision
    answer.write_text(
        json.dumps(
            {
                "outcome": decision.outcome,
                "champion": decision.champion_version,
                "version": promotion.version,
                "alias": promotion.alias,
            }
        )
    )


def main() -> None:
    """Import what takes seconds, once, then fork for every job on the input until it ends."""
    for name in (
        "mlflow.pyfunc",
        "mlflow.store.model_registry.sqlalchemy_store",
        "mlflow.store.tracking.sqlalchemy_store",
        "timm",
        "torch._dynamo",
        "torchvision.models",
        "visionpipe.promotion.contest",
    ):
        importlib.import_module(name)

    print("imported", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        if isinstance(order, int):
            print(os.waitpid(order, 0)[1], flush=True)
            continue
        child = os.fork()
        if child == 0:
            status = 1
            try:
                promote(order)
                status = 0
            finally:
                os._exit(status)
        print(child, flush=True)


if __name__ == "__main__":
    main()
