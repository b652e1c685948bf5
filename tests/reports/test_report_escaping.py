"""Text from data is shown, never obeyed: a class or a file may be called anything."""

import pytest

from visionpipe.reports import pages
from visionpipe.reports.evaluation_page import evaluation_page
from visionpipe.reports.rendering import picture_uri, relative_href

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "{{ 7 * 7 }}{% raw %}",
    "</style></title><iframe src=https://evil.example>",
]


def assert_shown_and_harmless(page, text):
    assert not page.all("script")
    assert not page.all("iframe")
    assert not [a for _, attributes in page.elements for a in attributes if a.startswith("on")]
    assert all(image["src"].startswith("data:") for image in page.all("img"))
    assert text in page.text


@pytest.mark.parametrize("text", HOSTILE)
def test_an_evaluation_escapes_classes_files_slices_and_notes(text, make_evaluation, make_mistakes, parse):
    evaluation = make_evaluation(names=[text, "functional"])
    evaluation |= {"title": text, "notes": [text], "demo_notice": text, "model": {text: text}}
    evaluation["metrics"] |= {text: {"estimate": None, "reason": text}}
    evaluation["slices"] = {text: {text: {"n": 3, "accuracy": {"estimate": None, "reason": text}}}}
    evaluation["worst_slice"]["name"] = text
    evaluation["slice_pairs"][0] |= {"name": text, "metric": f"recall[{text}]", "verdict": text}
    mistakes = make_mistakes(true=text, predicted=text, source_path=f"photos/{text.replace('/', '')}")
    page = parse(evaluation_page(evaluation, mistakes))
    assert_shown_and_harmless(page, text)
    assert text.replace("/", "") in page.text  # the file name
    assert page.text.count(text) >= 10


@pytest.mark.parametrize("text", HOSTILE)
def test_a_decision_escapes_reasons_checks_and_provenance(text, decision, parse):
    decision["checks"] = [check | {"name": text, "detail": text} for check in decision["checks"]]
    decision |= {"reason": text, "metric": text, "challenger_version": text, "provenance": {text: text}}
    assert_shown_and_harmless(parse(pages.decision_page(decision)), text)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_drift_verdict_escapes_features_captions_and_reasons(text, drift_verdict, parse):
    drift_verdict["tests"][0] |= {"feature": text, "shift": text}
    drift_verdict["histograms"][text] = {"bins": [text, "b"], "reference": [1, 0], "current": [0, 1]}
    drift_verdict["sample_current"][0]["caption"] = text
    drift_verdict |= {
        "reason": text,
        "refused_rows": {text: 1},
        "untested": {text: text},
        "model_version": text,
    }
    assert_shown_and_harmless(parse(pages.drift_page(drift_verdict)), text)


@pytest.mark.parametrize("text", HOSTILE)
def test_an_index_escapes_titles_and_facts(text, parse):
    link = {"title": text, "path": f"a/{text}.html", "summary": text, "status": text}
    headline = {"title": text, "summary": text, "status": text, text: text}
    assert_shown_and_harmless(parse(pages.index_page([link], headline)), text)


@pytest.mark.parametrize(
    "path",
    ["javascript:alert(1)", "JavaScript:alert(1)", "https://evil.example/", "//evil.example", "/etc/passwd",
     "data:text/html,x", "\\\\server\\share", "C:\\reports\\a.html", "http://[", "", None],
)  # fmt: skip
def test_only_paths_beside_the_page_become_links(path):
    assert relative_href(path) is None


@pytest.mark.parametrize("path", [" javascript:alert(1)", "java\nscript:alert(1)", "\x01javascript:alert(1)"])
def test_a_scheme_that_a_browser_would_see_past_blanks_is_no_link_to_it(path):
    href = relative_href(path)
    assert href is None or ":" not in href


def test_a_report_link_that_is_no_relative_path_is_shown_as_text(drift_verdict, parse):
    drift_verdict["evidently_report"] = "javascript:alert(1)"
    page = parse(pages.drift_page(drift_verdict))
    assert [a["href"] for a in page.all("a")] == ["index.html"]
    assert "javascript:alert(1)" in page.text


def test_only_pictures_are_embedded_as_pictures(make_evaluation, make_mistakes, parse):
    mistakes = make_mistakes(3)
    mistakes[0]["thumbnail"] = b"<svg onload=alert(1)>"
    mistakes[1]["thumbnail"] = None
    page = parse(evaluation_page(make_evaluation(), mistakes))
    assert len([i for i in page.all("img") if i["src"].startswith("data:image/jpeg")]) == 1
    assert page.text.count("no picture") == 2
    assert picture_uri(b"") is None


def test_an_undecodable_file_name_leaves_a_page_that_can_be_written(make_evaluation, make_mistakes):
    mistakes = make_mistakes(source_path=b"caf\xe9.jpg".decode("utf-8", "surrogateescape"))
    html = evaluation_page(make_evaluation(names=["caf\udce9", "b\x00c"]), mistakes)
    assert "caf?.jpg" in html.encode("utf-8").decode("utf-8")
