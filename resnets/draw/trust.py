"""How far maps can be trusted, drawn: deletion and insertion curves, and the check with randomised weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from resnets.draw.style import FAINT, TRAIN, VAL, blank, styled, write

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def faithful(curves: Sequence[Any], random: Sequence[tuple[float, float]], path: Path | str) -> Path:
    """Save the curves as PNG. See `draw_faithful`."""
    return write(draw_faithful(curves, random), path)


@styled
def draw_faithful(curves: Sequence[Any], random: Sequence[tuple[float, float]]) -> Figure:
    """Deletion and insertion: each map a thin line, their mean a thick one; dashed the mean answer of random maps.

    Args:
        curves: objects with `shares`, `deletion` and `insertion` (P,) each.
        random: the areas (deletion, insertion) of random maps beside them.
    """
    figure = blank(7.6, 3.0)
    shares = np.linspace(0, 1, 41)
    for axes, name, number in zip(figure.subplots(1, 2), ("deletion", "insertion"), (0, 1), strict=True):
        lines = np.array([np.interp(shares, each.shares, getattr(each, name)) for each in curves])
        for line in lines[:100]:
            axes.plot(shares, line, color=TRAIN, linewidth=0.5, alpha=0.25)
        axes.plot(shares, lines.mean(0), color=TRAIN, linewidth=2.2)
        area, beside = float(np.trapezoid(lines.mean(0), shares)), float(np.mean([each[number] for each in random]))
        axes.axhline(beside, color=VAL, linestyle="--", linewidth=1.2)
        axes.set_title(f"{name}: {area:.2f}, random maps {beside:.2f}")
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="part of the input " + ("made blank" if number == 0 else "shown"))
        axes.set_ylabel("the network's answer")
    return figure


def randomised(rows: Sequence[Mapping[str, Any]], same: float, path: Path | str) -> Path:
    """Save the check with randomised weights as PNG. See `draw_randomised`."""
    return write(draw_randomised(rows, same), path)


@styled
def draw_randomised(rows: Sequence[Mapping[str, Any]], same: float) -> Figure:
    """How alike the maps stay, as more and more of the network is random; below the line they depend on what was learnt.

    Args:
        rows: {"random_down_to": name of a part, "similarity": -1 to 1}, from the output down.
        same: the similarity from which on a map is mostly the same.
    """
    figure = blank(4.6, 2.8)
    axes = figure.subplots()
    places = np.arange(len(rows) + 1)
    axes.plot(places, [1.0, *(row["similarity"] for row in rows)], "o-", color=TRAIN)
    axes.axhline(same, color=VAL, linestyle="--", linewidth=1.2)
    axes.text(places[-1], same + 0.02, "mostly the same map", color=VAL, ha="right", va="bottom", fontsize=8)
    axes.axvline(min(2, len(rows)), color=FAINT, linewidth=0.8, linestyle=":")
    axes.set_xticks(places, ["learnt", *(row["random_down_to"] for row in rows)])
    axes.set(ylim=(min(-0.1, min(row["similarity"] for row in rows) - 0.05), 1.05), ylabel="rank correlation")
    axes.set_xlabel("random from the output down to (the verdict is taken at the dotted line)", fontsize=8)
    return figure
