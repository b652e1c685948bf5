"""What a scheduler's SIGTERM does to a run: it ends as by Ctrl-C, tidily."""

from __future__ import annotations

import functools
import os
import signal
import sys
from collections.abc import Callable
from typing import Any


def ends_tidily(command: Callable[..., Any]) -> Callable[..., Any]:
    """Let SIGTERM leave the command as an exception does: temporary files go, and MLflow hears that it was killed.

    The process then exits with 143, which is what a shell says of one that SIGTERM ends.
    """

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        before = signal.signal(signal.SIGTERM, functools.partial(_leave, os.getpid()))
        try:
            return command(*args, **kwargs)
        finally:
            signal.signal(signal.SIGTERM, before)

    return wrapped


def _leave(process: int, number: int, _frame: object) -> None:
    if os.getpid() != process:  # a fork of it has nothing to tidy up
        os._exit(128 + number)
    sys.exit(128 + number)
