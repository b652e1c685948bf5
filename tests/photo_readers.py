"""Ways to read a photo that go wrong, each of which can travel to a worker process."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path


@dataclass(frozen=True)
class CountedRead:
    """Reads, and says so in a diary, for it happens in another process."""

    read: Callable[[], bytes]
    path: str
    diary: Path

    def __call__(self) -> bytes:
        with self.diary.open("a") as diary:
            diary.write(f"{self.path}\n")
        return self.read()


def deny() -> bytes:
    """Refuse, as a file of someone else's does."""
    raise PermissionError(13, "Permission denied", "/photos/cat/01.png")


def die() -> bytes:
    """End the process, as a decoder does that writes where it must not."""
    os.kill(os.getpid(), signal.SIGSEGV)
    return b""


def hang() -> bytes:
    """Never come back, and not for a polite signal either."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        time.sleep(1)


def devour() -> bytes:
    """Ask for more memory than there is, piece by piece."""
    pieces = []
    while True:
        pieces.append(bytearray(64 * 2**20))


def die_while_handing_over() -> bytes:
    """Be killed with half of the result sent."""

    def send_half(connection: Connection, message: bytes) -> None:
        os.write(connection.fileno(), message[: len(message) // 2])
        os.kill(os.getpid(), signal.SIGKILL)

    Connection._send = send_half
    return b"a result"
