"""`visionpipe report`: look at the reports of the last run."""

from __future__ import annotations

import webbrowser

import click

from visionpipe.cli.errors import one_line_errors
from visionpipe.cli.project import ENV, configuration_of, find_project
from visionpipe.errors import VisionpipeError


@click.command()
@click.option("--print", "print_only", is_flag=True, help="Print where the page is; open nothing.")
@ENV
@one_line_errors
def report(*, print_only: bool, env: str | None) -> None:
    """Open the page that links every report of the last run, and print where it is.

    \N{BACKSPACE}
    Example:
      visionpipe report
    """
    project = find_project()
    page = project / configuration_of(project, env)["catalog"]["report_index"]["filepath"]
    if not page.is_file():
        raise VisionpipeError(f"{page}: there is no report yet; `kedro run` writes it")
    click.echo(page)
    if not print_only and not webbrowser.open(page.resolve().as_uri()):
        raise VisionpipeError(f"no browser could be started; open {page} in one")
