"""The pictures hold what they were given, and stay readable from 2 to 50 classes."""

import base64
import re
import xml.etree.ElementTree as ElementTree
from itertools import pairwise

import pytest

from visionpipe.reports import plots
from visionpipe.reports.canvas import label
from visionpipe.reports.training_plots import has_a_curve, training_curves

SVG = "{http://www.w3.org/2000/svg}"
PX_PER_PT = 96 / 72


def texts_of(uri):
    """Return (text, size in px, y in px) of every text in a plot."""
    root = ElementTree.fromstring(base64.b64decode(uri.partition(",")[2]))
    found = []
    for element in root.iter(f"{SVG}text"):
        size = float(re.search(r"font-size: ([\d.]+)px", element.get("style"))[1]) * PX_PER_PT
        y = element.get("y") or re.search(r"translate\([\d.-]+ ([\d.-]+)\)", element.get("transform"))[1]
        found.append((element.text, size, float(y) * PX_PER_PT))
    return found


@pytest.mark.parametrize("n_classes", [2, 5, 12, 13, 30, 50])
def test_class_names_of_a_confusion_matrix_neither_overlap_nor_vanish(n_classes, make_evaluation):
    evaluation = make_evaluation(names=[f"solar cell kind {i:02d}" for i in range(n_classes)])
    drawn = texts_of(plots.confusion_matrix(evaluation["confusion"], evaluation["classes"]))
    names = [text for text in drawn if text[0].startswith("solar")]
    assert len(names) == 2 * n_classes
    assert min(size for _, size, _ in names) >= 9
    heights = sorted({round(y, 1) for _, _, y in names})[:n_classes]
    assert all(lower - upper >= names[0][1] for upper, lower in pairwise(heights))


@pytest.mark.parametrize("n_classes", [2, 30, 50])
def test_a_confusion_matrix_writes_every_count_that_is_not_zero(n_classes, make_evaluation):
    evaluation = make_evaluation(n_classes)
    counts = sorted(str(n) for row in evaluation["confusion"] for n in row if n)
    drawn = texts_of(plots.confusion_matrix(evaluation["confusion"], evaluation["classes"]))
    assert sorted(text for text, _, _ in drawn if text.isdigit()) == counts
    assert min(size for text, size, _ in drawn if text.isdigit()) >= 7


def test_names_of_any_script_with_markup_or_formulas_are_drawn_as_they_are():
    names = ["太陽電池", "خلية", "$\\frac{1}{", "a < b & c", "x^2_$y$"]
    k = len(names)
    uri = plots.confusion_matrix([[3] * k for _ in range(k)], names)  # warnings are errors here
    drawn = {text for text, _, _ in texts_of(uri)}
    assert set(names) <= drawn


def test_a_long_name_is_cut_in_the_middle_so_that_its_end_still_tells():
    cut = label("monocrystalline cell, half cut, supplier 12", longest=20)
    assert len(cut) == 20
    assert cut.startswith("monocrys")
    assert cut.endswith("pplier 12")
    assert label("two\nlines\x00 and a \udce9 byte") == "two lines and a byte"
    assert label("") == "(empty)"


@pytest.mark.parametrize("n_rows", [1, 7, 60])
def test_a_forest_plot_has_a_row_a_check_in_the_order_given(n_rows):
    rows = [
        {"name": f"check {i}", "value": 0.01, "low": -0.02, "high": 0.03, "limit": -0.05, "passed": True}
        for i in range(n_rows)
    ]
    drawn = [(y, text) for text, _, y in texts_of(plots.forest_plot(rows)) if text.startswith("check ")]
    assert [text for _, text in sorted(drawn)] == [f"check {i}" for i in range(n_rows)]


def test_a_forest_plot_tells_verdicts_apart_without_colour():
    row = {"name": "a", "value": 0.01, "low": 0.0, "high": 0.02, "limit": None}
    uri = plots.forest_plot([row | {"passed": passed} for passed in (True, False, None)])
    drawn = {text for text, _, _ in texts_of(uri)}
    assert {"passed", "failed", "open"} <= drawn
    assert "allowed margin" not in drawn


def test_bars_per_class_put_the_lowest_recall_on_top_and_those_without_last():
    recalls = {"high": 0.9, "low": 0.2, "none": None, "middle": 0.5}
    per_class = {c: {"recall": {"estimate": r}, "precision": None} for c, r in recalls.items()}
    drawn = sorted((y, t) for t, _, y in texts_of(plots.bar_per_class(per_class)) if t in recalls)
    assert [text for _, text in drawn] == ["low", "middle", "high", "none"]


