"""One look for figures, videos and pages: the colours, the type, and how a drawing becomes a PNG."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


@dataclass(frozen=True)
class Theme:
    """Colours as #rrggbb. The series' are told apart by colour-blind readers too (after Okabe & Ito 2008)."""

    paper: str
    ink: str
    quiet: str
    """Secondary text."""
    line: str
    """Axes and rules."""
    series: tuple[str, str, str]


LIGHT = Theme("#ffffff", "#1c2126", "#5c6670", "#d5dade", ("#0067a8", "#c8500a", "#00805e"))
DARK = Theme("#14181c", "#e6e9ec", "#9aa5af", "#39424a", ("#58b4e8", "#f0913e", "#2fc295"))

DOTS_PER_INCH = 160
FONT = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
"""The typeface of figures and videos; it comes with matplotlib."""


def _style(theme: Theme) -> Any:  # matplotlib types its settings by 300 literal names
    return {
        "font.family": "DejaVu Sans",
        "font.size": 8.5,
        "axes.titlesize": 9.5,
        "axes.titlelocation": "left",
        "axes.titlepad": 7,
        "axes.facecolor": theme.paper,
        "axes.edgecolor": theme.line,
        "axes.labelcolor": theme.quiet,
        "axes.titlecolor": theme.ink,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.grid.axis": "y",
        "axes.axisbelow": True,
        "grid.color": theme.line,
        "grid.linewidth": 0.5,
        "xtick.color": theme.line,
        "ytick.color": theme.line,
        "xtick.labelcolor": theme.quiet,
        "ytick.labelcolor": theme.quiet,
        "ytick.major.size": 0,
        "text.color": theme.ink,
        "figure.facecolor": theme.paper,
        "legend.frameon": False,
        "legend.fontsize": 8.5,
    }


def picture(draw: Callable[[Figure], None], width: float, height: float, theme: Theme) -> bytes:
    """Let `draw` fill a figure of `width` x `height` inches -> PNG bytes."""
    with matplotlib.rc_context(_style(theme)):
        figure = Figure((width, height), DOTS_PER_INCH, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        draw(figure)
        png = io.BytesIO()
        canvas.print_png(png)
    return png.getvalue()


def bare(axes: Axes) -> None:
    """Take frame, grid and tick marks off `axes`; the labels stay."""
    axes.grid(False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
