"""Errors that fit in one line: what the user can mend is printed so, a defect of ours keeps its traceback."""

from __future__ import annotations

import errno
import functools
import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import click

from visionpipe.errors import VisionpipeError


def one_line_errors(command: Callable[..., Any]) -> Callable[..., Any]:
    """Print what the user can mend as one line; let a defect of ours keep its traceback."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except Exception as error:
            mendable = _mendable(error)
            if mendable is None:
                raise
            _fail(mendable)

    return wrapped


def _mendable(error: BaseException | None) -> str | None:
    """Find, behind Kedro's wrappers, the error that is meant for the user."""
    from kedro.config import BadConfigException, MissingConfigException
    from yaml import YAMLError

    while error is not None:
        if isinstance(error, VisionpipeError):
            return str(error)
        if isinstance(error, MissingConfigException | BadConfigException | YAMLError):
            return "configuration: " + " ".join(str(error).split())
        if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EROFS}:
            where = f" ({error.filename})" if error.filename else ""
            return (
                f"{os.strerror(error.errno)}{where}: nothing written before is lost; make room and run again"
            )
        error = error.__cause__ or error.__context__
    return None


def _fail(message: str) -> NoReturn:
    click.secho(f"Error: {message}", fg="red", err=True)
    sys.exit(1)
