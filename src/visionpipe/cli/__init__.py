"""The commands: `visionpipe …`, and `kedro run` with errors that fit in one line."""

from __future__ import annotations

import json
from typing import Any

import click
from kedro.framework.cli.project import run as kedro_run

from visionpipe.cli.errors import one_line_errors
from visionpipe.cli.project import ENV, dataset_folders, find_project, tracking_of
from visionpipe.cli.registry import approve, rollback
from visionpipe.cli.report import report
from visionpipe.cli.termination import ends_tidily
from visionpipe.errors import VisionpipeError


def _split(context: click.Context, option: click.Parameter, given: str) -> dict[str, Any]:
    """Read `--params` as `kedro run` does."""
    from kedro.framework.cli.utils import _split_params

    return _split_params(context, option, given)


_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for a machine to read.")


@click.group(name="visionpipe")
def cli() -> None:
    """Kedro's own commands, with `run` as below."""


cli.add_command(
    click.Command(
        name="run",
        params=kedro_run.params,
        callback=one_line_errors(ends_tidily(kedro_run.callback)),
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


main.add_command(approve)
main.add_command(rollback)
main.add_command(report)


@main.command()
@click.argument("path")
@click.option(
    "--table", help="The document that labels the photos: CSV, TSV, Parquet, COCO, CVAT, Label Studio."
)
@click.option("--path-column", help="The table's column that names the image.")
@click.option("--label-column", help="The table's column of the label.")
@click.option("--annotator-column", help="The table's column that says who labelled: a row is one's vote.")
@click.option("--confidence-column", help="The table's column that says how sure the label is (0 to 1).")
@click.option("--group-by", help="Attribute whose values must not span two splits, e.g. sender_id.")
@click.option("--name", help="Name of the source; default: the folder's.")
@click.option("--dry-run", is_flag=True, help="Look only; write nothing.")
@click.option("--force", is_flag=True, help="Replace the photos that conf/local names now.")
@_JSON
@one_line_errors
def use(path: str, *, group_by: str | None, dry_run: bool, force: bool, as_json: bool, **layout: str) -> None:
    """Look at the photos in PATH (a folder or URL), say what they are, and train on them from now on.

    \N{BACKSPACE}
    Example:
      visionpipe use /data/clothing --group-by sender_id
    """
    from rich.console import Console

    from visionpipe.images.use import look

    found = look(path, group_by=group_by, **layout)
    if not as_json:
        found.render(Console())
    written = []
    if not dry_run:
        project = find_project()
        found.require_outside(dataset_folders(project))
        written = found.write(project / "conf/local", force=force)
    if as_json:
        click.echo(json.dumps({**found.as_dict(), "written": [str(file) for file in written]}, indent=2))
    else:
        click.echo(found.closing_words(written, dry_run=dry_run))


@main.command()
@ENV
@click.option("--params", default="", callback=_split, help="Kedro parameters, e.g. training.epochs=4.")
@one_line_errors
@ends_tidily
def retrain(env: str | None, params: dict[str, Any]) -> None:
    """Take in reviewed labels, train a challenger, promote it only if it is proven better.

    Meant for a scheduler, every quarter or after drift was seen.

    \N{BACKSPACE}
    Example:
      visionpipe retrain
    """
    from visionpipe.retraining.schedule import retrain as run_retraining

    run_retraining(find_project(), env=env, parameters=params)


@main.command()
@click.argument("model_uri", metavar="MODEL")
@click.option(
    "--quick", is_flag=True, help="Only see that the image store's files are there; do not read them."
)
@ENV
@_JSON
@one_line_errors
def trace(model_uri: str, *, quick: bool, env: str | None, as_json: bool) -> None:
    """Walk from a registered MODEL to its run, its commit and the bytes it learned from.

    Every byte is read and hashed again: weights, labels, manifest, photos.

    \N{BACKSPACE}
    Example:
      visionpipe trace models:/visionpipe@champion
    """
    from rich.console import Console

    from visionpipe.lineage.trace import render
    from visionpipe.lineage.trace import trace as trace_model

    project = find_project()
    report = trace_model(model_uri, project, tracking=tracking_of(project, env), read_store=not quick)
    if as_json:
        click.echo(json.dumps(report.as_dict(), indent=2, allow_nan=False))
    else:
        render(report, Console())


@main.command("dvc-stages")
@click.option("--check", is_flag=True, help="Change nothing; exit with 1 when dvc.yaml is out of date.")
@ENV
@one_line_errors
def dvc_stages(*, check: bool, env: str | None) -> None:
    """Write dvc.yaml from the pipelines and the catalog.

    What is committed is made with `--env base`, which leaves conf/local out.

    \N{BACKSPACE}
    Example:
      visionpipe dvc-stages --check
    """
    from visionpipe.progress import doing

    project = find_project()
    with doing("reading the pipelines and the catalog"):
        from visionpipe.lineage import dvc_stages as stages

        differences = stages.check(project, env=env) if check else []
        if not check:
            stages.write(project, env=env)
    if not check:
        click.echo(f"wrote {project / 'dvc.yaml'}")
        return
    if differences:
        raise VisionpipeError(
            "dvc.yaml is out of date, run `visionpipe dvc-stages`: " + "; ".join(differences)
        )
    click.echo("dvc.yaml is up to date")
