"""The pages people read: what the gate decided, whether the world has moved, an index.

Each function is pure: the same values give the same HTML, byte for byte. Each page is one file that asks
nothing of the network, holds no script, prints well and fits a phone. All text from data is escaped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from visionpipe.errors import VisionpipeError
from visionpipe.reports import plots
from visionpipe.reports.findings import blocking_first, is_count, is_difference, level_of_the_gate
from visionpipe.reports.rendering import render, require
from visionpipe.reports.standing import standing
from visionpipe.reports.wording import CHECK_KINDS, counted, is_number, title_of

_OUTCOMES = {
    # outcome: (tone, headline with a champion, headline without one)
    "promote": ("good", "Promote the challenger", "Promote: a first champion"),
    "reject": ("bad", "Keep the champion", "Do not promote"),
    "insufficient_evidence": (
        "wait",
        "Keep the champion: not enough evidence",
        "Not enough evidence to promote",
    ),
}
_WAITING = (
    "wait",
    "The challenger has won and waits for approval (visionpipe approve)",
    "A first champion waits for approval (visionpipe approve)",
)
_STATUS_TONES = {
    "promote": "good", "promoted": "good", "passed": "good", "ok": "good", "no drift": "good",
    "reject": "bad", "rejected": "bad", "failed": "bad", "drift": "bad", "drifted": "bad", "error": "bad",
    "insufficient_evidence": "wait", "proposed": "wait", "warning": "wait", "not judged": "wait",
}  # fmt: skip

_IN_THE_HEAD = {"title", "summary", "status", "as_of", "whose_pages", "champion_now", "tone"}


def decision_page(decision: Mapping[str, Any]) -> str:
    """Return the page on what the promotion gate decided and why, to be understood in ten seconds.

    Parameters
    ----------
    decision
        The gate's decision: `outcome` (promote, reject or insufficient_evidence), `reason`, `metric`,
        `champion_version`, `challenger_version` (either may be None), `n_test_images`, `images_needed`,
        `checks` (mappings of `name`, `kind`, `value`, `low`, `high`, `limit`, `p_value`, `passed`, which is
        None for "open", `detail`, and perhaps `blocking`: False if it may stay open), `provenance` (dict of str),
        `alias` ("challenger": the winner waits for approval), and perhaps `left_to_a_person` (that every
        photo is, and why, without its full stop) and `wear`: how often the test images have
        decided before (`n_images, n_fresh, mean_uses, most_uses, comparison, planned, alpha, spent, fresh_needed,
        worn_out`).

    Returns
    -------
    str
        HTML.

    Raises
    ------
    VisionpipeError
        A required key is missing or the outcome is unknown.
    """
    require(decision, "decision", "outcome", "reason", "checks")
    if decision["outcome"] not in _OUTCOMES:
        raise VisionpipeError(f"decision.outcome: {decision['outcome']!r} is none of {', '.join(_OUTCOMES)}")
    tone, with_champion, without_champion = _OUTCOMES[decision["outcome"]]
    champion = decision.get("champion_version")
    if decision["outcome"] == "promote" and decision.get("alias") == "challenger":
        tone, with_champion, without_champion = _WAITING
    empty = dict.fromkeys(("kind", "value", "low", "high", "limit", "p_value", "passed", "detail"))
    checks = [{**empty, "blocking": True, **check} for check in decision["checks"]]
    for check in checks:
        check["passed"] = None if check["passed"] is None else bool(check["passed"])
        check["difference"], check["counted"] = is_difference(check), is_count(check)
        check["about"] = CHECK_KINDS.get(str(check["kind"]), title_of(check["kind"] or ""))
        check["detail"] = str(check["detail"] or "").removeprefix(f"{check['name']}: ")
    checks.sort(key=blocking_first)
    differences = [
        c for c in checks if c["difference"] and all(is_number(c[k]) for k in ("value", "low", "high"))
    ]
    open_checks = [c for c in checks if c["passed"] is None and c["blocking"]]
    has_champion = champion is not None or bool(differences)
    gains = [c for c in differences if "gain" in str(c["kind"])]
    facts = ("outcome", "reason", "metric", "challenger_version", "n_test_images", "images_needed")
    return render(
        "decision.html",
        **{key: decision.get(key) for key in facts},
        demo_notice=decision.get("demo_notice"),
        left_to_a_person=decision.get("left_to_a_person"),
        tone=tone,
        standing=standing(decision),
        headline=with_champion if has_champion else without_champion,
        has_champion=has_champion,
        champion_version=champion,
        checks=checks,
        gain=gains[0] if gains else None,
        unguarded=[
            {
                **c,
                "detail": c["detail"].removeprefix("too few images to judge: ").removeprefix(f"{c['name']} "),
            }
            for c in checks
            if c["passed"] is None and not c["blocking"] and c["kind"] in ("non_inferiority", "class_change")
        ],
        blocking=[c for c in checks if c["passed"] is False] or (open_checks if tone != "good" else []),
        n_passed=sum(c["passed"] is True for c in checks),
        n_open=len(open_checks),
        n_unjudged=sum(c["passed"] is None and not c["blocking"] for c in checks),
        n_differences=len(differences),
        uses_j=any("Youden" in str(c["name"]) for c in differences),
        forest=plots.forest_plot(differences) if differences else None,
        wear=decision.get("wear"),
        level=level_of_the_gate(decision.get("wear")),
        provenance=decision.get("provenance") or {},
    )


def drift_page(verdict: Mapping[str, Any]) -> str:
    """Return the page on whether production images still look like those the model learned from.

    Parameters
    ----------
    verdict
        Must hold `drifted` (None for "too little to judge"), `reason` and `tests` (mappings of `feature`,
        `test`, `statistic`, `p_value`, `p_adjusted`, `drifted`, `effect`, and perhaps `min_effect` and
        `shift`, the shift in words). May hold `n_reference`, `n_current`, `window` (`from`, `to`),
        `model_version`, `untested` (column -> why), `refused_rows` and `refused_files` (reason ->
        count), `histograms` (feature -> `bins`, `reference`, `current`; `bins` are B + 1 edges, or B category names),
        `evidently_report` (path relative to the page), `sample_reference`, `sample_current` (mappings of `thumbnail`,
        `caption`), and `demo_notice` (a sentence on data that are not real).

    Returns
    -------
    str
        HTML.

    Raises
    ------
    VisionpipeError
        A required key is missing.
    """
    require(verdict, "verdict", "drifted", "reason", "tests")
    empty = dict.fromkeys(
        ("test", "statistic", "p_value", "p_adjusted", "drifted", "effect", "min_effect", "shift")
    )
    tests = sorted(
        ({**empty, **test} for test in verdict["tests"]),
        key=lambda t: (
            not t["drifted"],
            t["p_adjusted"] if is_number(t["p_adjusted"]) else 2,
            str(t["feature"]),
        ),
    )
    histograms = verdict.get("histograms") or {}
    order = {test["feature"]: place for place, test in reversed(list(enumerate(tests)))}
    optional = ("n_reference", "n_current", "model_version", "evidently_report", "demo_notice")
    return render(
        "drift.html",
        **{key: verdict.get(key) for key in optional},
        drifted=None if verdict["drifted"] is None else bool(verdict["drifted"]),
        reason=verdict["reason"],
        window=verdict.get("window") or {},
        tests=tests,
        n_drifted=sum(bool(test["drifted"]) for test in tests),
        left_out=[
            (reason, counted(count, noun))
            for noun in ("row", "file")
            for reason, count in (verdict.get(f"refused_{noun}s") or {}).items()
        ],
        untested=verdict.get("untested") or {},
        histograms=[
            {
                "feature": feature,
                "test": tests[order[feature]] if feature in order else None,
                "plot": plots.histogram_pair(
                    found["bins"], found["reference"], found["current"], feature=str(feature)
                ),
            }
            for feature, found in sorted(
                histograms.items(), key=lambda h: (order.get(h[0], len(tests)), h[0])
            )
        ],
        samples=[
            (name, verdict[key])
            for name, key in (("Reference", "sample_reference"), ("Current window", "sample_current"))
            if verdict.get(key)
        ],
    )


def index_page(links: Sequence[Mapping[str, Any]], headline: Mapping[str, Any]) -> str:
    """Return the start page of a run's reports.

    Parameters
    ----------
    links
        Mappings of `title`, `path` (relative to the page), `summary` and `status` (a word, such as
        "promote" or "drift", or None), and perhaps `group` (the heading under which it stands) and `tone` (good, warn,
        bad, wait or info: how the status is coloured, where its word does not say).
    headline
        `title`, and optionally `summary`, `status`, `as_of` (when this was so), `whose_pages` (a sentence) and
        `champion_now` (the command that tells what is so today) and `tone` (as of a link); every other key is shown as
        a fact, in order, and may be text, a number or an interval.

    Returns
    -------
    str
        HTML.

    Raises
    ------
    VisionpipeError
        The headline has no `title`, or a link has no `title` or `path`.
    """
    require(headline, "headline", "title")
    for place, link in enumerate(links):
        require(link, f"links[{place}]", "title", "path")
    status = headline.get("status")
    return render(
        "index.html",
        title=headline["title"],
        summary=headline.get("summary"),
        tone=headline.get("tone") or _tone(status),
        **{key: headline.get(key) for key in ("as_of", "whose_pages", "champion_now")},
        facts={name: value for name, value in headline.items() if name not in _IN_THE_HEAD},
        links=[
            {
                "group": "Reports of this run",
                "summary": None,
                "status": None,
                "tone": _tone(link.get("status")),
                **link,
            }
            for link in links
        ],
    )


def _tone(status: Any) -> str:
    return _STATUS_TONES.get(str(status).lower().replace("-", "_"), "info")
