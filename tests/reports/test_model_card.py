"""A model card says all that is known of a model, the same in HTML and Markdown, and shows text from data safely."""

import hashlib
import json
import re
import subprocess

import pytest
import yaml

from card_facts import HASHES, card_decision, card_facts, found
from visionpipe.errors import VisionpipeError
from visionpipe.metrics.slices import LOWER, NO_SHORTFALL, TOO_FEW
from visionpipe.promotion.decision import Decision
from visionpipe.reports.card_markdown import escaped
from visionpipe.reports.model_card import card_papers, model_card

OPTIONAL = ("examination", "validation", "privacy", "environment", "written_on", "weights_sha256")
HOSTILE = [
    "<script>alert(1)</script>",
    "[x](javascript:alert(1))",
    "a|b\n# heading",
    "![x](https://evil.example/x.png)",
    "{{ 7 * 7 }}",
    "`rm -rf /`",
]


def said(card, parse):
    """Return the texts of both, blanks made one."""
    return parse(card.html).text, " ".join(card.markdown.replace("\\", "").replace("\u00a0", " ").split())


@pytest.mark.parametrize(
    "text",
    [
        "cells version 7",
        "Finds defective solar cells before they are soldered.",
        "Quality team, cells@example.invalid",
        "Modules that are already on a roof.",
        "legitimate interest",
        "0.860 (0.830–0.890)",  # balanced accuracy
        "0.5 is guessing. Positive class: functional.",  # AUROC
        "champion, version 6",
        "+0.034 (+0.010 to +0.058)",  # the gain
        "recall[defective] >= 0.5",
        "1.7 times on average, 40 of 270 never; comparison 3 of 12 planned",
        "Module = B, accuracy 0.610 (0.410–0.810)",
        "too few images to judge",
        "Half cells have never been tried.",
        "1,074 import, 20 review",
        *HASHES.values(),
        f"git checkout {'e' * 40}",
        "visionpipe trace models:/cells/7",
        "d" * 64,
        "13.6 MB",
        "9.8 ms",
        "2025-11-03 to 2025-12-19",
        "2.11.0",
        "2026-01-06",
    ],
)
def test_the_page_and_the_markdown_both_say_it(text, parse):
    html, markdown = said(model_card(card_facts(), card_decision()), parse)
    assert text in html
    assert text in markdown


def test_both_have_the_same_sections_in_the_same_order(parse):
    card = model_card(card_facts(), card_decision())
    titles = re.findall(r"^## (.+)$", card.markdown, re.MULTILINE)
    parts = [f"#part-{i + 1}" for i in range(len(titles))]
    assert [a["href"] for a in parse(card.html).all("a")] == ["index.html", *parts]
    assert re.findall(r"<h2>(.+?)</h2>", card.html) == titles


@pytest.mark.parametrize("absent", [*((name,) for name in OPTIONAL), OPTIONAL])
def test_a_part_that_is_not_there_leaves_the_card_whole(absent, parse):
    html, markdown = said(model_card(card_facts(**dict.fromkeys(absent)), card_decision()), parse)
    for text in (html, markdown):
        assert "None" not in text
        assert "cells version 7" in text


def test_an_evaluation_and_a_decision_of_an_older_version_are_enough(parse):
    evaluation = card_facts()["evaluation"]
    for key in ("slice_pairs", "worst_slice", "slices", "demo_notice"):
        del evaluation[key]
    for each in evaluation["per_class"].values():
        del each["verdict"]
    decision = card_decision(wear=None)
    del decision["wear"], decision["demo_notice"]
    html, _ = said(model_card(card_facts(evaluation=evaluation, examination=None), decision), parse)
    assert "0.870 (0.840–0.900)" in html


def test_what_nobody_stated_is_said_to_be_missing(parse):
    html, markdown = said(model_card(card_facts(card={}), card_decision()), parse)
    for text in (html, markdown):
        assert "Not stated: what it is for, who answers for it, its intended use" in text
        assert "promotion.card.owner" in text


