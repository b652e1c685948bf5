"""The picture of how a model was trained, epoch by epoch.

Legend: E = epochs, counted on over the phases of a training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from visionpipe.reports.canvas import BLUE, GREEN, INK, MUTED, ORANGE, SURFACE, label, svg_data_uri
from visionpipe.reports.wording import is_number, title_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# panel -> its height, and its series: key in the curves, caption, colour, marker
_PANELS = {
    "loss": (
        1.9,
        [("train_loss", "training", MUTED, "s"), ("validation_loss", "validation", BLUE, "o")],
    ),
    "on validation images": (
        1.9,
        [("validation_accuracy", "accuracy", BLUE, "o"), ("validation_auc", "AUC", GREEN, "D")],
    ),
    "learning rate": (1.2, [("learning_rate", "", MUTED, None)]),
    "images a second": (1.2, [("images_per_s", "", MUTED, None)]),
}
_MOST_MARKED_EPOCHS = 40  # with more, the markers hide the line
_WIDTH_IN, _LEFT, _GAP = 6.4, 0.11, 0.12  # the left margin and the gaps between panels are shares


def has_a_curve(curves: Mapping[str, Sequence[Any] | None]) -> bool:
    """Return whether any series that `training_curves` draws holds a number."""
    return bool(_drawn(curves))


def training_curves(curves: Mapping[str, Sequence[Any] | None], kept_epoch: int | None = None) -> str:
    """Draw loss, validation metrics, learning rate and throughput over the epochs; what is missing leaves no panel.

    Parameters
    ----------
    curves
        E values each: `epoch`, `train_loss`, `validation_loss`, `validation_accuracy` and `validation_auc` (0 to 1),
        `learning_rate`, `images_per_s`, `phase` (words; every phase is a band of its own) and `overfit` (booleans;
        those epochs are marked on the losses). A None or NaN is a gap.
    kept_epoch
        The epoch whose weights were kept: a vertical line in every panel.
    """
    drawn = _drawn(curves)
    n_epochs = max(len(curves[key] or ()) for _, series in drawn.values() for key, *_ in series)
    epochs = list(curves.get("epoch") or range(1, n_epochs + 1))
    phases = _phases(curves.get("phase") or (), epochs)

    def draw(figure: Figure) -> None:
        # placed by hand: the solver of constrained layout may differ in the last digit from run to run
        panels = figure.subplots(
            len(drawn), 1, sharex=True, squeeze=False, height_ratios=[height for height, _ in drawn.values()],
            gridspec_kw={"left": _LEFT, "right": 1, "bottom": 0, "top": 1, "hspace": _GAP},
        )[:, 0]  # fmt: skip
        for ax, (name, (_, series)) in zip(panels, drawn.items(), strict=True):
            for key, caption, colour, marker in series:
                values = [v if is_number(v) else float("nan") for v in curves[key] or ()]
                # a single point has no line to be seen by
                shown = marker if len(values) <= _MOST_MARKED_EPOCHS else None
                ax.plot(
                    epochs[: len(values)], values, color=colour, markersize=4, label=caption,
                    marker=shown or ("o" if len(values) == 1 else None),
                )  # fmt: skip
            if name == "loss":
                _mark_overfit(ax, curves, epochs)
            for position, (_, first, last) in enumerate(phases):
                if position % 2 == 0:
                    ax.axvspan(first - 0.5, last + 0.5, color=SURFACE, zorder=-1, linewidth=0)
            if kept_epoch is not None:
                ax.axvline(kept_epoch, color=INK, linewidth=1, linestyle=(0, (3, 3)), zorder=1)
            ax.set_ylabel(name)
            ax.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5)
            if name in {"learning rate", "images a second"}:
                ax.set_ylim(0, 1.1 * ax.dataLim.y1 or 1.0)
                ax.locator_params(axis="y", nbins=4)
            if any(caption for _, caption, *_ in series):
                ax.legend(loc="best")
        for name, first, last in phases:
            panels[0].text(
                (first + last) / 2, 1.02, label(title_of(name), 18), transform=panels[0].get_xaxis_transform(),
                ha="center", va="bottom", fontsize=8.5, color=MUTED,
            )  # fmt: skip
        panels[-1].set_xlabel("epoch")
        panels[-1].locator_params(axis="x", integer=True)
        for ax in panels:
            ax.yaxis.set_label_coords(-_LEFT, 0.5)

    height_in = sum(height for height, _ in drawn.values())
    return svg_data_uri(draw, width_in=_WIDTH_IN, height_in=height_in, tight=True)


def _drawn(curves: Mapping[str, Sequence[Any] | None]) -> dict[str, tuple[float, list[tuple]]]:
    return {
        name: (height, present)
        for name, (height, series) in _PANELS.items()
        if (present := [s for s in series if any(map(is_number, curves.get(s[0]) or ()))])
    }


def _phases(phase_E: Sequence[str], epochs: Sequence[int]) -> list[tuple[str, int, int]]:
    """Return (name, first epoch, last epoch) of every unbroken run of one phase; nothing for a single one.

    >>> _phases(["head", "head", "whole network"], [1, 2, 3])
    [('head', 1, 2), ('whole network', 3, 3)]
    """
    runs: list[tuple[str, int, int]] = []
    for name, run in groupby(zip(phase_E, epochs, strict=False), key=lambda pair: pair[0]):
        inside = [epoch for _, epoch in run]
        runs.append((name, inside[0], inside[-1]))
    return runs if len(runs) > 1 else []


def _mark_overfit(ax: Axes, curves: Mapping[str, Sequence[Any] | None], epochs: Sequence[int]) -> None:
    losses = curves.get("validation_loss") or curves.get("train_loss") or ()
    flagged = [
        (epoch, loss)
        for epoch, loss, overfit in zip(epochs, losses, curves.get("overfit") or (), strict=False)
        if overfit and is_number(loss)
    ]
    if flagged:
        ax.plot(
            *zip(*flagged, strict=True), linestyle="none", marker="x", markersize=7, markeredgewidth=1.8,
            color=ORANGE, label="overfitting",
        )  # fmt: skip
