"""Stop bad data before anything is trained on it: Great Expectations on the manifest and the quarantine."""

from __future__ import annotations

import logging
import math
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from visionpipe.errors import VisionpipeError
from visionpipe.quality.suites import (
    MANIFEST_COLUMNS,
    QUARANTINE_COLUMNS,
    describe_groups,
    manifest_suite,
    missing_columns_suite,
    quarantine_suite,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pandas as pd
    from great_expectations.core import ExpectationSuiteValidationResult, ExpectationValidationResult
    from great_expectations.expectations.expectation import Expectation

    from visionpipe.quality.parameters import ValidationParameters

EXAMPLE_ROWS = 10
# What an example row must say beside the value, so that it can be understood.
_CONTEXT_COLUMN = {"images_of_class": "label", "splits_of_group": "group_id"}


class ValidationFailed(VisionpipeError):  # noqa: N818 - a verdict on the data, not a defect of the program
    """The data are not fit for training; the text names each failed expectation and up to ten rows of it."""


@dataclass(frozen=True)
class ValidationOutcome:
    """What the expectations said.

    Attributes
    ----------
    success
        True when no expectation failed; warnings don't count.
    failures
        One entry per failed expectation: `expectation`, `column`, `detail`, `rows` (up to ten).
    warnings
        One sentence per advisory expectation that was not met.
    result
        All of the above and every expectation with its numbers, fit for JSON.
    docs
        Great Expectations' Data Docs, path in the site -> bytes; `index.html` needs no network.
    """

    success: bool
    failures: list[dict[str, Any]]
    warnings: list[str]
    result: dict[str, Any]
    docs: dict[str, bytes]

    def raise_if_failed(self) -> None:
        """Raise `ValidationFailed` unless the data passed."""
        require_success(self.result)


def require_success(result: dict[str, Any]) -> None:
    """Raise `ValidationFailed` unless `result` (`ValidationOutcome.result`, or its JSON read back) passed.

    Examples
    --------
    >>> require_success({"success": True, "failures": []})
    >>> failure = {"expectation": "expect_column_values_to_be_between", "column": "width",
    ...            "detail": "width is 1 or more: not so in 1 of 3 rows",
    ...            "rows": [{"image_id": "ab12", "width": 0}]}
    >>> try:
    ...     require_success({"success": False, "failures": [failure]})
    ... except ValidationFailed as error:
    ...     print(error)
    1 expectation on the data failed; nothing was trained
      expect_column_values_to_be_between: width is 1 or more: not so in 1 of 3 rows
        image_id=ab12, width=0
    """
    if result["success"]:
        return
    n_failures = len(result["failures"])
    noun = "expectation" if n_failures == 1 else "expectations"
    lines = [f"{n_failures} {noun} on the data failed; nothing was trained"]
    for failure in result["failures"]:
        lines.append(f"  {failure['expectation']}: {failure['detail']}")
        lines += [
            "    " + ", ".join(f"{key}={value}" for key, value in row.items()) for row in failure["rows"]
        ]
    raise ValidationFailed("\n".join(lines))


def validate_manifest(
    manifest: pd.DataFrame, quarantine: pd.DataFrame, parameters: ValidationParameters
) -> ValidationOutcome:
    """Judge manifest and quarantine, each by its own suite and checkpoint.

    Parameters
    ----------
    manifest
        One row per image in the store: `MANIFEST_COLUMNS` and the attribute columns. Not changed.
    quarantine
        One row per refused input: source, path, reason, detail, n_bytes, sha256. Not changed.
    parameters
        The limits.

    Returns
    -------
    ValidationOutcome
        Bad data are no exception here, for the reports must be kept; `raise_if_failed` makes them one.
        The same tables and parameters give the same bytes.
    """
    from visionpipe.quality.data_docs import render_data_docs

    if set(MANIFEST_COLUMNS) <= set(manifest.columns):
        frame = describe_groups(manifest)
        suite = manifest_suite(frame, parameters)
    else:
        frame, suite = manifest, missing_columns_suite(MANIFEST_COLUMNS)
    if set(QUARANTINE_COLUMNS) <= set(quarantine.columns):
        refusals = quarantine_suite(len(manifest), parameters)
    else:
        refusals = missing_columns_suite(QUARANTINE_COLUMNS)

    with _quiet():
        verdicts = {
            "manifest": _run_checkpoint("manifest", frame, suite, row_key="image_id"),
            "quarantine": _run_checkpoint("quarantine", quarantine, refusals, row_key="path"),
        }
    checks = [
        *(_describe("manifest", check, frame) for check in verdicts["manifest"].results),
        *(_describe("quarantine", check, quarantine) for check in verdicts["quarantine"].results),
    ]
    unmet = [check for check in checks if not check["success"]]
    failures = [
        {key: check[key] for key in ("expectation", "column", "detail", "rows")}
        for check in unmet
        if check["severity"] == "critical"
    ]
    warnings = [check["detail"] for check in unmet if check["severity"] != "critical"]
    result = {
        "success": not failures,
        "n_images": len(manifest),
        "n_quarantined": len(quarantine),
        "failures": failures,
        "warnings": warnings,
        "expectations": checks,
    }
    docs = {"index.html": render_data_docs(verdicts, result)}
    return ValidationOutcome(not failures, failures, warnings, result, docs)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Great Expectations' notes on its own workings out of the log of `kedro run`."""
    logger = logging.getLogger("great_expectations")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def _run_checkpoint(
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


def _describe(table: str, check: ExpectationValidationResult, frame: pd.DataFrame) -> dict[str, Any]:
    """Return one expectation and its outcome as plain JSON values."""
    plain = check.to_json_dict()
    config, result = plain["expectation_config"], plain["result"]
    column = config["kwargs"].get("column")
    rows = result.get("partial_unexpected_index_list") or []
    context_column = _CONTEXT_COLUMN.get(column)
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
        "observed": _json_value(result.get("observed_value")),
        "rows": _json_value(rows),
    }


def _json_value(value: Any) -> Any:
    """Return a value that every JSON reader takes: NaN becomes null, infinity a word."""
    if isinstance(value, dict):
        return {str(key): _json_value(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_json_value(item) for item in value]
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
    text = f"not so in {result['unexpected_count']:,} of {result['element_count']:,} rows"
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
