"""The page on an examination says first how a model fares in trouble, then why, and leaves out what was not done."""

import base64
import copy
import json
import re
from itertools import pairwise

import pytest

from visionpipe.reports.examination_page import examination_page

JPEG = b"\xff\xd8\xff\xe0 not a whole picture"


def interval(estimate, half=0.1):
    ends = {"low": max(0.0, estimate - half), "high": min(1.0, estimate + half)}
    return {"estimate": estimate, **ends, "level": 0.95, "n": 24}


def a_shortcut(name, estimate, verdict):
    return {
        "name": name, "n": 1074, "balanced_accuracy": interval(estimate, 0.03), "guessing": 0.5,
        "majority": 0.66, "verdict": verdict,
    }  # fmt: skip


@pytest.fixture
def examination():
    def falling(*estimates):
        return [{"strength": s, "amount": float(s), **interval(e)} for s, e in enumerate(estimates, 1)]

    detection = {"auroc": interval(0.853), "false_positive_rate": interval(0.55)}
    return {
        "classes": ["defective", "functional"],
        "model": {"backbone": "efficientnet-lite0"},
        "sample": {"n": 24, "accuracy": interval(0.875)},
        "corruptions": {
            "jpeg": falling(0.875, 0.8, 0.8, 0.75, 0.7),
            "fog": falling(0.5, 0.4, 0.3, 0.2, 0.1),
        },
        "corruption_units": {"jpeg": "JPEG quality", "fog": "optical depth"},
        "surely_worse_from": {"jpeg": None, "fog": 3},
        "mean_corruption_accuracy": 0.5425,
        "adversarial": {
            "n": 12,
            "accuracy": interval(0.917),
            "fgsm": [{"epsilon": e, "accuracy": interval(0.75)} for e in (0.5, 1.0)],
            "pgd": [
                {"epsilon": e, "accuracy": interval(share)} for e, share in ((0.5, 0.667), (1.0, 0.083))
            ],
        },
        "out_of_distribution": {
            "n": 60,
            "origin": "drawn: stripes",
            "max_probability": detection,
            "energy": {
                "auroc": {"estimate": None, "low": None, "high": None, "reason": "scores are not finite"},
                "false_positive_rate": None,
            },
            "deferred": interval(0.917),
        },
        "hidden": {"border": 0.15, "majority": 0.667, "centre": interval(0.7), "edge": interval(0.8)},
        "size": {"parameters": 3_373_570, "megabytes": 13.832, "multiply_adds": 282_057_088},
        "speed": {
            "latency_ms_p50": 9.81, "latency_ms_p95": 12.34, "images_per_s": 141.2, "batch_size": 8,
            "threads": 2, "device": "cpu", "n": 50,
        },
        "shortcuts": [
            a_shortcut("border of the photo", 0.75, "predicts the label"),
            a_shortcut("camera", 0.51, "no sign"),
        ],
        "demo_notice": "Demo data.",
    }  # fmt: skip


@pytest.fixture
def mistakes():
    return [
        {"image_id": "f" * 64, "true": "defective", "predicted": "functional", "confidence": 0.98}
        | {"thumbnail": JPEG, "heat": JPEG + b"hot"}
    ]


@pytest.fixture
def examples():
    return {part: [{"caption": part, "thumbnail": JPEG}] for part in ("corruptions", "unrelated", "hidden")}


def test_it_says_first_how_much_is_left_and_where_it_is_weakest(examination, parse):
    text = parse(examination_page(examination)).text
    assert "candidate of this run Right on 87.5 % of photos as they are, on 54.2 % when they go wrong" in text
    assert (
        "24 test images in 2 kinds of trouble at 5 strengths each. Weakest: fog (30.0 % on average)." in text
    )
    assert "The label can be told from something beside the object (border of the photo)" in text
    assert "8.3 % right, when each pixel value may change by 1 of 255" in text
    assert "9.8 ms 95 % within 12.3 ms" in text
    assert "13.8 MB 3,373,570 parameters" in text


def test_a_part_that_is_off_is_named_with_its_parameter(examination, parse):
    assert "Not examined" not in parse(examination_page(examination)).text
    text = parse(examination_page(examination | {"adversarial": None})).text
    assert "Not examined: evaluation.examination.attacked_images is 0" in text


def test_the_line_of_a_guesser_is_the_share_of_the_commonest_class(examination, parse):
    page = parse(examination_page(examination))
    assert "Dashed: what always naming the commonest class would get right, 66.7 %." in page.text
    (drawn,) = [i["src"] for i in page.all("img") if i["alt"].startswith("Accuracy against the strength")]
    assert "commonest class" in base64.b64decode(drawn.partition(",")[2]).decode()
    assert "Dashed:" not in parse(examination_page(examination | {"hidden": None})).text


def test_every_corruption_has_its_row_worst_first(examination, parse):
    text = parse(examination_page(examination)).text
    fog = "Fog 1 to 5 optical depth 50.0 % 40.0 % 30.0 % 20.0 % 10.0 % 30.0 % from strength 3"
    jpeg = "JPEG compression 1 to 5 JPEG quality 87.5 % 80.0 % 80.0 % 75.0 % 70.0 % 78.5 % not shown"
    assert 0 < text.index(fog) < text.index(jpeg)


