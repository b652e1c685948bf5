"""The pictures of the reports. Each function returns one `data:image/svg+xml` URI, the same bytes every time.

Legend: K = classes, B = bins. An *interval* is a mapping with `estimate`, `low`, `high`.
Sizes follow the class count: 2 and 50 classes are both readable, one of them with a scroll bar on a phone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from visionpipe.reports.canvas import BLUE, INK, MUTED, ORANGE, SURFACE, label, svg_data_uri
from visionpipe.reports.comparison_plots import forest_plot, histogram_pair
from visionpipe.reports.wording import is_number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "bar_per_class",
    "confusion_matrix",
    "forest_plot",
    "histogram_pair",
    "reliability_diagram",
    "risk_coverage",
]


def confusion_matrix(confusion_KK: Sequence[Sequence[int]], classes: Sequence[str]) -> str:
    """Draw a confusion matrix: rows true, columns predicted, colour the share of the row, number the count.

    Right answers are blue and mistakes orange, so that a class that is often taken for another stands out.

    Parameters
    ----------
    confusion_KK
        Counts, `K` rows of `K`; row `i` column `j`: images of class `i` predicted as `j`.
    classes
        `K` names, in the order of the rows.
    """
    k = len(classes)
    cell_in = 1.15 if k <= 2 else 0.85 if k <= 5 else 0.50 if k <= 12 else max(0.175, min(0.46, 8.4 / k))
    side_in = cell_in * k
    names = [label(name, 22 if k <= 12 else 18) for name in classes]
    upright = k <= 3 and max(map(len, names)) <= 14

    def draw(figure: Figure) -> None:
        from matplotlib.collections import PolyCollection
        from matplotlib.colors import to_rgb

        ax = figure.add_axes((0, 0, 1, 1))
        squares, colours = [], []
        for i, row in enumerate(confusion_KK):
            total = sum(row)
            for j, count in enumerate(row):
                if not count:
                    continue
                share = count / total
                strength = 0.10 + 0.90 * share
                hue = to_rgb(BLUE if i == j else ORANGE)
                squares.append([(j, i), (j + 1, i), (j + 1, i + 1), (j, i + 1)])
                colours.append(tuple(1 - strength * (1 - part) for part in hue))
                digits = str(int(count))
                ink = "white" if strength > 0.55 else INK
                fits_pt = 0.92 * cell_in * 72 / (0.64 * max(len(digits), 2))
                roomy = cell_in >= 0.80
                ax.text(
                    j + 0.5, i + (0.44 if roomy else 0.5), digits, ha="center", va="center", color=ink,
                    fontsize=min(15.0 if roomy else 9.5, fits_pt), fontweight="bold" if roomy else "normal",
                )  # fmt: skip
                if roomy:
                    text = f"{100 * share:.0f} %"
                    ax.text(j + 0.5, i + 0.70, text, ha="center", va="center", color=ink, fontsize=9)
        ax.set_facecolor(SURFACE)
        ax.add_collection(PolyCollection(squares, facecolors=colours, linewidths=0))
        ax.set(xlim=(0, k), ylim=(k, 0), ylabel="true")
        ax.set_xlabel("predicted", labelpad=8)
        ax.grid(False)
        for edge in range(k + 1):
            ax.axhline(edge, color="white", linewidth=1.5 if k <= 12 else 0.8)
            ax.axvline(edge, color="white", linewidth=1.5 if k <= 12 else 0.8)
        middles = [i + 0.5 for i in range(k)]
        size_pt = min(9.5, 0.62 * cell_in * 72)
        ax.set_yticks(middles, names, fontsize=size_pt)
        if upright:
            ax.set_xticks(middles, names, fontsize=size_pt)
        else:
            ax.set_xticks(
                middles, names, fontsize=size_pt, rotation=90, rotation_mode="anchor", ha="right", va="center"
            )
        ax.tick_params(length=0, pad=5)
        ax.spines[:].set_visible(False)

    return svg_data_uri(draw, width_in=side_in, height_in=side_in, tight=True)


def reliability_diagram(bins: Sequence[Mapping[str, Any]]) -> str:
    """Draw accuracy against confidence with intervals, and below it how many images each bin holds.

    Parameters
    ----------
    bins
        B mappings: `confidence`, `accuracy`, `low`, `high` (0 to 1, None in an empty bin), `count`, and the
        bin's edges `lower`, `upper`.
    """

    def draw(figure: Figure) -> None:
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[3.4, 1])
        top.plot(
            [0, 1], [0, 1], color=MUTED, linestyle=(0, (4, 3)), linewidth=1.1, label="perfectly calibrated"
        )
        held = [b for b in bins if b.get("count") and is_number(b["confidence"]) and is_number(b["accuracy"])]
        for b in held:
            if is_number(b.get("low")) and is_number(b.get("high")):
                top.plot([b["confidence"]] * 2, [b["low"], b["high"]], color=BLUE, alpha=0.45, linewidth=2.2)
        top.plot(
            [b["confidence"] for b in held], [b["accuracy"] for b in held],
            color=BLUE, marker="o", linewidth=1.2, label="this model",
        )  # fmt: skip
        top.set(xlim=(0, 1), ylim=(-0.02, 1.02), ylabel="share that was right")
        top.legend(loc="upper left")
        edges = [(b["lower"], b["upper"], b.get("count") or 0) for b in bins]
        bottom.bar(
            [lower for lower, _, _ in edges], [count for _, _, count in edges],
            width=[upper - lower for lower, upper, _ in edges], align="edge",
            color=BLUE, alpha=0.75, edgecolor="white",
        )  # fmt: skip
        bottom.set(xlabel="confidence", ylabel="images")
        bottom.grid(axis="x", visible=False)
        bottom.locator_params(axis="y", nbins=3, integer=True)

    return svg_data_uri(draw, width_in=4.8, height_in=4.6)


def bar_per_class(per_class: Mapping[str, Mapping[str, Any]]) -> str:
    """Draw recall (bar) and precision (diamond) with their intervals, one row a class, lowest recall on top.

    Parameters
    ----------
    per_class
        Class name -> `recall` and `precision` intervals (0 to 1; an estimate of None draws nothing).
    """

    def estimate(name: str, metric: str) -> Any:
        return (per_class[name].get(metric) or {}).get("estimate")

    lowest_first = sorted(
        per_class, key=lambda c: estimate(c, "recall") if is_number(estimate(c, "recall")) else 2
    )

    def draw(figure: Figure) -> None:
        ax = figure.subplots()
        for metric, offset, colour in (("recall", -0.14, BLUE), ("precision", 0.24, ORANGE)):
            shown = [
                (y, per_class[c][metric])
                for y, c in enumerate(lowest_first)
                if is_number(estimate(c, metric))
            ]
            values, heights = [i["estimate"] for _, i in shown], [y + offset for y, _ in shown]
            if metric == "recall":
                ax.barh(heights, values, height=0.46, color=colour, alpha=0.35, label="recall")
            else:
                ax.plot(
                    values,
                    heights,
                    linestyle="none",
                    marker="D",
                    markersize=4,
                    color=colour,
                    label="precision",
                )
            for height, (_, found) in zip(heights, shown, strict=True):
                if is_number(found.get("low")) and is_number(found.get("high")):
                    ax.plot([found["low"], found["high"]], [height] * 2, color=colour, linewidth=1.5)
        ax.set_yticks(range(len(lowest_first)), [label(name) for name in lowest_first])
        ax.set(xlim=(0, 1.01), ylim=(len(lowest_first) - 0.4, -0.6))
        ax.grid(axis="y", visible=False)
        ax.tick_params(axis="y", length=0)
        handles, names = ax.get_legend_handles_labels()
        recall_first = sorted(zip(names, handles, strict=True), key=lambda pair: pair[0], reverse=True)
        ax.legend(
            [handle for _, handle in recall_first], [name for name, _ in recall_first],
            loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.2,
        )  # fmt: skip

    row_in = 0.42 if len(per_class) <= 12 else 0.28
    return svg_data_uri(draw, width_in=4.8, height_in=0.8 + row_in * len(per_class))


def risk_coverage(curve: Sequence[Sequence[float]], deferral: Mapping[str, Any] | None = None) -> str:
    """Draw the share of wrong answers against the share of images that the model answers itself.

    Parameters
    ----------
    curve
        (coverage, risk) pairs, 0 to 1, coverage ascending; the last one is of all images.
    deferral
        `coverage` and `accuracy` (intervals) at the model's threshold, drawn as a point with both intervals.
    """
    coverage, risk = [point[0] for point in curve], [point[1] for point in curve]
    overall = risk[-1]
    # the few surest images may hold a mistake by chance: they must not set the scale
    highest = max([overall, *(r for c, r in zip(coverage, risk, strict=True) if c >= 0.1)])
    chosen = deferral if deferral and is_number((deferral.get("accuracy") or {}).get("estimate")) else None

    def draw(figure: Figure) -> None:
        top = highest
        ax = figure.subplots()
        ax.axhline(
            overall, color=MUTED, linestyle=(0, (4, 3)), linewidth=1.1, label="confidence tells nothing"
        )
        ax.plot(coverage, risk, color=BLUE, marker="o" if len(curve) < 3 else None, label="this model")
        if chosen:
            share, right = chosen["coverage"], chosen["accuracy"]
            x, y = share["estimate"], 1 - right["estimate"]
            if is_number(share.get("low")) and is_number(right.get("low")):
                ax.plot([share["low"], share["high"]], [y, y], color=ORANGE, linewidth=1.4)
                ax.plot([x, x], [1 - right["high"], 1 - right["low"]], color=ORANGE, linewidth=1.4)
                top = max(top, 1 - right["low"])
            ax.plot(
                x, y, color=ORANGE, marker="D", markersize=7, markeredgecolor="white", linestyle="none",
                label="its threshold",
            )  # fmt: skip
        ax.set(xlim=(0, 1.01), ylim=(0, min(1.02, max(0.02, 1.15 * top))))
        ax.set(xlabel="coverage: share answered by the model", ylabel="risk: share wrong among those")
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0.2, columnspacing=1.2)

    return svg_data_uri(draw, width_in=4.8, height_in=3.4)
