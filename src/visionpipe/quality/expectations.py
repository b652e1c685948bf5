"""Stop bad data before anything is trained on it: Great Expectations on manifest, quarantine and labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from visionpipe.counting import counted
from visionpipe.errors import VisionpipeError
from visionpipe.quality.facts import add_manifest_figures, agreement_facts
from visionpipe.quality.figures import FigureSheet, add_agreement
from visionpipe.quality.suites import (
    LABEL_COLUMNS,
    LABEL_ORIGINS,
    MANIFEST_COLUMNS,
    QUARANTINE_COLUMNS,
    describe_labels,
    describe_manifest,
    figure_suite,
    label_suite,
    manifest_suite,
    missing_columns_suite,
    quarantine_suite,
)

if TYPE_CHECKING:
    import pandas as pd
    from great_expectations.expectations.expectation import Expectation

    from visionpipe.quality.parameters import ValidationParameters


_PAGE = "data/08_reporting/data_docs/index.html"
"""Where conf/base puts the Data Docs."""


class ValidationFailed(VisionpipeError):  # noqa: N818 - a verdict on the data, not a defect of the program
    """The data are not fit for training; the text names the first failed expectation, and where all of them are."""


@dataclass(frozen=True)
class ValidationOutcome:
    """What the expectations said.

    Attributes
    ----------
    success
        True when no expectation failed; warnings don't count.
    failures
        One entry per failed expectation: `table`, `expectation`, `column`, `detail`, `rows` (up to ten).
    warnings
        One sentence per advisory expectation that was not met.
    result
        All of the above and every expectation with its numbers, fit for JSON.
    sections
        Great Expectations' Data Docs: table -> its expectations as HTML, to be put into a page.
    disagreements
        The images whose labels contradict each other (`visionpipe.quality.votes.list_disagreements`).
    """

    success: bool
    failures: list[dict[str, Any]]
    warnings: list[str]
    result: dict[str, Any]
    sections: dict[str, str]
    disagreements: list[dict[str, Any]]

    def raise_if_failed(self) -> None:
        """Raise `ValidationFailed` unless the data passed."""
        require_success(self.result)


def require_success(result: dict[str, Any]) -> None:
    """Raise `ValidationFailed` unless `result` (`ValidationOutcome.result`, or its JSON read back) passed.

    Examples
    --------
    >>> require_success({"success": True, "failures": []})
    >>> failure = {"expectation": "expect_column_values_to_be_between", "column": "width",
    ...            "detail": "width is 1 or more: not met by 1 of 3 rows",
    ...            "rows": [{"image_id": "ab12", "width": 0}]}
    >>> try:
    ...     require_success({"success": False, "failures": [failure]})
    ... except ValidationFailed as error:
    ...     print(error)
    1 expectation on the data failed, nothing was trained: width is 1 or more: not met by 1 of 3 rows; \
the rows are in data/08_reporting/data_docs/index.html
    """
    if result["success"]:
        return
    first, *others = result["failures"]
    raise ValidationFailed(
        f"{counted(len(others) + 1, 'expectation')} on the data failed, nothing was trained: "
        f"{' '.join(first['detail'].split())}; the rows "
        f"{'and the others are' if others else 'are'} in {_PAGE}"
    )


def validate_tables(
    manifest: pd.DataFrame,
    quarantine: pd.DataFrame,
    label_history: pd.DataFrame,
    stored_images: pd.DataFrame,
    parameters: ValidationParameters,
    *,
    group_by: str | None = None,
) -> ValidationOutcome:
    """Judge manifest, quarantine, label history and figures of them all, each by its own suite and checkpoint.

    Parameters
    ----------
    manifest
        One row per image that may be used: `MANIFEST_COLUMNS` and the attribute columns. Not changed.
    quarantine
        One row per refused input: source, path, reason, detail, n_bytes, sha256. Not changed.
    label_history
        All labels ever given: image_id, label, label_confidence, annotator, labelled_at, origin. Not changed.
    stored_images
        image_id, source and path of each stored image. Not changed.
    parameters
        The limits.
    group_by
        The user's column whose values must not span two splits (`ingestion.split.group_by`).

    Returns
    -------
    ValidationOutcome
        Bad data are no exception here, for the reports must be kept; `raise_if_failed` makes them one.
        The same tables and parameters give the same bytes.
    """
    from visionpipe.images.labels import current_labels
    from visionpipe.quality.checkpoint import describe_check, json_value, quiet, run_checkpoint
    from visionpipe.quality.data_docs import render_sections
    from visionpipe.quality.votes import list_disagreements, measure_agreement

    n_images = len(manifest)
    tables: dict[str, tuple[pd.DataFrame, list[Expectation], str]] = {}  # name -> table, suite, key of a row
    facts, disagreements, labels, sheet = {}, [], None, FigureSheet()
    if has_labels := set(LABEL_COLUMNS) <= set(label_history.columns):
        known = label_history[label_history["origin"].isin(LABEL_ORIGINS)].dropna(
            subset=["image_id", "label"]
        )
        labels = current_labels(known)["label"]
        agreements = measure_agreement(known, manifest, parameters.agreement)
        disagreements = list_disagreements(known, stored_images)
        add_agreement(sheet, agreements, disagreements, parameters.agreement)
        facts |= agreement_facts(agreements, disagreements, parameters.agreement)
    if set(MANIFEST_COLUMNS) <= set(manifest.columns):
        group_by = group_by if group_by in manifest else None
        described = describe_manifest(manifest, labels, group_by=group_by, ranges=parameters.ranges)
        tables["manifest"] = (described, manifest_suite(described, parameters, group_by=group_by), "image_id")
        facts |= add_manifest_figures(sheet, manifest, parameters)
    else:
        tables["manifest"] = (manifest, missing_columns_suite(MANIFEST_COLUMNS), "image_id")
    refused = set(QUARANTINE_COLUMNS) <= set(quarantine.columns)
    suite = quarantine_suite(n_images, parameters) if refused else missing_columns_suite(QUARANTINE_COLUMNS)
    tables["quarantine"] = (quarantine, suite, "path")
    if has_labels:
        tables["labels"] = (describe_labels(label_history, stored_images), label_suite(), "image_id")
    else:
        tables["labels"] = (label_history, missing_columns_suite(LABEL_COLUMNS), "image_id")
    if sheet.limits:
        tables["figures"] = (sheet.table(), figure_suite(sheet), "about")

    with quiet():
        verdicts = {
            name: run_checkpoint(name, frame, suite, row_key=key)
            for name, (frame, suite, key) in tables.items()
        }
    checks = [
        describe_check(name, check, tables[name][0])
        for name, verdict in verdicts.items()
        for check in verdict.results
    ]
    unmet = [check for check in checks if not check["success"]]
    failures = [
        {key: check[key] for key in ("table", "expectation", "column", "detail", "rows")}
        for check in unmet
        if check["severity"] == "critical"
    ]
    warnings = [check["detail"] for check in unmet if check["severity"] != "critical"]
    result = {
        "success": not failures,
        "n_images": n_images,
        "n_quarantined": len(quarantine),
        "n_failures": len(failures),
        "n_warnings": len(warnings),
        **json_value(facts),
        "failures": failures,
        "warnings": warnings,
        "expectations": checks,
    }
    return ValidationOutcome(
        not failures, failures, warnings, result, render_sections(verdicts), disagreements
    )