def test_shortcuts_attacks_and_unrelated_pictures_are_told_with_intervals(examination, parse):
    text = parse(examination_page(examination)).text
    assert "Border of the photo 0.750 (0.720–0.780) 0.500 66.0 % Predicts the label" in text
    assert "Camera 0.510 (0.480–0.540) 0.500 66.0 % No sign" in text
    assert "1 0.750 (0.650–0.850) 0.083 (0.000–0.183)" in text
    assert "0.853 (0.753–0.953) 0.550 (0.450–0.650)" in text
    assert "not judged: scores are not finite —" in text
    assert (
        "the outer 15.0 % on each side are left, it is right on 0.700 (0.600–0.800) of 24 test images" in text
    )


def test_without_a_shortcut_nothing_is_hinted(examination, parse):
    examination["shortcuts"] = [a_shortcut("camera", 0.51, "no sign")]
    page = parse(examination_page(examination))
    assert "beside the object (" not in page.text
    assert any("info" in attributes.get("class", "") for attributes in page.all("header"))


def test_mistakes_are_shown_with_what_was_looked_at(examination, mistakes, parse):
    page = parse(examination_page(examination, mistakes))
    assert "Said functional (98.0 %), labelled defective ffffffffffff" in page.text
    sources = [image["src"] for image in page.all("img")]
    for picture in (mistakes[0]["thumbnail"], mistakes[0]["heat"]):
        assert f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}" in sources
    del mistakes[0]["heat"]
    assert (
        "This network gives no map of where it looked" in parse(examination_page(examination, mistakes)).text
    )


@pytest.mark.parametrize(
    "part", ["adversarial", "out_of_distribution", "hidden", "size", "speed", "shortcuts", "demo_notice"]
)
def test_any_part_may_be_missing_none_or_empty(part, examination):
    examination |= {"corruptions": None} | (
        {} if part == "adversarial" else {"adversarial": None}
    )  # slow plots
    whole = examination_page(examination)
    given = examination.pop(part)
    without = examination_page(examination)
    assert examination_page(examination | {part: None}) == without
    assert examination_page(examination | {part: type(given)()}) == without
    assert len(without) < len(whole)


def test_with_everything_off_the_page_says_so_and_how_to_switch_it_on(parse):
    nothing = {
        "sample": {"n": 0, "accuracy": None},
        "corruptions": None,
        "adversarial": None,
        "shortcuts": None,
    }
    size = {"size": {"parameters": 10, "megabytes": 0.1, "multiply_adds": 100}}
    page = parse(examination_page(nothing | size))
    assert "Nothing was examined beyond the test images Every part is switched off: set images, " in page.text
    assert "shortcut_images or timed_predictions under evaluation.examination above 0." in page.text
    assert not page.all("table")
    assert parse(examination_page({})).all("h1")


def test_a_shortcut_that_was_not_judged_says_why(examination, parse):
    examination["shortcuts"] = [
        {"name": "camera", "n": 9, "balanced_accuracy": None, "guessing": None, "majority": None}
        | {"verdict": "not judged", "reason": "every class needs 5 groups of images or more"}
    ]
    assert "Not judged every class needs 5 groups" in parse(examination_page(examination)).text


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7 * 7 }}"]
)
def test_text_from_data_is_escaped(text, examination, mistakes, examples, parse):
    examination |= {"demo_notice": text}
    examination["shortcuts"][0]["name"] = text
    examination["out_of_distribution"]["origin"] = text
    mistakes[0] |= {"true": text, "predicted": text, "image_id": 12 * "x" + text}
    examples["unrelated"][0]["caption"] = text
    page = parse(examination_page(examination, mistakes, examples))
    assert not page.all("script")
    assert all(image["src"].startswith("data:") for image in page.all("img"))
    assert page.text.count(text) == 7


def test_the_page_is_whole_in_itself_and_can_be_read_aloud(examination, mistakes, examples, parse):
    page = parse(examination_page(examination, mistakes, examples))
    assert not {tag for tag, _ in page.elements} & {"script", "iframe", "object", "embed", "form"}
    assert all(image["src"].startswith("data:image/") and image["alt"].strip() for image in page.all("img"))
    assert len(page.all("h1")) == 1
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert all(header.get("scope") in {"col", "row"} for header in page.all("th"))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    targets = [a["href"][1:] for a in page.all("a") if a["href"].startswith("#")]
    assert set(targets) <= set(ids)
    assert len(ids) == len(set(ids))


def test_the_same_examination_gives_the_same_bytes_and_is_left_as_it_was(examination, mistakes, examples):
    before = copy.deepcopy((examination, mistakes, examples))
    page = examination_page(examination, mistakes, examples)
    assert page == examination_page(json.loads(json.dumps(examination)), mistakes, examples)
    assert repr((examination, mistakes, examples)) == repr(before)
