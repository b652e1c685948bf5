"""Errors that fit in one line: what the user can mend is printed so, a defect of ours keeps its traceback."""

from __future__ import annotations

import errno
import functools
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from itertools import dropwhile
from traceback import walk_tb
from typing import Any, NoReturn

import click

from visionpipe.errors import FULL, VisionpipeError, first_line, meant, visible

_ADVICE = {
    **dict.fromkeys(FULL, "nothing written before is lost; make room and run again"),
    **dict.fromkeys((errno.EACCES, errno.EPERM), "give this account access to it"),
    errno.EROFS: "nothing can be written there",
}


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


def _mendable(error: BaseException) -> str | None:
    """Find, behind Kedro's wrappers, the error that is meant for the user."""
    from kedro.config import BadConfigException, MissingConfigException
    from yaml import YAMLError

    for each in _chain(error):
        if isinstance(each, VisionpipeError):
            return str(each)
        if isinstance(each, MissingConfigException | BadConfigException | YAMLError):
            return "configuration: " + " ".join(str(each).split())
        if isinstance(each, _of_mlflow()):
            return f"MLflow: {first_line(each)}; mend what it names, or try again when it answers"
        if isinstance(each, OSError) and each.errno in _ADVICE:
            named = each.filename2 or each.filename  # of two, the second is written
            where = f" ({named})" if named else ""
            return f"{os.strerror(each.errno)}{where}: {_ADVICE[each.errno]}"
        if isinstance(each, shutil.Error) and isinstance(each.args[0], list):  # a folder that is copied
            _, target, why = each.args[0][-1]
            return f"{target}: cannot be copied to: {why}"
    return _word_of_kedro(error)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _of_mlflow() -> tuple[type[Exception], ...]:
    """Return what MLflow, or its connection, raises, unless nothing has asked it yet: its import takes seconds."""
    if "mlflow" not in sys.modules:
        return ()
    from mlflow.exceptions import MlflowException
    from requests import RequestException

    return MlflowException, RequestException


def _word_of_kedro(error: BaseException) -> str | None:
    """Return what Kedro itself says of an option or the catalog; None where a traceback may say more."""
    from kedro.io import DatasetError

    raised, *causes = ([_module(frame) for frame, _ in walk_tb(each.__traceback__)] for each in _chain(error))
    if not raised[-1].startswith("kedro."):
        return None
    text = " ".join(str(error).partition("\nHint: ")[0].split())
    if isinstance(error, DatasetError):
        between = []  # hooks of ours ask the catalog, too
        if text.startswith("Failed while saving"):  # what a node of ours has made
            return None
    elif isinstance(error, ValueError | AttributeError):
        between = list(dropwhile(lambda module: not module.startswith("kedro."), raised))
    else:
        return None
    if any(module.startswith("visionpipe.") for modules in (between, *causes) for module in modules):
        return None
    if unknown := re.match(r"Failed to find the pipeline named '(.*?)'", text):
        from kedro.framework.project import pipelines

        return f"pipeline {unknown[1]!r}: is not there; {meant(unknown[1], sorted(pipelines))}"
    return text


def _module(frame: Any) -> str:
    return frame.f_globals.get("__name__", "")


def _fail(message: str) -> NoReturn:
    click.secho(f"Error: {visible(message)}", fg="red", err=True)
    sys.exit(1)
