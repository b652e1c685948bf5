"""The pages of validation and of the label audit: what they say, and that nothing in them can do harm."""

import re
from itertools import pairwise

import numpy as np
import pytest

from quality_tables import arrivals, judge, make_history, make_manifest
from visionpipe.reports.label_pages import agreement_in_words, label_audit_page, validation_page

EVIL = "<img src=http://evil.example/x.png>"


def measured(statistic="krippendorff_alpha", estimate=0.9, low=0.85, high=0.95, annotators=()):
    return {
        "statistic": statistic,
        "estimate": estimate,
        "low": low,
        "high": high,
        "level": 0.95,
        "n_images": 40,
        "annotators": list(annotators),
        "reason": None,
    }


def a_dispute(number=0, settled=False, label="cat", path="photos/a.jpg"):
    return {
        "image_id": f"{number:064x}",
        "source": "farm",
        "path": path,
        "claims": [
            {"annotator": "ann", "label": label, "origin": "import"},
            {"annotator": "bob", "label": "dog", "origin": "review"},
        ],
        "label": label,
        "settled": settled,
    }


def a_doubt(number=0, label="cat", path="photos/b.jpg"):
    return {
        "image_id": f"{number + 100:064x}",
        "path": path,
        "label": label,
        "suggested_label": "dog",
        "self_confidence": 0.031,
        "split": "test",
    }


def an_audit(n_issues=2, not_judged=None):
    return {
        "n_images": 60,
        "n_judged": 58,
        "n_issues": n_issues,
        "agreement_with_model": 0.9,
        "per_class": {"cat": {"n_judged": 30, "n_issues": n_issues}, "dog": {"n_judged": 28, "n_issues": 0}},
        "confusions": [{"label": "cat", "suggested_label": "dog", "n": n_issues}] * bool(n_issues),
        "agreement": {
            "krippendorff_alpha": measured(),
            "kappas": [measured("cohen_kappa", 0.7, 0.5, 0.75, ("ann", "bob"))],
            "not_judged": not_judged,
        },
    }


@pytest.fixture(scope="module")
def outcomes():
    bad = make_manifest().assign(width=0)
    bad.loc[0, "label"] = EVIL
    second = make_history(make_manifest()).assign(annotator="table", label_confidence=0.5)
    second.loc[0, "label"] = "defective"
    import pandas as pd

    both = pd.concat([make_history(make_manifest()), second], ignore_index=True)
    return {
        "good": judge(make_manifest()),
        "bad": judge(bad),
        "disputed": judge(make_manifest(), history=both, agreement={"min_alpha": 0.5}),
    }


@pytest.fixture(scope="module")
def pages(outcomes):
    made = {name: validation_page(each.result, each.sections) for name, each in outcomes.items()}
    thumbnails = {a_dispute()["image_id"]: b"\xff\xd8\xff", a_doubt()["image_id"]: b"\xff\xd8\xff"}
    return made | {
        "audit": label_audit_page(an_audit(), [a_dispute()], [a_doubt(0), a_doubt(1)], thumbnails),
        "nothing": label_audit_page(an_audit(0), [], [], {}),
        "evil": label_audit_page(
            an_audit(), [a_dispute(label=EVIL, path=EVIL)], [a_doubt(label=EVIL, path=EVIL)], {}
        ),
    }


def test_they_open_without_a_network_and_run_nothing(pages, parse):
    for name, html in pages.items():
        page = parse(html)
        tags = {tag for tag, _ in page.elements}
        assert not tags & {"script", "link", "iframe", "object", "form"} - {"link"}, name
        for tag, attributes in page.elements:
            assert not [each for each in attributes if each.startswith("on")], (name, tag)
            assert attributes.get("src", "data:image/").startswith("data:image/"), name
        hrefs = {a["href"] for a in page.all("a")}
        assert hrefs <= {
            "../index.html",
            "index.html",
            "#agreement",
            "#disagreements",
            "#doubtful",
            "#classes",
        }
        (policy,) = [m["content"] for m in page.all("meta") if "http-equiv" in m]
        assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
        assert not re.search(r"url\(|@import", page.style)


def test_text_from_the_data_is_shown_and_does_nothing(pages, parse):
    for name in ("bad", "evil"):
        assert EVIL in parse(pages[name]).text
        assert EVIL not in pages[name]


@pytest.mark.parametrize(
    ("values", "limits"),
    [
        ("shared", {"group_by": EVIL}),
        ("numbers", {"ranges": {EVIL: {"min": 50}}}),
        ("words", {"ranges": {EVIL: {"min": 50}}}),
        ("words", {"required_attributes": {EVIL: [EVIL]}}),
        (None, {"required_attributes": {EVIL: ["a"]}}),
        (None, {"ranges": {EVIL: {"min": 1}}}),
    ],
)
def test_a_column_that_is_named_like_markup_does_nothing(values, limits, parse):
    manifest = make_manifest()
    columns = {"shared": "a", "numbers": range(len(manifest)), "words": [f"{EVIL}{n % 3}" for n in range(60)]}
    outcome = judge(manifest.assign(**{EVIL: columns[values]} if values else {}), **limits)
    page = validation_page(outcome.result, outcome.sections)
    assert not outcome.success
    assert EVIL in parse(page).text
    assert EVIL not in page


