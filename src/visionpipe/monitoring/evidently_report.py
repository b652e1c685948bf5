"""Evidently's drift page: pictures of what moved, one file that loads nothing from anywhere."""

from __future__ import annotations

import html
import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd

from visionpipe.counting import counted
from visionpipe.monitoring.alignment import align, is_number_column

MAX_ROWS = 20_000
MAX_CATEGORIES = 30
_SEED = 0
# The browser itself sees to it that the page stays self-contained; Evidently's scripts and styles are inline.
_POLICY = (
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; font-src data:; img-src data: blob:\">"
)
_BANNER = '<p style="font: 16px sans-serif; margin: 16px">{}</p>'


def render_evidently(
    reference: pd.DataFrame, current: pd.DataFrame, features: Sequence[str], *, verdict: str = ""
) -> str:
    """Render Evidently's data drift report of some columns as one self-contained HTML page.

    The page illustrates; `visionpipe.monitoring.drift.detect_drift` decides. Evidently judges each column by
    a rule of its own (p < 0.05 by Kolmogorov-Smirnov, chi-squared or z-test up to 1,000 reference rows, a
    Wasserstein or Jensen-Shannon distance of 0.1 above), so its mark on a column may differ from the verdict.

    Parameters
    ----------
    reference, current : pandas.DataFrame
        What the model knew and what it sees now; of each at most 20,000 rows, drawn at random, are shown.
    features : sequence of str
        Columns to show: numbers, or categories (the 30 most frequent; the others as one). A column that is
        absent or empty in one of the two tables is left out.
    verdict : str
        A sentence to put on top of the page.

    Returns
    -------
    str
        A whole HTML document (about 4 MB: it carries its scripts), whose content security policy forbids the
        browser every request. With nothing to compare, a short page that says so.
    """
    reference, current = _sample(reference), _sample(current)
    given = [name for name in features if name in reference.columns and name in current.columns]
    # A label is a name, even where it is written in digits.
    pairs = {
        name: (reference[name], current[name])
        if name == "predicted_label"
        else align(reference[name], current[name])
        for name in given
    }
    # Evidently divides by n - 1.
    shown = {name: pair for name, pair in pairs.items() if min(column.count() for column in pair) > 1}
    if not shown:
        rows = f"{counted(len(reference), 'reference row')}, {counted(len(current), 'current row')}"
        text = f"{verdict} Nothing to compare: {rows}."
        banner = _BANNER.format(html.escape(text.strip()))
        head = f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">{_POLICY}</head>'
        return f"{head}<body>{banner}</body></html>"
    numbers = [name for name, pair in shown.items() if all(map(is_number_column, pair))]
    columns: dict[str, tuple[pd.Series, pd.Series]] = {}
    for name, pair in shown.items():
        tidy = _tidy_numbers if name in numbers else _tidy_categories
        columns[name.replace("<", "‹")] = tidy(*pair)
    page = _run_evidently(
        pd.DataFrame({name: pair[0] for name, pair in columns.items()}),
        pd.DataFrame({name: pair[1] for name, pair in columns.items()}),
        numbers=[name.replace("<", "‹") for name in numbers],
    )
    page = page.replace("<head>", f"<head>{_POLICY}", 1)
    return page.replace("<body>", f"<body>{_BANNER.format(html.escape(verdict))}", 1) if verdict else page


def _run_evidently(reference: pd.DataFrame, current: pd.DataFrame, numbers: list[str]) -> str:
    with warnings.catch_warnings(), np.errstate(divide="ignore", invalid="ignore"):
        # Both arise while Evidently 0.7.23 is imported (its legacy tests, and litestar, its web server).
        warnings.filterwarnings("ignore", message=r"numpy\.core is deprecated", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"litestar\.")
        from evidently import DataDefinition, Dataset, Report
        from evidently.presets import DataDriftPreset

        definition = DataDefinition(
            numerical_columns=numbers,
            categorical_columns=[name for name in reference.columns if name not in numbers],
        )
        snapshot = Report([DataDriftPreset()]).run(
            Dataset.from_pandas(current, data_definition=definition),
            Dataset.from_pandas(reference, data_definition=definition),
        )
        return snapshot.get_html_str(as_iframe=False)


def _sample(table: pd.DataFrame) -> pd.DataFrame:
    return table if len(table) <= MAX_ROWS else table.sample(MAX_ROWS, random_state=_SEED)


def _tidy_numbers(reference: pd.Series, current: pd.Series) -> tuple[pd.Series, pd.Series]:
    return reference.reset_index(drop=True), current.reset_index(drop=True)


def _tidy_categories(reference: pd.Series, current: pd.Series) -> tuple[pd.Series, pd.Series]:
    # Evidently writes categories into a <script> unescaped: text with "</script>" would run in the browser.
    tidy = [
        column.dropna().astype("str").str.replace("<", "‹", regex=False).reset_index(drop=True)
        for column in (reference, current)
    ]
    kept = pd.concat(tidy).value_counts().index[:MAX_CATEGORIES]
    reference, current = (column.where(column.isin(kept), "(others)") for column in tidy)
    return reference, current
