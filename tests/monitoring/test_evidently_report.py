"""Evidently's page: whole, self-contained, and harmless whatever the log holds."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from visionpipe.monitoring import evidently_report
from visionpipe.monitoring.evidently_report import render_evidently

FEATURES = ["confidence", "brightness", "predicted_label", "camera"]
OFFLINE = """
    import os, socket, sys
    import numpy as np, pandas as pd

    def no_network(*arguments, **options):
        raise AssertionError(f"network: {arguments}")

    for name in ("connect", "connect_ex", "sendto"):
        setattr(socket.socket, name, no_network)
    socket.getaddrinfo = no_network
    import visionpipe.monitoring.evidently_report as module
    assert "evidently" not in sys.modules, "importing the module must not import evidently"
    rows = pd.DataFrame({"confidence": np.linspace(0, 1, 100), "camera": ["a", "b"] * 50})
    page = module.render_evidently(rows, rows, ["confidence", "camera"])
    assert "evidently" in sys.modules and len(page) > 1_000_000
    assert not os.listdir(os.environ["HOME"]), os.listdir(os.environ["HOME"])
"""


@pytest.fixture(scope="module")
def page(predictions):
    """One page of four columns, 300 rows against 300."""
    return render_evidently(predictions(300), predictions(300, seed=1), FEATURES, verdict="Drift: a < b.")


def test_the_page_shows_every_column_and_the_verdict(page):
    assert page.lstrip().startswith("<!DOCTYPE html>")
    assert page.rstrip().endswith("</html>")
    assert all(f'"{feature}"' in page for feature in FEATURES)
    assert "Drift: a &lt; b." in page


def test_the_page_loads_nothing(page):
    assert re.findall(r"<(?:script|img|iframe)[^>]*\bsrc=|<link\b|@import|url\((?!data:)", markup(page)) == []
    assert "default-src 'none'" in page.split("</head>")[0]


def markup(page: str) -> str:
    """Strip the text of scripts: the tags are what a browser follows."""
    return re.sub(r"(<script\b[^>]*>).*?(</script>)", r"\1\2", page, flags=re.DOTALL)


def test_rendering_makes_no_network_call_and_leaves_nothing_at_home(tmp_path):
    (tmp_path / "home").mkdir()
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(OFFLINE)],
        env={"HOME": str(tmp_path / "home"), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_text_from_the_log_cannot_become_a_script(predictions):
    current = predictions(100).assign(camera="</script><script>alert(1)</script>")
    page = render_evidently(predictions(100), current, ["camera"], verdict="<script>alert(2)</script>")
    assert "<script>alert" not in page
    assert "alert(1)" in page
    assert "alert(2)" in page


@pytest.mark.parametrize(
    "change",
    [
        {"brightness": np.nan, "camera": None},
        {"brightness": 5.0, "camera": "north"},
        {"brightness": np.inf},
        {"camera": [f"camera {i}" for i in range(100)]},
        {"camera": [True, False] * 50},
        {"camera": [1, 2] * 50},
    ],
    ids=["missing", "constant", "infinite", "many categories", "booleans", "numbers where text was"],
)
def test_awkward_columns_do_not_stop_the_page(predictions, change):
    page = render_evidently(predictions(100), predictions(100).assign(**change), [*FEATURES, "absent"])
    assert '"confidence"' in page
    assert '"absent"' not in page


def test_with_nothing_to_compare_a_short_page_says_so(predictions):
    page = render_evidently(predictions(100), predictions(0), FEATURES, verdict="Too few rows.")
    assert "Too few rows. Nothing to compare: 100 reference rows, 0 current rows." in page
    assert len(page) < 2000
    page = render_evidently(predictions(1), predictions(1), FEATURES)
    assert "Nothing to compare: 1 reference row, 1 current row." in page


def test_large_tables_are_sampled(predictions, monkeypatch):
    sizes = []

    def note(reference, current, numbers):
        sizes.append((len(reference), len(current)))
        return "<head><body>"

    monkeypatch.setattr(evidently_report, "_run_evidently", note)
    rows = predictions(30_000)
    render_evidently(rows[:100], rows, FEATURES)
    assert sizes == [(100, 20_000)]


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs the chromium browser")
def test_a_browser_draws_the_page_under_its_own_policy(page, tmp_path):
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    drawn = subprocess.run(
        [
            "chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
            "--virtual-time-budget=10000", "--dump-dom", (tmp_path / "page.html").as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout  # fmt: skip
    body = markup(drawn)
    assert "Drifted Columns" in body
    assert all(feature in body for feature in FEATURES)


def test_values_a_rounding_error_apart_or_beyond_all_measure_are_drawn(predictions):
    """Evidently's histograms cannot divide such ranges into bins."""
    random = np.random.default_rng(0)
    tables = [
        predictions(200, seed=seed).assign(confidence=random.choice([1.0, np.nextafter(1, 0)], 200))
        for seed in (0, 1)
    ]
    tables[1].loc[0, "brightness"] = 1e308
    page = render_evidently(*tables, ["confidence", "brightness"])
    assert '"confidence"' in page and '"brightness"' in page