def test_they_can_be_read_by_a_screen_reader(pages, parse):
    for name, html in pages.items():
        page = parse(html)
        assert len(page.all("h1")) == 1, name
        levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
        assert all(after - before <= 1 for before, after in pairwise(levels)), (name, levels)
        assert all(header.get("scope") in {"col", "row"} for header in page.all("th")), name
        ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
        assert len(ids) == len(set(ids)), name
        targets = [a["href"][1:] for a in page.all("a") if a.get("href", "").startswith("#")]
        assert set(targets) <= set(ids), name


def test_each_leads_back_to_the_index(pages, parse):
    assert parse(pages["good"]).all("a")[0]["href"] == "../index.html"  # it lies in data_docs/
    assert parse(pages["audit"]).all("a")[0]["href"] == "index.html"


def test_the_verdict_on_the_data_comes_first(pages, parse):
    assert "The data passed Every expectation on them is met." in parse(pages["good"]).text
    assert "The data failed: nothing is trained on them" in parse(pages["bad"]).text
    assert "The data passed, with warnings" in parse(pages["disputed"]).text


def test_great_expectations_own_rendering_is_there(pages, parse):
    text = parse(pages["bad"]).text
    assert "unexpected values found" in text
    assert "width is 1 or more: not met by any of 60 rows" in text
    assert "no group has images in two splits" in text
    assert "no annotator is blank" in text


def test_of_an_empty_quarantine_no_share_is_said(pages, parse):
    text = parse(pages["good"]).text
    assert "path is always given no rows" in text
    assert "nan" not in text.lower()


def test_contradictions_are_on_the_page_of_validation(pages, parse):
    text = parse(pages["disputed"]).text
    assert "photos/0.jpg" in text and "folder: functional" in text and "table: defective" in text
    assert "Krippendorff's alpha" in text and "Contradictory labels 1" in text


def test_the_audit_says_who_said_what_and_what_the_model_would_say(pages, parse):
    text = parse(pages["audit"]).text
    assert "2 doubtful labels and 1 contradictory label" in text
    assert "ann: cat" in text and "bob: dog" in text
    assert "Labelled cat (3.1 %), more like dog" in text
    assert "0.900 (0.850–0.950)" in text and "0.700 (0.500–0.750)" in text
    assert "2 could not be" in text


def test_photos_have_one_style_of_name_and_a_reviewed_one_is_not_called_by_the_hour(parse):
    reviewed = a_dispute(7)
    reviewed["path"] = f"{reviewed['image_id']}/ann/2026-04-01T00:00:00+00:00"
    text = parse(label_audit_page(an_audit(), [reviewed, a_dispute()], [a_doubt()], {})).text
    assert "bob: dog 000000000000 no picture ann: cat bob: dog a.jpg" in text  # below the pictures
    assert "test · b.jpg" in text
    assert "2026-04-01T00" not in text


def test_an_audit_without_a_find_says_so(pages, parse):
    text = parse(pages["nothing"]).text
    assert "No label is in doubt" in text and "Contradictions" not in text


def test_agreement_that_cannot_be_judged_has_its_reason(parse):
    audit = an_audit(not_judged="3 images have two annotators or more, 20 needed")
    assert "cannot be judged: 3 images have two" in parse(label_audit_page(audit, [], [], {})).text


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (measured(low=0.8), "reliable"),
        (measured(low=0.7), "fit for tentative conclusions to reliable"),
        (measured(low=0.1, high=0.3), "too low to rely on"),
        (measured("fleiss_kappa", low=-0.2, high=0.1), "worse than chance to slight"),
        (measured("cohen_kappa", low=0.81, high=1.0), "almost perfect"),
        (measured(low=None, high=None), "cannot be said"),
    ],
)
def test_words_are_those_of_the_authors_bands(found, words):
    assert agreement_in_words(found) == words


def test_the_same_values_give_the_same_bytes(outcomes, pages):
    again = judge(make_manifest())
    assert validation_page(again.result, again.sections) == pages["good"]


def test_the_newest_batch_says_that_one_image_of_each_group_was_tested(outcomes, parse):
    batch = {
        "day": "2024-04-01",
        "n_new": 120,
        "n_earlier": 300,
        "reason": None,
        "untested": [],
        "n_new_groups": 12,
        "n_earlier_groups": 150,
        "columns": {},
    }
    outcome = outcomes["good"]
    told = "120 images of 2024-04-01 against 300 earlier ones; tested is one of each group, 12 against 150."
    assert told in parse(validation_page({**outcome.result, "batch": batch}, outcome.sections)).text
    alone = {**batch, "n_new_groups": 120, "n_earlier_groups": 300}
    assert (
        "of each group"
        not in parse(validation_page({**outcome.result, "batch": alone}, outcome.sections)).text
    )


@pytest.mark.parametrize(
    ("strays", "drifted", "told"),
    [
        (False, False, "Stable"),
        (False, True, "Drifted"),
        (True, False, "Outside its range"),
        (True, True, "Outside its range Drifted"),
    ],
)
def test_a_column_outside_its_range_is_not_called_stable(strays, drifted, told, parse):
    """It may have stopped the run, however like the earlier images the others are."""
    now = np.linspace(120.5 if drifted else 100.5, 139.5, 100)
    now[: 15 if strays else 0] = 400.0
    manifest = arrivals(200, 100).assign(brightness=[*np.linspace(100, 140, 200), *now])
    outcome = judge(manifest, batch={"outside_severity": "error"})
    assert outcome.success != strays
    text = parse(validation_page(outcome.result, outcome.sections)).text
    row = text[text.index("Brightness Kolmogorov-Smirnov") :]
    assert row.startswith(f"Brightness Kolmogorov-Smirnov {told} 0."), row[:80]
