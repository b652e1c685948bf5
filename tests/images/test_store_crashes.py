"""Two writers at once lose nothing, and a killed writer leaves whole shards or none."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq

from visionpipe.images import store

WRITER = """
import os, random, sys, time
from pathlib import Path
from visionpipe.images.shards import append_shard
from visionpipe.images.store import LABEL_SCHEMA

folder, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])

def append(number):
    rows = [{"image_id": f"{name}-{number}", "label": "x" * 50_000}] * 3
    append_shard(folder, rows, LABEL_SCHEMA, prefix="labels")
"""
APPENDING = WRITER + "for number in range(count): append(number)"
KILLED = (
    WRITER
    + """
random.seed(1)
for attempt in range(count):
    child = os.fork()
    if not child:
        number = 0
        while True:
            append(f"{attempt}-{number}")
            number += 1
    time.sleep(random.uniform(0.02, 0.25))
    os.kill(child, 9)
    os.waitpid(child, 0)
"""
)


def start(script: str, folder: Path, name: str, count: int) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", script, str(folder), name, str(count)])


def test_two_writers_at_once_lose_nothing(tmp_path):
    folder = tmp_path / "labels"
    writers = [start(APPENDING, folder, name, 30) for name in ("ada", "bob")]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0]
    written = store.read_tables(folder)["image_id"].value_counts()
    assert written.to_dict() == {f"{name}-{number}": 3 for name in ("ada", "bob") for number in range(30)}
    shards = sorted(path.name for path in folder.iterdir())
    assert shards == [f"labels-{number:05d}.parquet" for number in range(60)]
    assert [path.name for path in tmp_path.iterdir()] == ["labels"]


def test_a_killed_writer_leaves_whole_shards_only(tmp_path):
    folder = tmp_path / "labels"
    assert start(KILLED, folder, "eve", 10).wait(timeout=60) == 0
    shards = sorted(folder.iterdir())  # DVC hashes all that lies in the folder, so nothing else may
    assert [shard.name for shard in shards] == [
        f"labels-{number:05d}.parquet" for number in range(len(shards))
    ]
    assert len(shards) > 10
    assert {pq.read_table(shard).num_rows for shard in shards} == {3}
    appended = store.read_tables(folder)["image_id"].unique().tolist()
    attempts = [name.split("-")[1:] for name in appended]
    assert attempts == sorted(attempts, key=lambda each: (int(each[0]), int(each[1])))


def test_workers_end_when_their_run_is_killed(tmp_path):
    script = tmp_path / "run.py"
    script.write_text(
        """
import multiprocessing
from datetime import UTC, datetime
from pathlib import Path
from visionpipe.images.importers import Photo, ReadFile
from visionpipe.images.inspection_pool import inspect_photos
from visionpipe.images.parameters import IngestionParameters

if __name__ == "__main__":
    photo = Photo("mine", "x", 1, 1, ReadFile(Path(__file__)), datetime.now(UTC))
    for _ in inspect_photos([photo] * 256, IngestionParameters(workers=2)):
        print(*(worker.pid for worker in multiprocessing.active_children()), flush=True)
        input()
"""
    )
    run = subprocess.Popen([sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    workers = [int(pid) for pid in run.stdout.readline().split()]
    assert workers
    assert all(is_alive(pid) for pid in workers)
    run.kill()
    try:
        wait_until(lambda: not any(is_alive(pid) for pid in [run.pid, *workers]))
    finally:
        for pid in filter(is_alive, workers):
            os.kill(pid, signal.SIGKILL)
        run.communicate()


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def wait_until(condition, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "still not so"
        time.sleep(0.05)
