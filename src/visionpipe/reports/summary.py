"""The short table that ends a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from visionpipe.reports.automation import automatic_share, left_to_a_person
from visionpipe.reports.wording import counted, fact, interval, is_number, mid_sentence, number, title_of

if TYPE_CHECKING:
    from rich.table import Table

_SHOWN = {"accuracy": "accuracy", "auroc": "AUC", "ece": "ECE"}


def print_summary(made: dict[str, dict], reports: list[Path]) -> None:
    """Print what a run made, one row a fact.

    Parameters
    ----------
    made : dict
        Any of `validation_result`, `evaluation`, `decision`, `scoring_summary`, `drift_verdict`, as saved.
    reports : list of Path
        Pages to open.
    """
    from rich.console import Console

    table = _table()
    if "validation_result" in made:
        _add_validation(table, made["validation_result"])
    if "decision" in made:
        _add_decision(table, made["decision"], (made.get("evaluation") or {}).get("metrics") or {})
    if "evaluation" in made:
        _add_metrics(
            table, f"test ({counted(made['evaluation']['n'], 'image')})", made["evaluation"]["metrics"]
        )
        _add_automation(table, made["evaluation"])
    if "scoring_summary" in made:
        _add_scoring(table, made["scoring_summary"])
    if "drift_verdict" in made:
        verdict = made["drift_verdict"]
        word = {True: "[bold red]yes[/]", False: "[green]no[/]", None: "cannot be judged"}[verdict["drifted"]]
        table.add_row("drift", f"{word} - {_plain(verdict['reason'])}")
    for path in reports:
        table.add_row("report", _plain(str(path)))
    if table.row_count:
        Console().print(table)


def _add_validation(table: Table, result: dict) -> None:
    n_quarantined = result["n_quarantined"]
    listed = " (data/02_intermediate/quarantine.parquet)" if n_quarantined else ""
    table.add_row("images", f"{result['n_images']} in use, {n_quarantined} quarantined{listed}")
    for warning in result["warnings"]:
        table.add_row("warning", _plain(warning))


def _add_decision(table: Table, decision: dict, metrics: dict[str, dict]) -> None:
    version, alias = decision["challenger_version"], decision["alias"]
    if version:
        registered = f"{decision['model_name']} v{version} ({alias})"
    elif decision["champion_version"]:
        registered = (
            f"nothing registered; champion stays {decision['model_name']} v{decision['champion_version']}"
        )
    else:
        registered = "nothing registered"
    table.add_row("model", _plain(registered))
    table.add_row("decision", f"{decision['outcome'].replace('_', ' ')}: {_plain(decision['reason'])}")
    for check in decision["checks"]:
        if check["kind"] == "gain" and check["low"] is not None:
            table.add_row("gain", f"{_plain(check['name'])}: {interval(check, signed=True)}")
    _add_both(table, decision, metrics.get(decision["metric"]) or {})
    data = decision["data"]
    origins = ", ".join(f"{count} {origin}" for origin, count in data["labels_by_origin"].items())
    table.add_row(
        "data", f"manifest {data['manifest_md5']}, {counted(data['n_images'], 'image')}, labels: {origins}"
    )


def _add_automation(table: Table, evaluation: dict) -> None:
    """Add what the model answers without a person."""
    share = automatic_share(evaluation)
    if why := left_to_a_person(evaluation):
        said = _plain(mid_sentence(why))
        table.add_row("automatic", f"{fact(share)} of the photos, [bold yellow]{said}[/]")
    elif share:
        right = interval(evaluation["selective"]["deferral"]["accuracy"])
        table.add_row("automatic", f"{interval(share)} of the photos, of which {right} are right")


def _add_both(table: Table, decision: dict, challenger: dict) -> None:
    """Add both models' figures: scored on the same images, the champion's is the challenger's less the gain."""
    gains = [check["value"] for check in decision["checks"] if check["kind"] == "gain"]
    if gains and is_number(gains[0]) and is_number(challenger.get("estimate")):
        champion = number(challenger["estimate"] - gains[0])
        table.add_row(
            "",
            f"{_plain(mid_sentence(title_of(decision['metric'])))}: challenger {number(challenger['estimate'])}, "
            f"champion v{decision['champion_version']} {champion}",
        )


def _add_scoring(table: Table, summary: dict) -> None:
    n_logged, n_deferred = summary["n_logged"], summary["n_deferred"]
    table.add_row(
        "model",
        f"champion v{summary['model_version']}: {counted(n_logged, 'prediction')}, {n_deferred} deferred",
    )
    if n_learned := summary["n_learned_from"]:
        table.add_row("", f"{counted(n_learned, 'arrival')} left out: the model learned from them")
    _add_metrics(
        table, f"own test ({counted(summary['own_test']['n'], 'image')})", summary["own_test"]["metrics"]
    )
    if summary["arrivals"] is None:
        table.add_row("arrivals", "no labels are known yet")
    else:
        _add_metrics(
            table,
            f"arrivals ({counted(summary['arrivals']['n'], 'label')} known)",
            summary["arrivals"]["metrics"],
        )
        for name, n in summary["arrivals"]["unknown_classes"].items():
            table.add_row("", f"{n} of them of a class that the model does not know: {_plain(name)}")


def _add_metrics(table: Table, title: str, metrics: dict[str, dict]) -> None:
    texts = [f"{shown} {_figure(metrics[name])}" for name, shown in _SHOWN.items() if name in metrics]
    table.add_row(title, ", ".join(texts))


def _figure(found: dict[str, Any]) -> str:
    """Write an interval, or why there is none."""
    return interval(found) + (f" ({_plain(found['reason'])})" if "reason" in found else "")


def _table() -> Table:
    from rich.box import SIMPLE
    from rich.table import Table

    table = Table(box=SIMPLE, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)