def test_a_reliability_diagram_draws_bins_that_hold_nothing():
    empty = {"confidence": None, "accuracy": None, "low": None, "high": None, "count": 0}
    bins = [empty | {"lower": i / 5, "upper": (i + 1) / 5} for i in range(5)]
    bins[4] |= {"confidence": 0.93, "accuracy": 1.0, "low": 0.8, "high": 1.0, "count": 17}
    assert "this model" in {text for text, _, _ in texts_of(plots.reliability_diagram(bins))}


def test_a_risk_coverage_curve_marks_the_threshold_where_there_is_one():
    curve = [[0.25, 0.0], [0.5, 0.02], [1.0, 0.1]]
    shares = {"coverage": {"estimate": 0.5, "low": 0.4, "high": 0.6}}
    some = shares | {"accuracy": {"estimate": 0.98, "low": 0.93, "high": 0.99}}
    none = shares | {"accuracy": {"estimate": None, "low": None, "high": None}}
    with_point, *without = (
        {text for text, _, _ in texts_of(plots.risk_coverage(curve, deferral))}
        for deferral in (some, none, None)
    )
    assert with_point - without[0] == {"its threshold"}
    assert without[0] == without[1] >= {"this model", "confidence tells nothing"}


def test_one_sure_mistake_does_not_set_the_scale_of_a_risk_coverage_curve():
    curve = [[0.01, 1.0], [0.02, 0.5], *([c / 100, 1 / c] for c in range(10, 101, 10))]
    ticks = [float(text) for text, _, _ in texts_of(plots.risk_coverage(curve)) if text.startswith("0.")]
    assert max(t for t in ticks if t not in {0.2, 0.4, 0.6, 0.8}) < 0.13


@pytest.mark.parametrize("curve", [[[1.0, 0.0]], [[1.0, 1.0]], [[0.5, 0.0], [1.0, 0.0]]])
def test_a_curve_of_a_single_threshold_or_without_mistakes_is_drawn(curve):
    assert plots.risk_coverage(curve).startswith("data:image/svg+xml")


def test_training_curves_leave_out_what_was_not_recorded():
    drawn = {text for text, _, _ in texts_of(training_curves({"train_loss": [0.5, float("nan"), 0.3]}))}
    assert {"loss", "epoch"} <= drawn
    assert not {"on validation images", "learning rate", "images a second", "overfitting"} & drawn
    assert not has_a_curve({"train_loss": [None, float("nan")], "validation_loss": None, "phase": ["head"]})


def test_training_curves_name_every_series_phase_and_overfit_epoch(curves):
    drawn = {text for text, _, _ in texts_of(training_curves(curves, kept_epoch=4))}
    panels = {"loss", "on validation images", "learning rate", "images a second"}
    assert panels <= drawn
    assert {"training", "validation", "accuracy", "AUC", "overfitting"} <= drawn
    assert {"Head", "Last stages", "Whole network"} <= drawn


def test_every_series_is_drawn(curves):
    flat = [key for key in curves if key not in {"seconds", "epoch", "overfit", "phase"}]
    changes = [{}, *({key: [0.2] * 8} for key in flat)]
    changes += [{"epoch": list(range(2, 10))}, {"overfit": [False] * 8}, {"phase": ["all"] * 8}]
    assert len({training_curves(curves | change) for change in changes}) == len(changes) == 10


def test_the_kept_epoch_is_drawn(curves):
    assert len({training_curves(curves, kept_epoch) for kept_epoch in (None, 2, 3)}) == 3


def test_a_single_epoch_is_drawn_as_points():
    def points(curves):
        svg = base64.b64decode(training_curves(curves).partition(",")[2]).decode()
        return len(re.findall(r'<use [^>]*stroke: #[0-9a-f]{6}"', svg))  # ticks have a stroke-width too

    assert points({"epoch": [1], "learning_rate": [0.0]}) == 1  # where the cosine ends
    assert (
        points({"epoch": [1], "learning_rate": [0.001], "validation_accuracy": [0.7]}) == 2 + 1
    )  # the legend's
    assert (
        points({"epoch": [1, 2], "learning_rate": [0.001, 0.0], "validation_accuracy": [0.7, 0.8]}) == 2 + 1
    )


def test_rates_are_drawn_from_zero(curves):
    ticks = {text for text, _, _ in texts_of(training_curves(curves))}
    assert {"0.000", "0.005", "0.010"} <= ticks
    assert {"0", "5000"} <= ticks


def test_histograms_take_edges_or_categories():
    edges = plots.histogram_pair([0, 1, 2], [0.4, 0.6], [0.1, 0.9], feature="brightness")
    names = plots.histogram_pair(["mono", "poly"], [0.4, 0.6], [0.1, 0.9], feature="predicted_label")
    assert {"Brightness", "density"} <= {text for text, _, _ in texts_of(edges)}
    assert {"mono", "poly", "Predicted label, share"} <= {text for text, _, _ in texts_of(names)}
