"""One look for whatever takes long: what, how far, how fast, how long still."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn


logger = logging.getLogger(__name__)


@contextmanager
def progress_bar(unit: str = "images", *, log: bool = True) -> Iterator[Progress]:
    """Show progress bars while the block runs; where there is no terminal, log one line at the end.

    Parameters
    ----------
    unit : str
        What is counted; the rate is shown in this unit per second.
    log : bool
        False logs nothing: for a command whose output a machine may read.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns: list[ProgressColumn | str] = [
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _rate_column(unit),
        TimeRemainingColumn(elapsed_when_finished=True),
        TextColumn("{task.fields[note]}"),
    ]
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        yield progress
    if log and not console.is_terminal:
        for task in progress.tasks:
            if task.completed:
                note = f", {task.fields['note']}" if task.fields["note"] else ""
                logger.info(
                    "%s: %d %s in %.1f s%s", task.description, task.completed, unit, task.elapsed or 0, note
                )


@contextmanager
def doing(what: str) -> Iterator[None]:
    """Say on standard error what takes seconds while the block runs; where there is no terminal, nobody waits.

    Parameters
    ----------
    what : str
        What is being done, e.g. `reading version 3`.
    """
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with console.status(Text(f"{what} …")):
        yield


def _rate_column(unit: str) -> ProgressColumn:
    from rich.progress import ProgressColumn, Task
    from rich.text import Text

    class RateColumn(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text(f"{speed:,.0f} {unit}/s" if speed else "", style="progress.data.speed")

    return RateColumn()
