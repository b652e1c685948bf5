"""What a person decides about the registered model: `visionpipe approve` and `visionpipe rollback`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from visionpipe.cli.errors import one_line_errors
from visionpipe.cli.project import ENV, connected_model

if TYPE_CHECKING:
    from visionpipe.promotion.record import Event

_BY = click.option("--by", required=True, metavar="WHO", help="Who decides this; kept on record.")
_WHY = click.option("--why", required=True, metavar="REASON", help="Why; kept on record.")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for a machine to read.")


@click.command()
@click.argument("version", required=False)
@_BY
@_WHY
@ENV
@_JSON
@one_line_errors
def approve(version: str | None, *, by: str, why: str, env: str | None, as_json: bool) -> None:
    """Make the model that waits for approval champion.

    For promotion.mode: propose. VERSION: an earlier proposal instead. Refused when the champion has changed since
    the model was judged.

    \N{BACKSPACE}
    Example:
      visionpipe approve --by "A. Jones" --why "checked the 20 worst mistakes"
    """
    from visionpipe.promotion.succession import approve as approve_version

    model_name = connected_model(env)
    _say(model_name, approve_version(model_name, version, by=by, why=why), as_json=as_json)


@click.command()
@click.option("--to", "version", metavar="VERSION", help="Default: the champion before this one.")
@_BY
@_WHY
@ENV
@_JSON
@one_line_errors
def rollback(version: str | None, *, by: str, why: str, env: str | None, as_json: bool) -> None:
    """Put the previous champion back.

    \N{BACKSPACE}
    Example:
      visionpipe rollback --by "A. Jones" --why "misses cracks on the new line"
    """
    from visionpipe.promotion.succession import rollback as roll_back

    model_name = connected_model(env)
    _say(model_name, roll_back(model_name, version, by=by, why=why), as_json=as_json)


def _say(model_name: str, event: Event, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"model_name": model_name, **event.as_dict()}, indent=2, allow_nan=False))
        return
    previous = event.payload["previous"]
    before = "" if previous is None else f", in place of version {previous}"
    click.echo(
        f"{model_name} version {event.payload['version']} is champion now{before} (on record: {event.who})"
    )
