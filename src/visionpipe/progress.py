"""One look for whatever takes long: what, how far, how fast, how long still."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn


logger = logging.getLogger(__name__)
_FIRST_TOLD_S = 30.0


@contextmanager
def progress_bar(unit: str = "images", *, log: bool = True) -> Iterator[Progress]:
    """Show progress bars while the block runs; where there is no terminal, log a line at the end.

    What takes longer than half a minute is also told of on the way, each time after twice as long.

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
    in_log = log and not console.is_terminal
    kind = _logged_progress(unit) if in_log else Progress
    with kind(*columns, console=console, disable=not console.is_terminal) as progress:
        yield progress
    if in_log:
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


def _logged_progress(unit: str) -> type[Progress]:
    from rich.progress import Progress, TaskID

    class LoggedProgress(Progress):
        def __init__(self, *columns: ProgressColumn | str, **options: Any) -> None:
            super().__init__(*columns, **options)
            self._starts: dict[TaskID, float] = {}

        def add_task(self, *named: Any, **options: Any) -> TaskID:
            task_id = super().add_task(*named, **options)
            self._starts[task_id] = options.get("completed", 0)
            return task_id

        def advance(self, task_id: TaskID, advance: float = 1) -> None:
            super().advance(task_id, advance)
            self._tell(task_id)

        def update(self, task_id: TaskID, **changes: Any) -> None:
            super().update(task_id, **changes)
            self._tell(task_id)

        def _tell(self, task_id: TaskID) -> None:
            task = self._tasks[task_id]
            due_s, start = task.fields.get("due_s", _FIRST_TOLD_S), self._starts[task_id]
            if task.finished or task.elapsed is None or task.elapsed < due_s or task.completed <= start:
                return
            task.fields["due_s"] = 2 * due_s
            # over all of it: rich knows the last half minute, in which there may be no step, or nothing but steps
            left_s = task.elapsed * (task.remaining or 0) / (task.completed - start)
            passed, left = (timedelta(seconds=round(each)) for each in (task.elapsed, left_s))
            text = "%s: %d of %d %s after %s, about %s left"
            logger.info(text, task.description, task.completed, task.total, unit, passed, left)

    return LoggedProgress


def _rate_column(unit: str) -> ProgressColumn:
    from rich.progress import ProgressColumn, Task
    from rich.text import Text

    class RateColumn(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text(f"{speed:,.0f} {unit}/s" if speed else "", style="progress.data.speed")

    return RateColumn()