@pytest.mark.parametrize(
    ("changes", "limit"),
    [
        ({}, "Too few test images to judge by: defective (12)."),
        ({}, "Its confidence is not what comes true"),
        ({}, "Blur costs accuracy from strength 3 of 5 on: 0.710 (0.610–0.810) there."),
        ({}, "when FGSM may change each pixel by 0.5/255"),
        ({}, "The label can be told from border of the photo alone"),
        ({}, "2 photos carry labels that contradict each other."),
        ({}, "Whether the champion was better could not be judged for: J[functional]."),
        ({"provenance": {"git_commit": "f" * 40, "git_dirty": "true"}}, "made by code that no commit holds"),
        ({"provenance": {"git_commit": "unknown (not a git checkout)"}}, "unknown (not a git checkout)"),
    ],
)
def test_a_weakness_that_was_measured_stands_among_the_limits(changes, limit, parse):
    html, _ = said(model_card(card_facts(), card_decision(**changes)), parse)
    limits = html.partition("Known limits Half cells")[2].partition("Where it is weaker")[0]
    assert limit in limits


@pytest.mark.parametrize(("verdict", "is_weak"), [(LOWER, True), (NO_SHORTFALL, False), (TOO_FEW, False)])
def test_a_class_is_called_weak_where_the_evaluation_has_judged_it_so(verdict, is_weak, parse):
    facts = card_facts()  # its interval ends below the accuracy of all: at the plain level it would be weak
    facts["evaluation"]["per_class"]["defective"] |= {"n": 40, "recall": found(0.58, 0.2), "verdict": verdict}
    html, _ = said(model_card(facts, card_decision()), parse)
    assert ("Weak on class defective: recall 0.580 (0.380–0.780)." in html) is is_weak
    assert ("Too few test images to judge by: defective" in html) is (verdict == TOO_FEW)


@pytest.mark.parametrize(
    ("wear", "said_of_it"),
    [
        ({"mean_uses": 0.0, "n_fresh": 270, "comparison": 1}, "never; comparison 1 of 12 planned"),
        ({"mean_uses": 1.0, "n_fresh": 0}, "1.0 time on average, 0 of 270 never; comparison 3 of 12 planned"),
    ],
)
def test_how_often_the_test_images_were_used_is_plain_english(wear, said_of_it, parse):
    decision = card_decision()
    decision["wear"] |= wear
    html, markdown = said(model_card(card_facts(), decision), parse)
    assert f"Test images used before {said_of_it}" in html
    assert f"Test images used before: {said_of_it}" in markdown


def test_a_class_keeps_its_spelling_where_parts_are_compared(parse):
    facts = card_facts()
    facts["evaluation"]["slice_pairs"][0] |= {"metric": "recall[mono_crack]"}
    html, markdown = said(model_card(facts, card_decision()), parse)
    assert "Recall of mono_crack" in html
    assert "Recall of mono_crack" in markdown


def test_a_notice_on_the_data_stands_in_the_head_of_the_page(parse):
    facts = card_facts()
    facts["evaluation"]["demo_notice"] = "Demo: all is simulated."
    text = parse(model_card(facts, card_decision()).html).text
    assert text.index("Demo: all is simulated.") < text.index("Known limits")


def test_what_was_measured_and_is_no_weakness_is_no_limit(parse):
    facts = card_facts()
    facts["evaluation"]["metrics"]["ece"]["low"] = 0.0
    facts["examination"]["surely_worse_from"]["blur"] = None
    html, _ = said(model_card(facts, card_decision()), parse)
    limits = html.partition("Known limits Half cells")[2].partition("Where it is weaker")[0]
    assert "Blur costs" not in limits
    assert "not what comes true" not in limits
    assert "file size" not in limits


@pytest.mark.parametrize(
    ("changes", "title", "tone"),
    [
        ({}, "cells version 7", "good"),
        (
            {"challenger_version": None, "alias": None, "outcome": "reject"},
            "cells: a candidate that was refused",
            "bad",
        ),
        (
            {"challenger_version": None, "alias": None, "outcome": "insufficient_evidence"},
            "cells: a candidate that is not",
            "wait",
        ),
    ],
)
def test_the_verdict_is_up_front(changes, title, tone):
    html = model_card(card_facts(), card_decision(**changes)).html
    assert f'verdict {tone}"' in html
    assert title in html.partition("<h1>")[2].partition("</h1>")[0]


def test_a_challenger_that_waits_is_not_said_to_be_in_use(parse):
    html, _ = said(model_card(card_facts(), card_decision(alias="challenger")), parse)
    assert "until somebody approves it" in html
    assert "Made champion" not in html


