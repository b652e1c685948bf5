"""What a scheduler's SIGTERM, or Ctrl-C, does to a run: it ends tidily."""

from __future__ import annotations

import functools
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

_POSTPONED_S = 0.05


def ends_tidily(command: Callable[..., Any]) -> Callable[..., Any]:
    """Let SIGTERM leave the command as an exception does: temporary files go, and MLflow hears that it was killed.

    The process then exits with 143, which is what a shell says of one that SIGTERM ends. Neither SIGTERM nor Ctrl-C
    breaks into SQLAlchemy: a transaction that is interrupted while it is closed keeps the database locked, and MLflow
    could not be told.
    """

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        leaving = _Leaving()
        before = {signal.SIGTERM: signal.signal(signal.SIGTERM, leaving)}
        if (
            signal.getsignal(signal.SIGINT) is signal.default_int_handler
        ):  # a shell's background job ignores it
            before[signal.SIGINT] = signal.signal(signal.SIGINT, leaving)
        try:
            return command(*args, **kwargs)
        except Exception:
            if leaving.status is not None:  # what a library made of the exit that went through it
                sys.exit(leaving.status)
            raise
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    return wrapped


class _Leaving:
    """A signal handler that leaves the process by an exception."""

    def __init__(self) -> None:
        self.status: int | None = None  # with which the process ends, once SIGTERM has come
        self._process = os.getpid()

    def __call__(self, number: int, frame: FrameType | None) -> None:
        is_fork = os.getpid() != self._process  # which has nothing to tidy up
        if not is_fork and _in_a_database(frame):
            threading.Timer(_POSTPONED_S, os.kill, (self._process, number)).start()
            return
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        if is_fork:
            os._exit(128 + number)
        self.status = 128 + number
        sys.exit(self.status)


def _in_a_database(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith("sqlalchemy."):
            return True
        frame = frame.f_back
    return False
