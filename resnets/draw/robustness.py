"""A figure over the strength of changes to the images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from resnets.draw.paint import hex_colours
from resnets.draw.style import INK, blank, label_ends, styled, write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B8860B")  # Okabe and Ito's, the yellow darkened for white paper


def robustness(clean: float, rows: Mapping[str, Sequence[float]], figure: str, path: Path | str) -> Path:
    """Save the curves as PNG. See `draw_robustness`."""
    return write(draw_robustness(clean, rows, figure), path)


@styled
def draw_robustness(clean: float, rows: Mapping[str, Sequence[float]], figure: str) -> Figure:
    """A line for each change, from the figure of the images as they are (strength 0) to that at the greatest strength.

    Args:
        clean: the figure of the images as they are.
        rows: of each change the figure at each strength.
        figure: what it is called.
    """
    whole = blank(7.4, 3.6)
    axes = whole.subplots()
    axes.axhline(clean, color=INK, linewidth=0.8, linestyle=":", label="_clean")
    colours = (*COLOURS, *hex_colours(len(rows)))
    for (name, values), colour in zip(rows.items(), colours, strict=False):
        axes.plot(range(len(values) + 1), [clean, *values], "o-", color=colour, label=name)
    most = max(len(values) for values in rows.values())
    axes.set(xlim=(0, most), ylim=(0, 1.02) if min([clean, *(min(values) for values in rows.values())]) >= 0 else None)
    axes.set_xticks(range(most + 1), ["as it is", *map(str, range(1, most + 1))])
    axes.set_xlabel("strength of the change")
    axes.set_title(figure)
    axes.grid()
    label_ends(axes)
    return whole
