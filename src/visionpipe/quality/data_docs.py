"""Great Expectations' Data Docs as HTML that a page of ours can hold.

Its own site loads styles and scripts from seven hosts, a logo from an eighth, and stamps every page with the
time. Here its renderers give the sections alone; `visionpipe.reports.validation_page` puts them into a page with no
script, no clock, and a content security policy under which even a class named `<img src=...>` can fetch nothing.
"""

from __future__ import annotations

import copy
import html
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from great_expectations.core import ExpectationSuiteValidationResult, ExpectationValidationResult

_SECTIONS = """\
{% for section in sections %}
{% set section_loop = loop -%}
{% include 'section.j2' %}
{% endfor %}
"""


def render_sections(verdicts: dict[str, ExpectationSuiteValidationResult]) -> dict[str, str]:
    """Return, for each table, its expectations and what was found as HTML; the same verdicts give the same text.

    Parameters
    ----------
    verdicts
        Table name -> what its checkpoint found.
    """
    from great_expectations.render.renderer import ValidationResultsPageRenderer
    from great_expectations.render.view import DefaultJinjaPageView
    from jinja2 import ChoiceLoader, DictLoader

    view = DefaultJinjaPageView()
    view.env.loader = ChoiceLoader([DictLoader({"sections.j2": _SECTIONS}), view.env.loader])
    # its own are drawn at random, and no page needs them
    view.env.filters["generate_html_element_uuid"] = lambda prefix="": prefix
    template = view.env.get_template("sections.j2")
    rendered = {}
    for table, verdict in verdicts.items():
        verdict = copy.deepcopy(verdict)
        for check in verdict.results:  # the templates print values and the names of columns raw
            check.result = _escaped(check.result)
            check.expectation_config.kwargs.update(_escaped(_column_of(check)))
        document = ValidationResultsPageRenderer().render(verdict).to_json_dict()
        # the first section is about the run: times, batch ids
        rendered[table] = _fit_for_a_page(template.render(sections=document["sections"][1:]))
    return rendered


def _fit_for_a_page(sections: str) -> str:
    """Drop ids, which repeat from table to table, make headings follow those of the page, and name an empty table."""
    sections = re.sub(r"\bNaN% (not null|unexpected)", "no rows", sections)
    sections = re.sub(r'\sid="[^"]*"', "", sections)
    sections = re.sub(r"<(/?)h5", r"<\1h3", sections)
    return re.sub(r"<th\b(?!ead)", '<th scope="col"', sections)


def _column_of(check: ExpectationValidationResult) -> dict[str, Any]:
    return {key: value for key, value in check.expectation_config.kwargs.items() if key == "column"}


def _escaped(value: Any) -> Any:
    """Escape all text, also the keys: in the rows of a result they are names of columns."""
    if isinstance(value, str):
        return html.escape(value)
    if isinstance(value, list):
        return [_escaped(item) for item in value]
    if isinstance(value, dict):
        return {_escaped(key): _escaped(item) for key, item in value.items()}
    return value
