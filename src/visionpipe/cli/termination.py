"""What a scheduler's SIGTERM, or Ctrl-C, does to a run: it ends tidily."""

from __future__ import annotations

import functools
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, NoReturn

logger = logging.getLogger(__name__)
_POSTPONED_S = 0.05


def ends_tidily(command: Callable[..., Any]) -> Callable[..., Any]:
    """Let SIGTERM leave the command as an exception does: temporary files go, and MLflow hears that it was killed.

    The process then exits with 143, which is what a shell says of one that SIGTERM ends, and further ones change
    nothing. Neither SIGTERM nor Ctrl-C breaks into SQLAlchemy: a transaction that is interrupted while it is closed
    keeps the database locked, and MLflow could not be told. What turns errors into other exits belongs around it.
    """

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        leaving = _Leaving()
        before = {signal.SIGTERM: signal.signal(signal.SIGTERM, leaving)}
        # not where it is ignored, as in a shell's background job
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            before[signal.SIGINT] = signal.signal(signal.SIGINT, leaving)
        try:
            return command(*args, **kwargs)
        except BaseException:
            if leaving.number is None:
                raise
            logger.warning("Stopped by %s", signal.Signals(leaving.number).name)
            leaving.leave()  # whatever a library made of the exit that went through it
        finally:
            if leaving.number is None:  # or MLflow is still to be told
                for number, handler in before.items():
                    signal.signal(number, handler)

    return wrapped


class _Leaving:
    """A signal handler that leaves the process by an exception."""

    def __init__(self) -> None:
        self.number: int | None = None
        """The signal by which it is leaving."""
        self._process = os.getpid()
        self._is_postponed = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:  # a fork of it has nothing to tidy up
            _leave_by(number, at_once=True)
        if number == signal.SIGTERM and self.number is not None:
            return
        if not _in_a_database(frame):
            self.number = number
            self.leave()
        if not self._is_postponed:
            self._is_postponed = True
            threading.Timer(_POSTPONED_S, self._again, [number]).start()

    def leave(self) -> NoReturn:
        """Raise the exception."""
        assert self.number is not None, "it has been told to"
        _leave_by(self.number)

    def _again(self, number: int) -> None:
        self._is_postponed = False
        os.kill(self._process, number)


def _leave_by(number: int, *, at_once: bool = False) -> NoReturn:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    if at_once:
        os._exit(128 + number)
    sys.exit(128 + number)


def _in_a_database(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith("sqlalchemy."):
            return True
        frame = frame.f_back
    return False