def test_the_papers_of_a_version_are_its_card_with_the_verdict_of_the_moment():
    decision = Decision(
        outcome="promote", reason="Proven better.", checks=[], n_test_images=270, images_needed=None,
        champion_version="6", metric="accuracy",
    )  # fmt: skip
    about = {key: card_decision()[key] for key in ("model_name", "data", "provenance")}
    papers = card_papers(card_facts(), about)(decision)
    assert set(papers) == {"model_card.html", "model_card.md"}
    assert all("Proven better." in text and HASHES["store_md5"] in text for text in papers.values())
    assert "not registered" not in papers["model_card.md"]


def test_facts_that_are_missing_are_named():
    with pytest.raises(VisionpipeError, match="composition missing"):
        model_card(card_facts(composition=None), card_decision())


@pytest.mark.parametrize("text", HOSTILE)
def test_text_from_data_is_shown_and_never_obeyed(text, parse):
    facts = card_facts()
    facts["card"] |= {"purpose": text, "out_of_scope": [text], "limitations": [text]}
    facts["evaluation"] |= {
        "demo_notice": text,
        "per_class": {text: facts["evaluation"]["per_class"]["defective"]},
    }
    facts["composition"]["attributes"] = {text: {text: 3}}
    facts["environment"]["system"] = {text: text}
    decision = card_decision(reason=text, model_name=text)
    decision["checks"][1]["name"] = text
    card = model_card(facts, decision)
    page = parse(card.html)
    assert not page.all("script")
    assert not page.all("img")
    assert " ".join(text.split()) in page.text
    outside_code = re.sub(r"```sh\n.*?\n```", "", card.markdown, flags=re.DOTALL)
    assert "<script" not in outside_code
    assert not re.search(r"(?<!\\)\]\(", outside_code), "no link and no picture"
    assert not re.search(r"^# heading", outside_code, re.MULTILINE)
    assert escaped(text) in outside_code


def test_the_commands_repeat_the_options_of_the_run():
    options = "--env gpu --params 'training.epochs=3,ingestion.split.seed=two words'"
    provenance = {**card_decision()["provenance"], "run_options": options}
    lines = model_card(card_facts(), card_decision(provenance=provenance)).markdown.splitlines()
    assert f"kedro run --pipelines training,evaluation {options}" in lines
    assert (
        "kedro run --pipelines training,evaluation"
        in model_card(card_facts(), card_decision()).markdown.splitlines()
    )


def test_the_options_cannot_add_a_command():
    provenance = {**card_decision()["provenance"], "run_options": "--env x; touch pwned"}
    code = model_card(card_facts(), card_decision(provenance=provenance)).markdown
    assert "kedro run --pipelines training,evaluation --env 'x;' touch pwned" in code


def test_a_model_that_answers_unrelated_pictures_by_itself_has_that_limit():
    facts = card_facts()
    shown = facts["examination"]["out_of_distribution"]
    limit = "It answers most unrelated pictures by itself"
    assert limit not in model_card(facts, card_decision()).markdown
    shown["deferred"] = found(0.0) | {"low": 0.0, "high": 0.06}
    assert limit in model_card(facts, card_decision()).markdown


def test_the_commands_bring_back_what_conf_local_said(tmp_path):
    said = {"training": {"views": ["identity"], "calibration": {"costs": {"it's; touch pwned": {"b": 2}}}}}
    provenance = {**card_decision()["provenance"], "local_settings": json.dumps(said)}
    code = model_card(card_facts(), card_decision(provenance=provenance)).markdown
    (line,) = [line for line in code.splitlines() if "conf/local/parameters.yml" in line]
    subprocess.run(["bash", "-ec", line], cwd=tmp_path, check=True)
    assert [path.name for path in tmp_path.iterdir()] == ["conf"]
    assert yaml.safe_load((tmp_path / "conf/local/parameters.yml").read_text()) == said


def test_a_model_name_cannot_add_a_command():
    code = model_card(card_facts(), card_decision(model_name="x; touch pwned")).markdown
    assert "visionpipe trace 'models:/x; touch pwned/7'" in code


def test_the_hash_of_the_weights_can_be_checked_as_the_card_says(tmp_path):
    weights = tmp_path / "data/06_models/candidate/weights.safetensors"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"weights")
    sha256 = hashlib.sha256(b"weights").hexdigest()
    code = model_card(card_facts(weights_sha256=sha256), card_decision()).markdown
    (line,) = [line for line in code.splitlines() if line.endswith("sha256sum -c")]
    done = subprocess.run(line, shell=True, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "data/06_models/candidate/weights.safetensors: OK\n"


def test_the_same_facts_give_the_same_card():
    assert model_card(card_facts(), card_decision()) == model_card(card_facts(), card_decision())
