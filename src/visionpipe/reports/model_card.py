"""The model card: one page on what a model is for, what it was made from, how good it is and how to make it again.

After Mitchell et al., Model Cards for Model Reporting (FAT* 2019). Pure functions: HTML and Markdown come from the
same sections (`card_sections`, `card_findings`, `card_limits`), so that neither says what the other does not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from visionpipe.errors import VisionpipeError
from visionpipe.reports import card_findings, card_sections
from visionpipe.reports.automation import automatic_share, left_to_a_person
from visionpipe.reports.card_blocks import Bullets, Section
from visionpipe.reports.card_limits import known_limits
from visionpipe.reports.card_markdown import markdown_of
from visionpipe.reports.rendering import render
from visionpipe.reports.standing import standing
from visionpipe.reports.wording import fact, interval, number, title_of

_REQUIRED = ("card", "evaluation", "composition")
_FILES = ("model_card.html", "model_card.md")


class Verdict(Protocol):
    """A decision of the gate."""

    def as_dict(self) -> dict[str, Any]:
        """Return it as decision.json holds it."""
        ...


@dataclass(frozen=True)
class ModelCard:
    """The same card twice.

    Attributes
    ----------
    html : str
        A self-contained page.
    markdown : str
        GitHub-flavoured Markdown.
    """

    html: str
    markdown: str


def model_card(facts: Mapping[str, Any], decision: Mapping[str, Any]) -> ModelCard:
    """Write the card of a model.

    Parameters
    ----------
    facts
        Must hold `card` (the fields of `CardParameters`), `evaluation` (as evaluation.json holds it) and
        `composition` (of `visionpipe.images.composition`). May hold `examination`, `validation` (as their JSON
        files hold them), `privacy` (the fields of `PrivacyParameters`), `environment` (of
        `visionpipe.lineage.environment`), `written_on` (`YYYY-MM-DD`) and `weights_sha256`.
    decision
        As decision.json holds it: the gate's verdict with `model_name`, `challenger_version`, `alias`, `data` and
        `provenance`. With `filed_with_version: True` it is the copy that the registry keeps with a version whose
        number is not known while it is written.

    Returns
    -------
    ModelCard

    Raises
    ------
    VisionpipeError
        When a fact that is required is missing.
    """
    if missing := [key for key in _REQUIRED if key not in facts]:
        raise VisionpipeError(f"model card: {', '.join(missing)} missing; the card cannot be written without")
    evaluation, examination = facts["evaluation"], facts.get("examination") or {}
    sections = [
        card_sections.purpose(facts["card"]),
        card_findings.the_decision(decision),
        card_findings.how_good(evaluation),
        Section("Known limits", [Bullets(known_limits(facts, decision))]),
        card_findings.where_weaker(evaluation),
        card_findings.elsewhere(examination),
        card_sections.the_model(evaluation, examination),
        card_sections.data(
            facts["composition"],
            decision.get("data") or {},
            facts.get("validation") or {},
            evaluation.get("demo_notice"),
        ),
        card_sections.privacy(facts.get("privacy") or {}),
        card_sections.reproduce(decision, facts.get("weights_sha256")),
        card_sections.environment(facts.get("environment") or {}),
    ]
    content = {
        "title": _title(decision),
        "written_on": facts.get("written_on"),
        "why": _why(decision),
        "tiles": _tiles(facts, decision),
        "sections": [section for section in sections if section is not None and section.blocks],
    }
    warned = decision["outcome"] == "promote" and left_to_a_person(evaluation)
    filed = bool(decision.get("filed_with_version"))
    html = render(
        "model_card.html",
        tone="warn" if warned else card_findings.OUTCOMES[decision["outcome"]][0],
        filed=filed,  # away from the other pages, and before anybody knows what becomes of it
        standing=None if filed else standing(decision),
        demo_notice=evaluation.get("demo_notice"),
        **content,
    )
    return ModelCard(html, markdown_of(**content))


def card_papers(facts: Mapping[str, Any], about: Mapping[str, Any]) -> Callable[[Verdict], dict[str, str]]:
    """Return the function by which the registry writes the card that it files with a version.

    Parameters
    ----------
    facts
        As in `model_card`.
    about
        What decision.json holds besides the verdict: `model_name`, `data`, `provenance`.

    Returns
    -------
    callable
        Decision -> file name -> text.
    """

    def papers(decision: Verdict) -> dict[str, str]:
        card = model_card(facts, {**about, **decision.as_dict(), "filed_with_version": True})
        return dict(zip(_FILES, (card.html, card.markdown), strict=True))

    return papers


def _title(decision: Mapping[str, Any]) -> str:
    name, version = decision.get("model_name") or "Model", decision.get("challenger_version")
    if version:
        return f"{name} version {version}"
    if decision.get("filed_with_version"):
        return name
    return f"{name}: a candidate that {'was refused' if decision['outcome'] == 'reject' else 'is not registered'}"


def _why(decision: Mapping[str, Any]) -> str:
    said = {
        "champion": "Made champion by this run; a later approval or rollback is not shown here. ",
        "challenger": "Held as challenger by this run, until somebody approves it: that is not shown here. ",
    }
    if decision.get("filed_with_version"):
        known = (
            "Filed with its version in the model registry, which knows its number and whether it is in use. "
        )
    else:
        known = said.get(str(decision.get("alias")), "")
    return known + decision["reason"]


def _tiles(facts: Mapping[str, Any], decision: Mapping[str, Any]) -> dict[str, str]:
    evaluation, composition = facts["evaluation"], facts["composition"]
    names = dict.fromkeys(["accuracy", decision.get("metric"), "auroc"])
    tiles = {
        title_of(name): interval(evaluation["metrics"][name])
        for name in names
        if name and name in evaluation["metrics"]
    }
    if (automatic := automatic_share(evaluation)) is not None:
        tiles["Answered without a person"] = fact(automatic)
    trained = sum((composition["by_class"].get("train") or {}).values())
    tiles["Photos learned from"] = number(trained)
    tiles["Photos tested on"] = number(evaluation["n"])
    return tiles
