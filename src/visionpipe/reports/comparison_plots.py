"""Pictures that set two things side by side: a challenger and a champion, a reference and the present.

Legend: R = rows, B = bins, K = categories.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from visionpipe.reports.canvas import AMBER, BLUE, GREEN, INK, ORANGE, RED, label, svg_data_uri
from visionpipe.reports.wording import is_number, title_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_VERDICTS = {True: (GREEN, "o", "passed"), False: (RED, "X", "failed"), None: (AMBER, "D", "open")}


def forest_plot(rows: Sequence[Mapping[str, Any]], *, axis: str = "challenger − champion") -> str:
    """Draw one interval a check, with a line at zero and a mark at each check's margin.

    Parameters
    ----------
    rows
        R mappings: `name`, `value`, `low`, `high` (difference, in the unit of the metric), `limit` (the
        margin, may be None) and `passed` (True, False, or None for "open").
    axis
        What the horizontal axis measures.
    """

    def draw(figure: Figure) -> None:
        ax = figure.subplots()
        ax.axvline(0, color=INK, linewidth=1.1)
        for y, row in enumerate(rows):
            colour, marker, _ = _VERDICTS[row["passed"]]
            ax.plot([row["low"], row["high"]], [y, y], color=colour, linewidth=2.2, solid_capstyle="round")
            ax.plot(row["value"], y, color=colour, marker=marker, markersize=7, markeredgecolor="white")
            if is_number(row.get("limit")) and row["limit"] != 0:
                ax.plot(
                    [row["limit"]] * 2, [y - 0.5, y + 0.5], color=RED, linewidth=1.3, linestyle=(0, (3, 2))
                )
        ax.set_yticks(range(len(rows)), [label(row["name"], 38) for row in rows])
        ax.set(ylim=(len(rows) - 0.4, -0.6), xlabel=axis)
        ax.grid(axis="y", visible=False)
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
        ax.margins(x=0.06)
        ax.locator_params(axis="x", nbins=6)
        _legend_above(ax, sorted({row["passed"] for row in rows}, key=str), rows)

    return svg_data_uri(draw, width_in=7.2, height_in=1.0 + 0.30 * len(rows))


def _legend_above(ax: Axes, verdicts: Sequence[bool | None], rows: Sequence[Mapping[str, Any]]) -> None:
    from matplotlib.lines import Line2D

    keys = [
        Line2D(
            [],
            [],
            color=_VERDICTS[v][0],
            marker=_VERDICTS[v][1],
            markeredgecolor="white",
            label=_VERDICTS[v][2],
        )
        for v in verdicts
    ]
    if any(is_number(row.get("limit")) and row["limit"] != 0 for row in rows):
        keys.append(Line2D([], [], color=RED, linestyle=(0, (3, 2)), label="allowed margin"))
    ax.legend(handles=keys, loc="lower left", bbox_to_anchor=(0, 1), ncols=len(keys), borderaxespad=0.2)


def histogram_pair(
    bins: Sequence[Any], reference_B: Sequence[float], current_B: Sequence[float], *, feature: str
) -> str:
    """Draw one feature in the reference and in the current window, on one axis.

    Parameters
    ----------
    bins
        B + 1 edges of a number, or B category names.
    reference_B, current_B
        Density (or share) in each bin.
    feature
        Name of the axis.
    """
    if len(bins) == len(reference_B):
        return _category_pair(bins, reference_B, current_B, feature)

    def draw(figure: Figure) -> None:
        ax = figure.subplots()
        ax.stairs(reference_B, bins, fill=True, color=BLUE, alpha=0.28, label="reference")
        ax.stairs(current_B, bins, color=ORANGE, linewidth=1.8, label="current")
        ax.set(xlabel=label(title_of(feature), 40), ylabel="density")
        ax.set_ylim(bottom=0)
        ax.grid(axis="x", visible=False)
        ax.locator_params(axis="both", nbins=5)
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.2)

    return svg_data_uri(draw, width_in=4.2, height_in=2.7)


def _category_pair(
    names: Sequence[Any], reference_K: Sequence[float], current_K: Sequence[float], feature: str
) -> str:
    def draw(figure: Figure) -> None:
        ax = figure.subplots()
        rows = range(len(names))
        ax.barh([y - 0.2 for y in rows], reference_K, height=0.38, color=BLUE, alpha=0.45, label="reference")
        ax.barh([y + 0.2 for y in rows], current_K, height=0.38, color=ORANGE, label="current")
        ax.set_yticks(rows, [label(name) for name in names])
        ax.set(ylim=(len(names) - 0.4, -0.6), xlabel=f"{label(title_of(feature), 40)}, share")
        ax.grid(axis="y", visible=False)
        ax.tick_params(axis="y", length=0)
        ax.locator_params(axis="x", nbins=5)
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.2)

    return svg_data_uri(draw, width_in=4.2, height_in=max(2.0, 1.0 + 0.34 * len(names)))
