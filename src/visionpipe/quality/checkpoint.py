"""One suite on one table: Great Expectations' checkpoint, and its verdict as plain JSON values."""

from __future__ import annotations

import logging
import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from visionpipe.counting import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pandas as pd
    from great_expectations.core import ExpectationSuiteValidationResult, ExpectationValidationResult
    from great_expectations.expectations.expectation import Expectation

EXAMPLE_ROWS = 10


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Great Expectations' notes on its own workings out of the log of `kedro run`."""
    logger = logging.getLogger("great_expectations")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def run_checkpoint(
    table: str, frame: pd.DataFrame, suite: list[Expectation], *, row_key: str
) -> ExpectationSuiteValidationResult:
    """Run one suite on one table; nothing is written and no progress bar is drawn.

    A checkpoint hands the same data frame to all its validation definitions, hence one for each table.
    """
    import great_expectations as gx
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )

    context = gx.get_context(
        mode="ephemeral",
        project_config=DataContextConfig(
            store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
            progress_bars=ProgressBarsConfig(globally=False),
            analytics_enabled=False,
        ),
    )
    asset = context.data_sources.add_pandas("visionpipe").add_dataframe_asset(table)
    definition = context.validation_definitions.add(
        gx.ValidationDefinition(
            name=table,
            data=asset.add_batch_definition_whole_dataframe(table),
            suite=context.suites.add(gx.ExpectationSuite(name=table, expectations=suite)),
        )
    )
    result_format: dict[str, Any] = {
        "result_format": "SUMMARY",
        "partial_unexpected_count": EXAMPLE_ROWS,
        "return_unexpected_index_query": False,
    }
    if row_key in frame:
        result_format["unexpected_index_column_names"] = [row_key]
    checkpoint = context.checkpoints.add(
        gx.Checkpoint(name=table, validation_definitions=[definition], result_format=result_format)
    )
    (verdict,) = checkpoint.run(batch_parameters={"dataframe": frame}).run_results.values()
    return verdict


def describe_check(table: str, check: ExpectationValidationResult, frame: pd.DataFrame) -> dict[str, Any]:
    """Return one expectation and its outcome as plain JSON values."""
    plain = check.to_json_dict()
    config, result = plain["expectation_config"], plain["result"]
    column = config["kwargs"].get("column")
    rows = result.get("partial_unexpected_index_list") or []
    context_column = _context_of(column)
    if context_column and rows:
        key = frame.set_index("image_id")[context_column]
        key = key[~key.index.duplicated()]
        rows = [
            {"image_id": row["image_id"], context_column: key[row["image_id"]], column: row[column]}
            for row in rows
        ]
    else:  # the key first, then the value
        rows = [dict(sorted(row.items(), key=lambda item: item[0] == column)) for row in rows]
    claim = config["meta"]["claim"]
    return {
        "table": table,
        "expectation": config["type"],
        "column": column,
        "claim": claim,
        "severity": config["severity"],
        "success": bool(plain["success"]),
        "detail": claim if plain["success"] else f"{claim}: {_shortfall(plain, frame)}",
        "n_rows": result.get("element_count"),
        "n_unexpected": result.get("unexpected_count"),
        "observed": json_value(result.get("observed_value")),
        "rows": json_value(rows),
    }


def _context_of(column: str | None) -> str | None:
    """Name what an example row must say beside the value, so that it can be understood."""
    if column and column.startswith("splits_by_"):
        return column.removeprefix("splits_by_")
    if column and column.endswith(("_as_number", "_is_number")):
        return column[: -len("_as_number")]
    return {"images_of_class": "label", "splits_of_group": "group_id", "label_is_current": "label"}.get(
        column
    )


def json_value(value: Any) -> Any:
    """Return a value that every JSON reader takes: NaN becomes null, infinity a word."""
    if isinstance(value, dict):
        return {str(key): json_value(item) for key, item in value.items()}
    if isinstance(value, list):
        return [json_value(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value if isinstance(value, str | int | float | None) else str(value)


def _shortfall(plain: dict[str, Any], frame: pd.DataFrame) -> str:
    """Say in what an expectation was not met."""
    result, config, exception = plain["result"], plain["expectation_config"], plain["exception_info"]
    if exception.get("raised_exception") is not False:  # one entry for each metric that failed, then
        messages = {str(entry["exception_message"]) for entry in exception.values()}
        return f"could not be checked ({'; '.join(sorted(messages))})"
    if mismatched := result.get("details", {}).get("mismatched"):
        return "missing " + ", ".join(mismatched["missing"])
    if "partial_missing_list" in result:
        n_missing = result.get("missing_count", 0)
        return "missing " + _first_names(map(str, result["partial_missing_list"]), n_missing)
    if config["type"] == "expect_column_to_exist":
        return "the manifest has no such column"
    if "unexpected_count" not in result:
        return f"found {result.get('observed_value')}"
    n_rows, n_unmet = result["element_count"], result["unexpected_count"]
    how_many = "any" if 1 < n_rows == n_unmet else f"{n_unmet:,}"
    text = f"not met by {how_many} of {counted(n_rows, 'row')}"
    if "kind" in frame:  # a figure about the whole data set
        rows = result["partial_unexpected_index_list"]
        named = [f"{row['about']}: {row['value']:.4g}" for row in rows]
        return _first_names(named, result["unexpected_count"])
    if config["kwargs"].get("column") == "images_of_class":
        n_images = frame["label"].value_counts()
        small = n_images[n_images < config["kwargs"]["min_value"]]
        text += f" ({_first_names((f'{name}: {n}' for name, n in small.items()), len(small))})"
    return text


def _first_names(names: Iterable[str], n_names: int) -> str:
    """List ten names, and say how many more there are.

    >>> _first_names("ba", 2), _first_names("abcdefghijklm", 13)
    ('a, b', 'a, b, c, d, e, f, g, h, i, j and 3 more')
    """
    shown = sorted(names)[:EXAMPLE_ROWS]
    return ", ".join(shown) + (f" and {n_names - len(shown)} more" if n_names > len(shown) else "")
