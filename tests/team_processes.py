"""The processes of a training in several, seen from outside."""

from __future__ import annotations

import socket
import struct
import time
from pathlib import Path


def workers_of(parent: int) -> list[int]:
    """Return the training processes below one: the children of its torchrun."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, of, *_ = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        if state != "Z":
            children.setdefault(int(of), []).append(int(stat.parent.name))
    return [worker for launcher in children.get(parent, []) for worker in children.get(launcher, [])]


def is_training(worker: int) -> bool:
    """Say whether a process has got past its imports: the pixels are mapped into its memory."""
    return "images.npy" in Path(f"/proc/{worker}/maps").read_text()


def both_started(parent: int, seconds: float = 120) -> list[int]:
    """Wait until a parent's two processes are at work."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        workers = workers_of(parent)
        if len(workers) == 2 and all(map(is_training, workers)):
            return workers
        time.sleep(0.1)
    raise AssertionError(f"no two processes within {seconds} s")


def all_gone(workers: list[int], seconds: float = 20) -> bool:
    """Wait until none of the processes is there."""
    end = time.monotonic() + seconds
    while any(Path(f"/proc/{worker}").exists() for worker in workers) and time.monotonic() < end:
        time.sleep(0.1)
    return not any(Path(f"/proc/{worker}").exists() for worker in workers)


def listening_addresses(process: int) -> set[str]:
    """Return the addresses of this machine at which a process can be reached."""
    found = set()
    inodes = {_target(fd) for fd in Path(f"/proc/{process}/fd").iterdir()}
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for line in Path(f"/proc/{process}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
                words = fields[1].partition(":")[0]
                packed = b"".join(
                    struct.pack("<I", int(words[i : i + 8], 16)) for i in range(0, len(words), 8)
                )
                found.add(socket.inet_ntop(family, packed))
    return found


def parent_of(process: int) -> int:
    """Return the process that started a process."""
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def _target(fd: Path) -> str:
    try:
        return str(fd.readlink())
    except OSError:  # closed meanwhile
        return ""
