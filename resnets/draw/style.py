"""The style that all figures share: colours, fonts, resolution, how a figure is saved, and labels at the ends of lines.

Each figure of this package has two functions: `draw_x(...)` returns a matplotlib `Figure`, and `x(..., path)` saves it as a PNG
file, whole or not at all. Only matplotlib's object interface is used, so that no display is needed and no global state remains.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np

from resnets.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

P = ParamSpec("P")

# Okabe and Ito's colours, which colour-blind readers can tell apart; they differ in lightness too, for print in grey.
TRAIN, VAL, INK, FAINT, EMPTY = "#0072B2", "#D55E00", "#222222", "#777777", "#CCCCCC"
DPI = 120
STYLE: dict[str, Any] = {
    "figure.constrained_layout.use": True,
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.titlepad": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#AAAAAA",
    "axes.labelcolor": FAINT,
    "axes.axisbelow": True,
    "grid.color": "#E8E8E8",
    "grid.linewidth": 0.8,
    "xtick.color": "#AAAAAA",
    "ytick.color": "#AAAAAA",
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "text.color": INK,
    "text.parse_math": False,  # class names and paths are data: "$5" is not the start of a formula
    "lines.linewidth": 1.6,
    "lines.markersize": 3.5,
}
# Used, where installed, for writing systems that are missing from matplotlib's own font.
MORE_FONTS = ("Noto Sans CJK JP", "Noto Sans CJK SC", "Hiragino Sans", "PingFang SC", "Microsoft YaHei", "Arial Unicode MS")


def write(figure: Figure, path: Path | str) -> Path:
    """Save the figure as a PNG file at `DPI`, replacing an older one only when the new one is complete; returns the path.

    No software version is stored in the file, so that equal figures give equal bytes. Where there is a layout to make,
    `savefig` would draw twice.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure.set_dpi(DPI)
    with replacing(path) as temporary, warnings.catch_warnings(record=True) as caught:
        FigureCanvasAgg(figure).print_png(temporary, metadata={"Software": None})
    if any("missing from font" in str(each.message) for each in caught):  # drawn as an empty box
        tell_of_fonts()
    return Path(path)


class DrawingWarning(UserWarning):
    """Something is not drawn as it should be."""


@functools.cache
def tell_of_fonts() -> None:
    """Warn, once, that names hold characters for which no font is installed."""
    words = "names are drawn as empty boxes: no font for some of their characters is installed; install one of"
    warnings.warn(f"{words} {', '.join(MORE_FONTS[:2])} (such as the package fonts-noto-cjk)", DrawingWarning, stacklevel=2)


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Decorator: draw in the package's style, whatever the user's matplotlib settings are, and restore those afterwards."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure:
        from matplotlib import font_manager, style

        installed = set(font_manager.get_font_names())
        fonts = ["DejaVu Sans", *(name for name in MORE_FONTS if name in installed)]
        with style.context(["default", STYLE | {"font.family": fonts}]):
            return draw(*args, **kwargs)

    return drawn


def blank(width: float, height: float, title: str = "", down: float | None = None) -> Figure:
    """An empty figure, width and height in inches, with a bold title at the top left; `down` inches below the edge, or as far
    as matplotlib puts it."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    if title:
        place = {} if down is None else {"y": 1 - down / height}
        figure.suptitle(title, x=0.008, ha="left", fontsize=11, fontweight="bold", **place)
    return figure


def elide(text: object, limit: int) -> str:
    """The text on one line of at most `limit` characters.

    A longer text gets "…" after its first two thirds and keeps its end, because long names often differ in the last characters.
    """
    line = " ".join(str(text).split())
    return line if len(line) <= limit else f"{line[: limit - limit // 3 - 1].rstrip()}…{line[-(limit // 3) :].lstrip()}"


def log_scale(axes: Axes, decades: float) -> None:
    """Make the y axis logarithmic with plain numbers as labels: 1, 2, 5, 10, ... below 3 `decades`, else powers of ten only."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 3 else (1,)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def label_ends(axes: Axes) -> None:
    """Write the label of each line beside its last point, in its colour, without overlaps; not those that start with "_"."""
    axes.get_ylim()  # applies pending autoscaling, which `transData` depends on
    to_axes = axes.transData + axes.transAxes.inverted()
    ends = [(to_axes.transform(np.asarray(line.get_xydata())[-1])[1], str(line.get_label()), line) for line in axes.lines]
    lowest = -math.inf
    for height, name, line in sorted(ends, key=lambda end: end[0]):
        if not name.startswith("_"):
            lowest = max(height, lowest + 0.08)
            axes.text(1.02, lowest, name, transform=axes.transAxes, color=line.get_color(), va="center")
