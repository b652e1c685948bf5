"""The pictures of the examination: what is left of the accuracy under corruption and under attack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from visionpipe.reports.canvas import BLUE, MUTED, ORANGE, label, svg_data_uri
from visionpipe.reports.wording import title_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS = 4


def corruption_curves(
    corruptions: Mapping[str, Sequence[Mapping[str, Any]]],
    plain: Mapping[str, Any],
    commonest: float | None = None,
) -> str:
    """Draw accuracy against the strength of each corruption, one panel each, with intervals.

    Parameters
    ----------
    corruptions
        Name -> intervals of accuracy at strength 1, 2, …
    plain
        Interval of accuracy on the unchanged images: strength 0.
    commonest
        Share of the commonest class, 0 to 1: what always naming it would get right. A dashed line with its name.
    """
    rows = -(-len(corruptions) // _COLUMNS)

    def draw(figure: Figure) -> None:
        panels = figure.subplots(rows, _COLUMNS, sharex=True, sharey=True, squeeze=False).ravel()
        for position, (ax, (name, entries)) in enumerate(zip(panels, corruptions.items(), strict=False)):
            _curve(ax, list(range(len(entries) + 1)), [plain, *entries], BLUE)
            if commonest is not None:
                ax.axhline(commonest, color=MUTED, linestyle=(0, (4, 3)), linewidth=1.0)
                if position == 0:  # below the line, where the curve seldom is, if there is room
                    below = commonest > 0.15
                    ax.text(
                        0, commonest + (-0.03 if below else 0.03), "commonest class",
                        color=MUTED, fontsize=7.5, va="top" if below else "bottom",
                    )  # fmt: skip
            ax.set_title(label(title_of(name)), fontsize=9.5)
            ax.set(ylim=(-0.02, 1.02), xticks=range(len(entries) + 1))
            if position % _COLUMNS == 0:
                ax.set_ylabel("accuracy")
            if position + _COLUMNS >= len(corruptions):
                ax.set_xlabel("strength")
                ax.tick_params(axis="x", labelbottom=True)
        for ax in panels[len(corruptions) :]:
            ax.set_visible(False)

    return svg_data_uri(draw, width_in=7.6, height_in=0.4 + 1.75 * rows)


def attack_curves(adversarial: Mapping[str, Any]) -> str:
    """Draw accuracy against the size of an attack's change, FGSM and PGD.

    Parameters
    ----------
    adversarial
        `accuracy` (interval, without any change), `fgsm` and `pgd`: lists of `epsilon` [of 255] and `accuracy`.
    """

    def draw(figure: Figure) -> None:
        ax = figure.subplots()
        for key, name, colour in (("fgsm", "FGSM: one step", BLUE), ("pgd", "PGD: many steps", ORANGE)):
            found = adversarial[key]
            at = [0.0, *(entry["epsilon"] for entry in found)]
            _curve(ax, at, [adversarial["accuracy"], *(entry["accuracy"] for entry in found)], colour, name)
        ax.set(xlabel="largest change of any pixel value [of 255]", ylabel="accuracy", ylim=(-0.02, 1.02))
        ax.legend(loc="upper right")

    return svg_data_uri(draw, width_in=4.8, height_in=3.0)


def _curve(
    ax: Axes, at: Sequence[float], entries: Sequence[Mapping[str, Any]], colour: str, name: str | None = None
) -> None:
    ax.fill_between(
        at, [e["low"] for e in entries], [e["high"] for e in entries], color=colour, alpha=0.15, linewidth=0
    )
    ax.plot(at, [e["estimate"] for e in entries], color=colour, marker="o", markersize=4, label=name)
