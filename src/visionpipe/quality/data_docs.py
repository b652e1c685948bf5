"""Great Expectations' Data Docs as one page that opens without a network.

Its own site loads styles and scripts from seven hosts, a logo from an eighth, and stamps every page with the
time. Here its renderers fill one page of ours: inline styles, no script, no clock, and a content security
policy under which even a class named `<img src=...>` can fetch nothing.
"""

from __future__ import annotations

import copy
import html
from itertools import count
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from great_expectations.core import ExpectationSuiteValidationResult

_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Data validation</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; color: #222;
max-width: 70rem; margin: 2rem auto; padding: 0 1rem }
h2 { margin: 2.5rem 0 .5rem; border-bottom: 1px solid #ccc }
h5 { font-size: 1.05rem; margin: 1.2rem 0 .2rem }
table { border-collapse: collapse; width: 100%; margin: .3rem 0 }
td, th { border: 1px solid #ddd; padding: .25rem .5rem; text-align: left; vertical-align: top }
table table { font-size: .85rem; word-break: break-all }
.badge, code { background: #eee; border-radius: 3px; padding: 0 .3rem; font-family: monospace }
.fas { font-style: normal } .fa-check-circle::before { content: "✔" } .fa-times::before { content: "✘" }
.fa-exclamation-triangle::before { content: "!" }
.text-success { color: #1a7f37 } .text-danger { color: #c1272d } .text-warning { color: #b26a00 }
body:has(#failed:checked) tr:has(> .hide-succeeded-validation-target-child),
body:has(#failed:checked) .ge-section:has(.hide-succeeded-validations-column-section-target-child)
{ display: none }
@media (prefers-color-scheme: dark) {
body { background: #16181b; color: #e4e4e4 } td, th, h2 { border-color: #444 }
.badge, code { background: #333 } }
</style>
</head>
<body>
<h1>Data validation</h1>
{{ summary }}
<p>Show <label><input type="radio" name="show" checked> all expectations</label>
<label><input type="radio" name="show" id="failed"> only those not met</label></p>
{% for table, sections in tables %}
<h2>{{ table }}</h2>
{% for section in sections %}
{% set section_loop = loop -%}
{% include 'section.j2' %}
{% endfor %}
{% endfor %}
</body>
</html>
"""


def render_data_docs(verdicts: dict[str, ExpectationSuiteValidationResult], result: dict[str, Any]) -> bytes:
    """Return the page of all validation results, UTF-8; the same results give the same bytes.

    Parameters
    ----------
    verdicts
        Table name -> what its checkpoint found.
    result
        `ValidationOutcome.result`, for the summary on top.
    """
    from great_expectations.render.renderer import ValidationResultsPageRenderer
    from great_expectations.render.view import DefaultJinjaPageView
    from jinja2 import ChoiceLoader, DictLoader

    tables = []
    for table, verdict in verdicts.items():
        verdict = copy.deepcopy(verdict)
        for check in verdict.results:  # the templates print values raw
            check.result = _escaped(check.result)
        document = ValidationResultsPageRenderer().render(verdict).to_json_dict()
        tables.append((table, document["sections"][1:]))  # the first is about the run: times, batch ids
    view = DefaultJinjaPageView()
    view.env.loader = ChoiceLoader([DictLoader({"page.j2": _PAGE}), view.env.loader])
    numbers = count()
    view.env.filters["generate_html_element_uuid"] = lambda prefix="": f"{prefix}{next(numbers)}"
    template = view.env.get_template("page.j2")
    return template.render(tables=tables, summary=_summary(result)).encode()


def _escaped(value: Any) -> Any:
    if isinstance(value, str):
        return html.escape(value)
    if isinstance(value, list):
        return [_escaped(item) for item in value]
    if isinstance(value, dict):
        return {key: _escaped(item) for key, item in value.items()}
    return value


def _summary(result: dict[str, Any]) -> str:
    verdict = "Passed" if result["success"] else "Failed: nothing is trained on these data"
    colour = "text-success" if result["success"] else "text-danger"
    lines = [
        f'<p><strong class="{colour}">{verdict}.</strong> {len(result["expectations"])} expectations on '
        f"{result['n_images']:,} images and {result['n_quarantined']:,} quarantined inputs; "
        f"failed: {len(result['failures'])}, warnings: {len(result['warnings'])}.</p>"
    ]
    for failure in result["failures"]:
        rows = [", ".join(f"{key}={value}" for key, value in row.items()) for row in failure["rows"]]
        items = "".join(f"<li><code>{html.escape(row)}</code></li>" for row in rows)
        examples = f"<details><summary>example rows</summary><ul>{items}</ul></details>" if rows else ""
        lines.append(f'<p class="text-danger">{html.escape(failure["detail"])}</p>{examples}')
    lines += [f'<p class="text-warning">{html.escape(warning)}</p>' for warning in result["warnings"]]
    return "\n".join(lines)
