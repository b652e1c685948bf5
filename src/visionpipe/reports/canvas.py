"""A drawing surface whose SVG has the same bytes for the same drawing, in any process, on any day."""

from __future__ import annotations

import base64
import io
import threading
import unicodedata
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

INK, MUTED, RULE, SURFACE = "#1c2733", "#5a6772", "#dfe4e9", "#f4f6f8"
BLUE, ORANGE, GREEN, RED, AMBER = "#1f5f99", "#b5480f", "#1d6f42", "#b3261e", "#8a5a00"

_STYLE = {
    "svg.fonttype": "none",  # real text: small files, and the reader's own fonts show every script
    "svg.hashsalt": "visionpipe",  # element ids are random otherwise
    "text.parse_math": False,  # a class may be called "$5_bill"
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.0,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": RULE,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.6,
    "lines.markersize": 5.0,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
}
# Layout is measured with DejaVu Sans, the widest of these, so nothing can overflow where another one shows.
_MEASURED_FONTS = "'DejaVu Sans', sans-serif"
_SHOWN_FONTS = "system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif"

# matplotlib's settings are one global table; two threads of a server may draw at the same time.
_ONE_AT_A_TIME = threading.Lock()


def svg_data_uri(
    draw: Callable[[Figure], None], *, width_in: float, height_in: float, tight: bool = False
) -> str:
    """Run `draw` on an empty figure and return the picture as a `data:image/svg+xml` URI.

    The user's own matplotlibrc is ignored, no pyplot state is made, and no date is written, so the URI
    depends on nothing but the drawing and matplotlib's version.

    Parameters
    ----------
    draw
        Receives a `matplotlib.figure.Figure` and fills it.
    width_in, height_in
        Size in inches; a browser shows 96 px per inch.
    tight
        True: draw at the sizes that `draw` sets, then grow or trim the page to what was drawn.
        False: keep the page and let matplotlib's constrained layout fit the axes into it.

    Returns
    -------
    str
        ASCII, base64-encoded SVG; it holds no script and refers to nothing outside.
    """
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with _ONE_AT_A_TIME, matplotlib.rc_context(), warnings.catch_warnings():
        # The measuring font lacks some scripts; the browser's fonts, which draw the text, do not.
        warnings.filterwarnings("ignore", r"(?s)Glyph \d+|Matplotlib currently does not support")
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        figure = Figure(figsize=(width_in, height_in), layout=None if tight else "constrained")
        FigureCanvasSVG(figure)
        draw(figure)
        svg = io.StringIO()
        page = {"bbox_inches": "tight", "pad_inches": 0.06} if tight else {}
        figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None}, **page)
    text = svg.getvalue().replace(_MEASURED_FONTS, _SHOWN_FONTS)
    return "data:image/svg+xml;base64," + base64.b64encode(text.encode()).decode("ascii")


def label(text: object, longest: int = 22) -> str:
    """Return `text` fit for a plot: one line of printable characters, its middle cut out when too long.

    >>> label("cells with a finger interruption", longest=15)
    'cells w…ruption'
    """
    plain = "".join(" " if unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"} else c for c in str(text))
    plain = " ".join(plain.split()) or "(empty)"
    if len(plain) <= longest:
        return plain
    head = longest // 2
    return plain[:head] + "…" + plain[len(plain) - (longest - 1 - head) :]
