"""The commands: `visionpipe …`, and `kedro run` with errors that fit in one line."""

from __future__ import annotations

import errno
import functools
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import click
from kedro.framework.cli.project import run as kedro_run

from visionpipe.errors import VisionpipeError

_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for a machine to read.")


def _one_line_errors(command: Callable[..., Any]) -> Callable[..., Any]:
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
    from kedro.validation import ParameterValidationError
    from yaml import YAMLError

    while error is not None:
        if isinstance(error, VisionpipeError):
            return str(error)
        if isinstance(error, MissingConfigException | BadConfigException | YAMLError):
            return "configuration: " + " ".join(str(error).split())
        if isinstance(error, ParameterValidationError):
            return _parameter_errors(str(error))
        if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EROFS}:
            return f"{error}: nothing that was written before is lost; make room and run again"
        error = error.__cause__ or error.__context__
    return None


def _parameter_errors(text: str) -> str:
    r"""Fold Kedro's and pydantic's paragraphs into `section.key: what is wrong`.

    Examples
    --------
    >>> _parameter_errors(
    ...     "Parameter validation failed:\n- Parameter 'training': Failed to instantiate X for parameter "
    ...     "'training': 1 validation error for X\nepoch\n  Extra inputs are not permitted [type=extra_forbidden]"
    ... )
    'parameters: training.epoch: unknown key (see conf/base for those there are)'
    """
    found = []
    for section, report in re.findall(r"Parameter '([^']+)': (.*?)(?=\n- Parameter '|\Z)", text, re.DOTALL):
        for key, wrong in re.findall(r"^(\S.*)\n +(.+?)(?: \[type=.*)?$", report, re.MULTILINE):
            name = section if key.startswith("Failed to") else f"{section}.{key}"
            if wrong.startswith("Extra inputs"):
                wrong = "unknown key (see conf/base for those there are)"
            found.append(f"{name}: {wrong}")
    return "parameters: " + ("; ".join(found) or " ".join(text.split()))


def _fail(message: str) -> NoReturn:
    click.secho(f"Error: {message}", fg="red", err=True)
    sys.exit(1)


@click.group(name="visionpipe")
def cli() -> None:
    """Kedro's own commands, with `run` as below."""


cli.add_command(
    click.Command(
        name="run",
        params=kedro_run.params,
        callback=_one_line_errors(kedro_run.callback),
        help=kedro_run.help,
        short_help=kedro_run.short_help,
    )
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="visionpipe")
def main() -> None:
    """Keep an image classifier true: retrain it, trace it, keep its data versioned.

    The pipelines themselves run with `kedro run`.
    """


@main.command()
@click.argument("path")
@click.option(
    "--table", help="The document that labels the photos: CSV, TSV, Parquet, COCO, CVAT, Label Studio."
)
@click.option("--path-column", help="The table's column that names the image.")
@click.option("--label-column", help="The table's column of the label.")
@click.option("--group-by", help="Attribute whose values must not span two splits, e.g. sender_id.")
@click.option("--name", help="Name of the source; default: the folder's.")
@click.option("--dry-run", is_flag=True, help="Look only; write nothing.")
@click.option("--force", is_flag=True, help="Replace the photos that conf/local names now.")
@_JSON
@_one_line_errors
def use(path: str, *, group_by: str | None, dry_run: bool, force: bool, as_json: bool, **layout: str) -> None:
    r"""Look at the photos in PATH (a folder or URL), say what they are, and train on them from now on.

    \b
    Example:
      visionpipe use /data/clothing --group-by sender_id
    """
    from rich.console import Console

    from visionpipe.images.use import look

    found = look(path, group_by=group_by, **layout)
    if not as_json:
        found.render(Console())
    written = [] if dry_run else found.write(_project() / "conf/local", force=force)
    if as_json:
        click.echo(json.dumps({**found.as_dict(), "written": [str(file) for file in written]}, indent=2))
    else:
        click.echo(found.closing_words(written, dry_run=dry_run))


@main.command()
@click.option("--env", default=None, help="Kedro environment, e.g. gpu.")
@click.option("--params", default="", help="Kedro parameters, e.g. training.epochs=4.")
@_one_line_errors
def retrain(env: str | None, params: str) -> None:
    r"""Take in reviewed labels, train a challenger, promote it only if it is proven better.

    Meant for a scheduler, every quarter or after drift was seen.

    \b
    Example:
      visionpipe retrain
    """
    from visionpipe.retraining.schedule import retrain as run_retraining

    run_retraining(_project(), env=env, parameters=_split(params))


@main.command()
@click.argument("model_uri", metavar="MODEL")
@_JSON
@_one_line_errors
def trace(model_uri: str, *, as_json: bool) -> None:
    r"""Walk from a registered MODEL to its run, its commit and the bytes it learned from.

    \b
    Example:
      visionpipe trace models:/visionpipe@champion
    """
    from rich.console import Console

    from visionpipe.lineage.trace import render
    from visionpipe.lineage.trace import trace as trace_model

    project, tracking_uri = _connected_project()
    report = trace_model(model_uri, project, tracking_uri=tracking_uri)
    if as_json:
        click.echo(json.dumps(report.as_dict(), indent=2, allow_nan=False))
    else:
        render(report, Console())


@main.command("dvc-stages")
@click.option("--check", is_flag=True, help="Change nothing; exit with 1 when dvc.yaml is out of date.")
@click.option("--env", default=None, help="Kedro environment; `base` leaves conf/local out.")
@_one_line_errors
def dvc_stages(*, check: bool, env: str | None) -> None:
    r"""Write dvc.yaml from the pipelines and the catalog.

    \b
    Example:
      visionpipe dvc-stages --check
    """
    from visionpipe.lineage import dvc_stages as stages

    project = _project()
    if not check:
        stages.write(project, env=env)
        click.echo(f"wrote {project / 'dvc.yaml'}")
        return
    differences = stages.check(project, env=env)
    if differences:
        raise VisionpipeError(
            "dvc.yaml is out of date, run `visionpipe dvc-stages`: " + "; ".join(differences)
        )
    click.echo("dvc.yaml is up to date")


def _project() -> Path:
    """Find the project around the working directory."""
    from kedro.utils import find_kedro_project

    project = find_kedro_project(Path.cwd())
    if project is None:
        raise VisionpipeError(
            f"{Path.cwd()} is in no visionpipe project: change to the folder with its pyproject.toml"
        )
    return Path(project)


def _connected_project() -> tuple[Path, str]:
    """Find the project and connect to its MLflow store."""
    from kedro.framework.startup import bootstrap_project

    from visionpipe.promotion.tracking import connect, tracking_parameters

    project = _project()
    bootstrap_project(project)
    from kedro.framework.project import settings

    loader = settings.CONFIG_LOADER_CLASS(str(project / settings.CONF_SOURCE), **settings.CONFIG_LOADER_ARGS)
    return project, connect(project, tracking_parameters(loader["mlflow"]))


def _split(params: str) -> dict[str, Any]:
    from kedro.framework.cli.utils import _split_params

    return _split_params(None, None, params)
